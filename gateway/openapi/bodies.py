"""The JSON of requests and answers, as models that describe it. `penstock.views` makes the answers; tests hold
the two against each other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.keys import Wanted
from penstock.delivery import DeliveryState
from penstock.domains import Domain, Route
from penstock.function import FunctionSpec
from penstock.instance import InstanceState
from penstock.invocation import State
from penstock.limits import Limits
from penstock.provision import ProvisionConfig, ScheduledAction, TrackingPolicy

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 in UTC, with milliseconds."""
Count = Annotated[int, Field(ge=0)]
Timeline = dict[str, float]
"""Milliseconds by stage."""


class Answer(BaseModel):
    """What this gateway says: nothing but what is listed."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """RFC 9457. Some problems have further members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str = Field(description="A word to decide by; the detail may change.")
    detail: str = Field(description="What is wrong, and what to do.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    invocation: str | None = Field(None, description="The invocation that ended so.")
    log_tail: str | None = Field(None, description="Last lines of an instance that did not start.")


class RequestView(Answer):
    method: str
    path: str | None = Field(description="Of calls to the function's own server (/fn); null: an event call.")
    query: str
    headers: dict[str, str]
    size: Count = Field(description="Bytes of the body.")


class ResponseView(Answer):
    status: int
    headers: dict[str, str]
    size: Count = Field(description="Bytes of the body.")


class FailureView(Answer):
    code: str
    message: str
    retryable: bool
    exit_code: int | None = Field(description="Of the container, if it ended.")
    log_tail: str | None


class InvocationLinks(Answer):
    self: str
    result: str
    events: str
    cancel: str


class Invocation(Answer):
    """The record of a call or a job."""

    id: str
    function: str
    state: State
    attempt: Count = Field(description="Runs of the function so far.")
    deferrals: Count = Field(description="Times that it was handed back before the function saw it.")
    priority: Literal["high", "normal", "low"]
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    queue_position: Count | None = Field(
        description="How many are before it; null: it does not wait, or nobody asked."
    )
    estimated_start: Moment | None
    waiting_reason: str | None
    instance: str | None
    cold_start: bool | None = Field(
        description="Whether it waited for the start of its instance; known at its end."
    )
    timeline: Timeline = Field(description="Milliseconds by stage.")
    request: RequestView
    response: ResponseView | None
    error: FailureView | None
    progress: Any = Field(description="What its run said last of how far it is; null: nothing.")
    callback: str | None
    retry_of: str | None
    batch: str | None
    links: InvocationLinks


class IndexedInvocation(Invocation):
    index: Count = Field(description="Which line of the batch it is, from 0.")


class Invocations(Answer):
    invocations: list[Invocation]
    next_cursor: str | None = Field(description="Where the list goes on; null: it does not.")


class BatchInvocations(Answer):
    invocations: list[IndexedInvocation]
    next_cursor: str | None


class DeadLetters(Answer):
    dead_letters: list[Invocation]


class Redrive(BaseModel):
    """Which dead letters to run again; no body at all: every one."""

    ids: list[str]


class Redriven(Answer):
    id: str
    retry: str = Field(description="The new job.")


class RedriveResult(Answer):
    redriven: Count
    items: list[Redriven]


class Purged(Answer):
    removed: Count


class Refusal(Answer):
    status: int
    code: str
    detail: str
    retryable: bool
    retry_after: Count | None = Field(None, description="Seconds; with `queue_full`.")


class BatchItem(Answer):
    """Either an id or an error."""

    index: Count
    id: str | None = None
    error: Refusal | None = None


class BatchSubmitted(Answer):
    batch: str
    accepted: Count
    refused: Count
    items: list[BatchItem]


class BatchLinks(Answer):
    self: str
    invocations: str
    cancel: str


class BatchView(Answer):
    id: str
    function: str
    created_at: Moment
    finished_at: Moment | None
    accepted: Count
    refused: Count | None = Field(description="Null until all lines were submitted.")
    sealed: Literal["submitted", "cancelled", "abandoned"] | None = Field(description="Why it takes no more jobs.")
    counts: dict[str, int] = Field(description="Jobs by state.")
    callback: str | None
    links: BatchLinks


class Cancelled(Answer):
    cancelled: Count


class DeliveryAttempt(Answer):
    at: Moment
    status: int | None
    latency_ms: int
    error: str | None
    body_sha256: str


class Delivery(Answer):
    """One endpoint that is told of one thing: an invocation, or a batch."""

    id: str
    invocation: str | None = None
    batch: str | None = None
    event: str
    message: str = Field(description="The `webhook-id` that its receiver sees.")
    endpoint: str
    payload: Literal["full", "thin", "runpod", "replicate"]
    state: DeliveryState
    created_at: Moment
    next_attempt_at: Moment | None
    ended_at: Moment | None
    attempts_made: Count
    attempts: list[DeliveryAttempt]


class Deliveries(Answer):
    deliveries: list[Delivery]
    next_cursor: str | None


class Since(BaseModel):
    """From when on."""

    since: Moment


class Redelivered(Answer):
    redelivered: Count
    expired: Count = Field(description="Those of which nothing can be told any more.")
    ids: list[str]


class Decision(Answer):
    desired: Count | None = Field(description="Instances that the autoscaler wants; null: it has not decided yet.")
    reason: str


class Percentiles(Answer):
    p50: float
    p95: float


class ColdStarts(Answer):
    count: Count
    calls: Count
    probability: float | None
    stages: dict[str, Percentiles]


class Function(Answer):
    """A deployed function."""

    name: str
    version: str | None = Field(
        description="Number of the published version that it is; null: what was deployed last."
    )
    tenant: str = Field(description="Whose it is; empty: the operator's.")
    revision: int
    created_at: Moment
    spec: FunctionSpec
    image: str | None = Field(
        description="What the spec's image named when it was prepared, by content; null: none, or not yet."
    )
    instances: dict[InstanceState, int] = Field(description="How many, by state.")
    decision: Decision
    cold_starts: ColdStarts | None


class Functions(Answer):
    functions: list[Function]


class ApiKey(Answer):
    """A key, without what makes it one."""

    id: str
    name: str
    tenant: str = Field(description="Whose functions it is for; empty: the operator's.")
    scopes: list[str] = Field(description="Each VERB:FUNCTION.")
    limits: Limits
    created_at: Moment
    expires_at: Moment | None = Field(description="Null: never.")
    revoked_at: Moment | None = Field(description="Null: it was not.")
    last_used_at: Moment | None = Field(description="Null: never, or not for ten seconds yet.")


class ApiKeyMade(ApiKey):
    key: str = Field(description="What clients send. It is shown this once.")


class ApiKeys(Answer):
    keys: list[ApiKey]


class Deleted(Answer):
    deleted: str
    cancelled: Count = Field(description="Invocations that waited.")


class Removed(Answer):
    deleted: str


class Publication(Answer):
    description: Annotated[str, Field(max_length=1024)] | None = None


class Version(Answer):
    """What was deployed when it was published."""

    version: str
    function: str = Field(description="The name that it is called by: `chat@3`.")
    revision: int = Field(description="Of the function, that was published.")
    description: str
    created_at: Moment
    aliases: list[str] = Field(description="Those that point to it.")
    problem: str | None = Field(description="Why it cannot be invoked, or not yet.")
    spec: FunctionSpec


class Versions(Answer):
    versions: list[Version]


class AliasFields(Answer):
    version: str = Field(description="Number of the version that it stands for, or LATEST.", examples=["3"])
    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="Number of another version -> its share of the calls; 1 in all at most."
    )
    description: Annotated[str, Field(max_length=1024)] = ""


class AliasView(Answer):
    alias: str
    function: str = Field(description="The name that it is called by: `chat@prod`.")
    version: str
    weights: dict[str, float]
    shares: dict[str, float] = Field(description="By version, the main one's too.")
    description: str
    created_at: Moment
    updated_at: Moment


class Aliases(Answer):
    aliases: list[AliasView]


class DomainView(Answer):
    domain: str
    routes: list[Route]


class Domains(Answer):
    domains: list[DomainView]


class Instance(Answer):
    id: str
    state: InstanceState
    revision: int
    provisioned: bool
    in_flight: Count
    started_at: Moment | None
    timeline: Timeline
    gpu: Any = Field(description="What it has of which card; null: nothing.")
    reason: str


class Instances(Answer):
    instances: list[Instance]
    decision: Decision


class TriggerView(BaseModel):
    """A trigger with the fields of its type, and, but for http, what it has done."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: Literal["http", "timer", "objects", "topic"]
    enabled: bool
    url: str | None = Field(None, description="Of http: where it is called.")
    next_due: Moment | None = Field(None, description="Of a timer.")
    last_due: Moment | None = Field(None, description="Of a timer: the last that became a job.")
    fired: Count | None = Field(None, description="Jobs that it made.")
    last_fired: Moment | None = None
    last_invocation: str | None = None
    last_error: str | None = Field(None, description="Why it cannot fire; null: it can.")
    last_error_at: Moment | None = None


class Triggers(Answer):
    triggers: list[TriggerView]


class Published(Answer):
    id: str = Field(description="Of the message, as the stream has it.")
    topic: str


class Paused(Answer):
    function: str
    paused: bool


class GpuPaused(Answer):
    gpu: str
    paused: bool


class WarmUp(BaseModel):
    """How many instances to start; no body at all: one."""

    instances: Annotated[int, Field(ge=1, le=1000)]


class WarmUpAccepted(Answer):
    function: str
    instances: Count


class GpuView(BaseModel):
    """A card as the leading workers process last saw it. Null is what nobody knows."""

    model_config = ConfigDict(extra="allow")

    uuid: str
    name: str | None = None
    type: str | None = None
    memory: Count | None = Field(None, description="Bytes.")
    free: Count | None = Field(None, description="Bytes.")
    sm: float | None = Field(None, description="Share of its multiprocessors that is busy.")
    encoder: float | None = None
    decoder: float | None = None
    problem: str | None = Field(None, description="What keeps it from being used.")
    reserved: dict[str, Count] = Field({}, description="Bytes by instance.")
    overused: dict[str, Count] = Field({}, description="Bytes above what was reserved, by instance.")


class Gpus(Answer):
    gpus: list[GpuView]


class Provision(Answer):
    """A provision config in Function Compute's fields, and what it comes to."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    function: str
    default_target: Count = Field(alias="defaultTarget")
    always_allocate_cpu: bool = Field(alias="alwaysAllocateCPU")
    always_allocate_gpu: bool = Field(alias="alwaysAllocateGPU")
    scheduled_actions: list[ScheduledAction] = Field(alias="scheduledActions")
    target_tracking_policies: list[TrackingPolicy] = Field(alias="targetTrackingPolicies")
    target: Count | None = Field(description="What it comes to now; null: nobody has looked yet.")
    current: Count = Field(description="Provisioned instances that take calls.")
    current_error: str | None = Field(alias="currentError")
    reason: str | None
    active: list[str]
    pending: list[str]
    expired: list[str]
    warnings: list[str] | None = None


class Provisions(Answer):
    provision_configs: list[Provision] = Field(alias="provisionConfigs")


class Money(Answer):
    on_demand: float
    provisioned: float
    total: float


class BreakEven(Answer):
    provisioned: float | None
    card: float | None


class Card(Answer):
    cards: float
    cost: float
    saved: float
    saved_share: float | None


class Usage(Answer):
    invocations: Count
    on_demand_seconds: float
    on_demand_busy_seconds: float
    provisioned_seconds: float
    provisioned_busy_seconds: float
    cold_start_seconds: float
    gpu_seconds: float
    gb_seconds: float
    held_gb_seconds: float
    utilization: float | None
    cost: Money
    break_even: BreakEven
    card: Card | None


class FunctionUsage(Usage):
    function: str


class Cost(Answer):
    days: list[str]
    price: float
    currency: str
    discount: float
    card_price_per_hour: float | None
    functions: list[FunctionUsage]
    total: Usage


class MetricPoint(Answer):
    time: Moment
    value: float | None


class Metric(Answer):
    unit: str
    means: str
    points: list[MetricPoint]


class Metrics(Answer):
    function: str
    start: Moment = Field(alias="from")
    to: Moment
    step: Count = Field(
        description="Seconds between two points; as asked, or coarser where no finer ones are kept."
    )
    metrics: dict[str, Metric]


class HealthView(Answer):
    status: Literal["ok"]


class Readiness(Answer):
    ready: bool
    problems: list[str] = Field(description="Why functions cannot be invoked.")
    degraded: list[str] = Field(description="What does not stop calls, but breaks a promise.")


class CallbackData(Invocation):
    result: Any = Field(
        description="JSON as it is, text as a string, anything else as base64 with its content type."
    )


class Callback(Answer):
    """The body of a callback, signed as Standard Webhooks says."""

    type: str
    timestamp: Moment
    data: CallbackData


class BatchCallback(Answer):
    type: Literal["batch.completed"]
    timestamp: Moment
    data: BatchView


REQUESTS: tuple[type[BaseModel], ...] = (
    FunctionSpec,
    ProvisionConfig,
    Redrive,
    Since,
    Wanted,
    WarmUp,
    Publication,
    AliasFields,
    Domain,
)
ANSWERS: tuple[type[BaseModel], ...] = (
    Problem,
    ApiKey,
    ApiKeyMade,
    ApiKeys,
    Invocation,
    Invocations,
    BatchInvocations,
    DeadLetters,
    RedriveResult,
    Purged,
    BatchSubmitted,
    BatchView,
    Cancelled,
    Delivery,
    Deliveries,
    Redelivered,
    Function,
    Functions,
    Deleted,
    Removed,
    Version,
    Versions,
    AliasView,
    Aliases,
    DomainView,
    Domains,
    Instances,
    Triggers,
    Published,
    Paused,
    GpuPaused,
    WarmUpAccepted,
    Gpus,
    Provision,
    Provisions,
    Cost,
    Triggers,
    Published,
    Metrics,
    HealthView,
    Readiness,
    Callback,
    BatchCallback,
)
