"""Every metric that a process of ours tells, in one table. docs/metrics.md shows the same, and a test holds the
two against each other. Pure.

Names are OpenTelemetry's, the conventions' own where there is one (http.server.*, faas.*, process.*). Prometheus
gets them as its mapping says: `penstock.queue.oldest.wait` in seconds is `penstock_queue_oldest_wait_seconds`.
Labels are attributes of the same name, but for `function`, which OpenTelemetry calls faas.name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

CALL_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Seconds: from a cached embedding to a video."""
START_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds: from a forked process to 100 GB of weights."""
ROUND_TRIP_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds on a wire inside one house."""

_SUFFIXES = {"s": "_seconds", "By": "_bytes", "1": "_ratio"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """One family. `unit` is UCUM's: s, By, 1 for a share, {call} for a count of something."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...] = ()
    question: str
    """What it answers."""
    bounds: tuple[float, ...] = ()
    """Upper ones of a histogram's buckets."""

    @property
    def prometheus(self) -> str:
        """Its name there."""
        name = self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "")
        return name + "_total" if self.kind == "counter" else name


def _counter(name: str, unit: str, labels: str, question: str) -> Metric:
    return Metric(name=name, kind="counter", unit=unit, labels=tuple(labels.split()), question=question)


def _gauge(name: str, unit: str, labels: str, question: str) -> Metric:
    return Metric(name=name, kind="gauge", unit=unit, labels=tuple(labels.split()), question=question)


def _histogram(name: str, labels: str, question: str, bounds: tuple[float, ...]) -> Metric:
    parts = tuple(labels.split())
    return Metric(name=name, kind="histogram", unit="s", labels=parts, question=question, bounds=bounds)


# Of both processes; `service` says whose it is.
UP = _gauge("penstock.build.info", "{process}", "service version", "Which version runs, and where?")
LAG = _histogram(
    "penstock.event.loop.lag",
    "service",
    "Is this process too busy to answer in time?",
    ROUND_TRIP_BOUNDS,
)
CPU = _counter("process.cpu.time", "s", "service", "How much processor time does it take?")
RESIDENT = _gauge("process.memory.usage", "By", "service", "How much memory does it take?")
REDIS_UP = _gauge("penstock.redis.up", "{answer}", "service", "Does Redis answer this process?")
REDIS_TIME = _histogram(
    "penstock.redis.round.trip",
    "service",
    "How long does Redis take, as its clients see it? One round trip carries many commands.",
    ROUND_TRIP_BOUNDS,
)
REDIS_COMMANDS = _counter("penstock.redis.commands", "{command}", "service", "How many commands does it send?")
REDIS_ERRORS = _counter("penstock.redis.errors", "{error}", "service", "How many round trips failed?")
REDIS_RECONNECTS = _counter("penstock.redis.reconnects", "{time}", "service", "How often was Redis back again?")
CANCELLED = _counter(
    "penstock.cancellations", "{invocation}", "service", "How many invocations were cancelled, by whom?"
)

# The gateway's.
HTTP_TIME = _histogram(
    "http.server.request.duration",
    "http_request_method http_route http_response_status_code",
    "How fast, and how well, are clients answered? A held call lasts as long as its function.",
    CALL_BOUNDS,
)
HTTP_ACTIVE = _gauge("http.server.active_requests", "{request}", "", "How many requests are being served?")
HTTP_RECEIVED = _counter("penstock.http.received", "By", "http_route", "How many bytes do clients send?")
HTTP_SENT = _counter("penstock.http.sent", "By", "http_route", "How many bytes do they get?")
CONNECTIONS = _gauge("penstock.http.connections", "{connection}", "", "How many connections stand?")
TURNED_AWAY = _counter(
    "penstock.http.connections.refused", "{connection}", "", "How many were one too many, of all or of an address?"
)
HELD = _gauge("penstock.held.calls", "{call}", "", "How many clients wait for the end of an invocation?")
REFUSED = _counter("penstock.refusals", "{request}", "code", "What was refused before anything was done, and why?")
REDIS_MEMORY = _gauge("penstock.redis.memory.usage", "By", "", "How much memory does Redis use?")
REDIS_LIMIT = _gauge("penstock.redis.memory.limit", "By", "", "How much may it use? Not there without a limit.")

# The workers' own.
LEADS = _gauge("penstock.leader", "{process}", "", "Does this process lead?")
ELECTED = _counter("penstock.leader.elections", "{time}", "", "How often did this process become leader?")
EPOCH = _gauge("penstock.leader.epoch", "{epoch}", "", "Which leader is this? It grows with each new one.")

# The leader's: queue and calls.
DEPTH = _gauge("penstock.queue.depth", "{invocation}", "function state", "How much waits, is delayed, and runs?")
OLDEST = _gauge("penstock.queue.oldest.wait", "s", "function", "How long has the head of the queue waited?")
WAIT = _histogram(
    "penstock.invocation.wait",
    "function",
    "How long do invocations wait until their first run, for a slot or for a start?",
    CALL_BOUNDS,
)
RUN = _histogram("faas.invoke_duration", "function", "How long does one run of the function take?", CALL_BOUNDS)
DURATION = _histogram(
    "penstock.invocation.duration",
    "function",
    "How long is it from submit to end, with waiting, starts and retries?",
    CALL_BOUNDS,
)
ENDED = _counter(
    "penstock.invocations",
    "{invocation}",
    "function state code",
    "How do invocations end? `code` says why without success. Those cancelled: penstock_cancellations_total.",
)
ATTEMPTS = _counter("penstock.attempts", "{run}", "function", "How many runs began?")
DEFERRALS = _counter("penstock.deferrals", "{run}", "function", "How many were handed back untouched?")
RETRIES = _counter("penstock.retries", "{run}", "function", "How many failed runs are followed by another?")
DEAD = _counter("penstock.dead.letters", "{invocation}", "function", "How many jobs became dead letters?")
LEASES = _counter(
    "penstock.leases.lost",
    "{run}",
    "function became",
    "How many runs lost their worker, and became what: requeued, or failed?",
)

# The leader's: instances and scaling.
INSTANCES = _gauge(
    "penstock.instances",
    "{instance}",
    "function state provisioned",
    "How many instances are there, doing what, and does the floor keep them?",
)
DESIRED = _gauge("penstock.scaling.desired", "{instance}", "function", "How many should there be?")
BLOCKED = _gauge("penstock.scaling.blocked", "{function}", "function", "Who does not get what it should have?")
DECISIONS = _counter(
    "penstock.scaling.decisions",
    "{decision}",
    "kind",
    "What was decided anew: up, down, hold, overdue (one more, since work waits too long), paused, unknown?",
)
STARTS = _counter("penstock.instance.starts", "{instance}", "function", "How many instances were started?")
START_FAILURES = _counter("penstock.instance.failures", "{instance}", "function", "How many failed, or died?")
EVICTIONS = _counter("penstock.evictions", "{instance}", "function", "Who had to make room for others, how often?")
COLD = _counter("faas.coldstarts", "{call}", "function", "How many calls waited for a start?")
INIT = _histogram("faas.init_duration", "function", "How long is a start, from order to ready?", START_BOUNDS)
STAGES = _histogram(
    "penstock.cold.start.stage",
    "stage",
    "Where does the time of starts go? `preparation` is done once, `first_byte` is of the first answer.",
    START_BOUNDS,
)

# The leader's: cards.
GPU_MEMORY = _gauge("penstock.gpu.memory.total", "By", "gpu", "How large is the card?")
GPU_USED = _gauge("penstock.gpu.memory.usage", "By", "gpu", "How much of it is used, by whomever?")
GPU_RESERVED = _gauge("penstock.gpu.memory.reserved", "By", "gpu", "How much have we given away?")
GPU_BUSY = _gauge("penstock.gpu.utilization", "1", "gpu task", "What does it do: sm, encoder, decoder?")
GPU_USABLE = _gauge("penstock.gpu.usable", "{card}", "gpu", "May anything be started on it?")

# The leader's: callbacks.
CALLBACKS = _counter(
    "penstock.callbacks",
    "{attempt}",
    "state",
    "What became of attempts: delivered, pending (tried again), dead, disabled (410)?",
)
CALLBACKS_PENDING = _gauge("penstock.callbacks.pending", "{delivery}", "", "How many deliveries are owed?")
CALLBACKS_OVERDUE = _gauge("penstock.callbacks.overdue", "s", "", "How late is the one that is due the longest?")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
