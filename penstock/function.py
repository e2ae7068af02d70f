"""What a function is: its spec as people write it, checked, with every default filled in.

A spec says what runs (`path` + `handler`, `image` or `command`), what it needs and how it scales. A function
is a spec under a name, with a revision that grows whenever spec or code changes.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from penstock.egress import split
from penstock.limits import Limits
from penstock.provision import ProvisionConfig
from penstock.triggers import Trigger, checked, methods
from penstock.units import DURATION_TEXT, Duration, Size, format_duration, parse_duration

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A function's name: it becomes part of keys, routes, labels and folders."""
QUALIFIED = re.compile(NAME.pattern + r"(@[1-9][0-9]{0,8})?")
"""The name of a function, or of one of its published versions: `chat`, `chat@3`."""


_OURS = ("HOME", "HOST", "PATH", "PORT", "FC_SERVER_PORT")
"""Variables that no secret may replace."""

_PORTS = {"cog": 5000, "sagemaker": 8080}
"""Where containers of these protocols listen."""


DESTINATION = "function:"
"""Before the name of a function that is told how jobs of another end."""

NOTHING_WARM = (
    "nothing can be kept warm with web_server: false, since each call starts a container: no scaling.min, "
    "scaling.buffer, provision or warm-up"
)


SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""A secret's name: that of a file, and of the variable that a Python handler finds it in."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Gpu(_Part):
    memory: Annotated[Size, Field(ge=2**20)] | None = None
    """Of the card; None: a whole card."""
    type: str | None = None
    """Card type, such as fc.gpu.tesla.1; None: any."""
    mode: Literal["exclusive", "shared"] | None = None
    """Whether others may share the card; None: exclusive from half a card on."""


class Resources(_Part):
    cpu: Annotated[float, Field(gt=0, le=512)] = 1.0
    """Cores that a container may use (docker engine)."""
    memory: Annotated[Size, Field(ge=16 * 2**20)] = 2 * 2**30
    shm_size: Size = 64 * 2**20

    gpu: Gpu | None = None
    """None: it needs none."""


class Hook(_Part):
    path: Annotated[str, Field(pattern=r"^/")]
    timeout: Annotated[Duration, Field(ge=1, le=3600)]


class Health(_Part):
    path: Annotated[str, Field(pattern=r"^/")]


class Lifecycle(_Part):
    initialize: Hook | None = None
    """Asked once per instance before its first call. A Python handler always has it."""
    pre_stop: Hook | None = None
    health: Health | None = None
    """Asked until it answers 200 to 399, before `initialize`."""
    start_timeout: Annotated[Duration, Field(gt=0, le=3600)] = 120.0
    """How long a container may take until it listens and is healthy; `initialize` has a timeout of its own."""


def _idle_timeout(value: object) -> object:
    # Not a union of its own, whose errors would name both.
    return value if value == "adaptive" else parse_duration(value)


IdleTimeout = Annotated[
    float | Literal["adaptive"],
    BeforeValidator(_idle_timeout),
    PlainSerializer(lambda value: value if value == "adaptive" else format_duration(value), return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"{DURATION_TEXT}|^adaptive$"},
                {"type": "number", "minimum": 0},
            ]
        },
        mode="validation",
    ),
]


class Scaling(_Part):
    min: Annotated[int, Field(ge=0)] = 0
    """Instances that stay warm whatever happens."""
    max: Annotated[int, Field(ge=1)] | None = None
    """None: as many as the machine has GPUs or, for a function without, slots."""
    idle_timeout: IdleTimeout = 300.0
    """How long an instance stays without a call; `adaptive`: from how long the function was silent before."""
    max_queue_wait: Annotated[Duration, Field(gt=0)] | None = None
    """How long work may wait before another instance is worth starting; None: from measured cold starts."""
    target_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of its slots that an instance should be busy with; None: all of them, fewer where clients wait."""
    metric: Literal["concurrency", "queue_delay"] = "concurrency"
    """What more instances are started for: work in flight, or nothing but how long the oldest has waited."""
    buffer: Annotated[int, Field(ge=0)] = 0
    """Spare instances while there is demand."""
    standby: Annotated[int, Field(ge=0, le=100)] = 0
    """Containers that are started and paused before the model is loaded (docker engine)."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Its share where places are scarce."""

    @model_validator(mode="after")
    def _bounds(self) -> Scaling:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be larger than max ({self.max})")
        return self


class Queue(_Part):
    max_depth: Annotated[int, Field(ge=1)] = 100_000
    max_age: Annotated[Duration, Field(ge=1)] = 86_400.0
    """Longest time in the queue; a running job is never killed by it."""


class Retry(_Part):
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    backoff: Annotated[Duration, Field(gt=0)] = 1.0
    max_backoff: Annotated[Duration, Field(gt=0)] = 300.0
    on: tuple[Annotated[int, Field(ge=400, le=599)], ...] = (408, 429, 502, 503, 504)
    """Statuses of the function that are worth another attempt of an async job."""
    held: bool = False
    """Whether a held call, too, may run again once bytes of it were sent to a container."""


class Batch(_Part):
    """A Python handler that gets several events at once."""

    max_size: Annotated[int, Field(ge=1, le=1000)]
    """Most events in one batch."""
    max_wait: Annotated[Duration, Field(ge=0, le=60)] = 0.01
    """How long an event waits at most for others to come; less where that does not pay."""


class Destinations(_Part):
    """Who is told how a function's async jobs end, beside the URL of a request: a URL, or `function:NAME`."""

    on_success: str | None = None
    on_failure: str | None = None
    """Of jobs that failed, timed out or expired; a cancelled one is told to nobody."""

    @field_validator("on_success", "on_failure")
    @classmethod
    def _is_somebody(cls, value: str | None) -> str | None:
        if value is not None and split(value) is None and named_function(value) is None:
            raise ValueError("neither an http:// or https:// URL with a host nor function:NAME")
        return value

    @property
    def any(self) -> bool:
        return bool(self.on_success or self.on_failure)

    @property
    def urls(self) -> tuple[str, ...]:
        """Those that are no functions."""
        told = (self.on_success, self.on_failure)
        return tuple(one for one in told if one is not None and named_function(one) is None)


def named_function(destination: str) -> str | None:
    """The function that a destination names; None: it is a URL."""
    name = destination.removeprefix(DESTINATION)
    return name if name != destination and NAME.fullmatch(name) else None


class FunctionSpec(_Part):
    """One function as `functions.<name>` of a spec file, or as the body of PUT /v1/functions/<name>."""

    path: Annotated[str, Field(min_length=1)] | None = None
    """Folder with a Python handler; relative to the spec file."""
    handler: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """`module:function` in that folder; `app:handler` when not given."""
    image: str | None = None
    """Any container image with an HTTP server."""
    pull: Literal["missing", "always", "never"] = "missing"
    """When the image is fetched from its registry: at each deploy, or only if it is not here."""
    entrypoint: tuple[str, ...] | None = None
    """Takes the place of the entrypoint of `image`; None: its own."""
    command: tuple[str, ...] | None = None
    """A local server (process engine), told its port in $PORT; or the command of `image`."""
    event: Literal["bytes", "json"] = "bytes"
    """What a Python handler gets: the body as it is, or parsed."""
    protocol: Literal["fc", "http", "cog", "sagemaker", "runpod"] = "fc"
    """How its containers want to be called, or to ask for calls (runpod)."""
    web_server: bool = True
    """False: it has no server and is run once for each call, which it gets on its standard input."""
    port: Annotated[int, Field(ge=1, le=65535)] = 9000
    """Where an image's server listens; 5000 for cog and 8080 for sagemaker when not given."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    """Calls at a time in one instance; of a function that batches, batches at a time."""
    workers: Literal["thread", "process"] = "thread"
    """What runs each of a Python handler's calls at a time."""
    batch: Batch | None = None
    """None: a handler gets one event, and no list."""
    timeout: Annotated[Duration, Field(ge=1, le=7 * 86_400)] = 600.0
    preload: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...] = ()
    """Modules that are imported once and shared by a Python handler's instances; never the handler's own."""
    env: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[Annotated[str, Field(pattern=f"^{SECRET.pattern}$")], ...] = ()
    """Files of the workers' folder of secrets that its instances get; from spec files only."""
    resources: Resources = Resources()
    lifecycle: Lifecycle = Lifecycle()
    scaling: Scaling = Scaling()
    provision: ProvisionConfig | None = None
    """Provisioned instances, in Function Compute's fields; None: none but `scaling.min`."""
    queue: Queue = Queue()
    limits: Limits = Limits()
    """Of all its callers together."""
    retry: Retry = Retry()
    callbacks: Destinations = Destinations()
    triggers: Annotated[tuple[Trigger, ...], AfterValidator(checked)] = ()
    """What calls it beside clients."""
    region: Annotated[str, Field(pattern=r"^[\w-]{1,63}$")] | None = None
    """As `x-fc-region` tells it to a container; None: as the setting `fc.region` says."""
    auth: Literal["function", "anonymous"] | None = None
    """Who may call it: whoever has a key with that scope, or anybody. None: `function` once there are keys, and
    anybody before."""
    network: Literal["none", "internet"] = "none"
    user: str = "65534:65534"
    """Who its processes are, with the docker engine; empty: whom its image says."""
    read_only: bool = True
    volumes: tuple[str, ...] = ()
    """`host_path:container_path[:ro|rw]`, from spec files only."""

    @field_validator("env", mode="before")
    @classmethod
    def _scalars_are_text(cls, value: Any) -> Any:
        # YAML reads `WORKERS: 2` as a number; an environment knows only text.
        if not isinstance(value, dict):
            return value
        return {
            k: str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for k, v in value.items()
        }

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"{name} stands there twice")
            if name in _OURS or name.startswith(("PENSTOCK_", "LD_", "PYTHON")):
                raise ValueError(f"{name} means something else in an instance's environment: give it another name")
        return value

    @field_validator("volumes")
    @classmethod
    def _volumes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for volume in value:
            if not re.fullmatch(r"/[^:]*:/[^:]*(:ro|:rw)?", volume):
                raise ValueError(f"{volume!r} is not /host/path:/container/path, optionally with :ro or :rw")
        return value

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, value: Any) -> Any:
        # JSON can escape half of a surrogate pair, which nothing after this could write down.
        for name, part in value.items() if isinstance(value, dict) else ():
            try:
                json.dumps(part, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise ValueError(f"{name}: text that is not Unicode") from None
            except (TypeError, ValueError):
                pass  # no JSON at all: the fields themselves say what is wrong with it
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_handler(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("path") is not None and value.get("handler") is None:
            return {**value, "handler": "app:handler"}
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_port(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("port") is None and value.get("protocol") in _PORTS:
            return {**value, "port": _PORTS[value["protocol"]]}
        return value

    @model_validator(mode="after")
    def _env_is_no_secret(self) -> FunctionSpec:
        for name in self.secrets:
            for variable in (name, f"{name}_FILE"):
                if variable in self.env:
                    raise ValueError(f"env has {variable}, which the secret {name} sets: leave one of them out")
        return self

    @model_validator(mode="after")
    def _one_thing_runs(self) -> FunctionSpec:
        if self.path is not None and (self.image or self.command):
            raise ValueError("path stands alone: give path (a Python handler), image or command, not several")
        if self.path is None and not self.image and not self.command:
            raise ValueError("nothing to run: give path (a folder with a Python handler), image or command")
        if self.entrypoint is not None and self.image is None:
            raise ValueError("entrypoint needs image: it takes the place of that one's own")
        if self.handler is not None and self.path is None:
            raise ValueError("handler needs path, the folder that the handler is in")
        if self.preload and self.path is None:
            raise ValueError("preload needs path: only a Python handler's instances are forked")
        if self.scaling.standby and self.resources.gpu is not None and self.path is None:
            raise ValueError("scaling.standby with a GPU needs path: any other server has its card from the start")
        if self.path is not None and self.protocol != "fc":
            raise ValueError(f"protocol {self.protocol} is for image and command: path has a server of ours")
        return self

    @model_validator(mode="after")
    def _slots_fit(self) -> FunctionSpec:
        if self.path is None and (self.batch or self.workers == "process"):
            raise ValueError("batch and workers are for a Python handler: give path, or leave them out")
        if self.batch and self.workers == "process":
            raise ValueError(
                "batch needs workers: thread, since a batch is made of calls that meet in one process"
            )
        if self.slots > 1000:
            raise ValueError(f"concurrency times batch.max_size is {self.slots}, and must not be more than 1000")
        return self

    @model_validator(mode="after")
    def _workers_pull(self) -> FunctionSpec:
        if self.protocol == "runpod" and (self.initialize or self.lifecycle.pre_stop or self.lifecycle.health):
            raise ValueError("lifecycle hooks need a server, and a RunPod worker has none: it asks for its jobs")
        return self

    @model_validator(mode="before")
    @classmethod
    def _no_idle_place(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("web_server") is False:
            scaling = value.get("scaling") or {}
            if isinstance(scaling, dict) and "idle_timeout" not in scaling:
                return {**value, "scaling": {**scaling, "idle_timeout": 0.0}}
        return value

    @model_validator(mode="after")
    def _can_be_run_once(self) -> FunctionSpec:
        if self.web_server:
            return self
        if self.path is not None or self.protocol != "fc":
            raise ValueError("web_server: false is for image and command, without path and protocol")
        if self.concurrency > 1:
            raise ValueError("concurrency must be 1 with web_server: false: each call is a run of its own")
        if self.lifecycle.initialize or self.lifecycle.pre_stop or self.lifecycle.health:
            raise ValueError("lifecycle hooks need a server, and with web_server: false there is none")
        if self.scaling.min or self.scaling.buffer or self.provision is not None:
            raise ValueError(NOTHING_WARM)
        return self

    @property
    def serves_http(self) -> bool:
        """It has a web server, which `/fn/…` reaches."""
        return self.web_server and self.protocol != "runpod"

    @property
    def methods(self) -> frozenset[str] | None:
        """What `/fn/…` takes; None: every method."""
        return methods(self.triggers) if self.triggers else None

    @property
    def slots(self) -> int:
        """Calls that one instance is given at a time: as many as fill its batches, if it batches."""
        return self.concurrency * (self.batch.max_size if self.batch else 1)

    @property
    def initialize(self) -> Hook | None:
        """The initialize hook; a Python handler's server always answers one."""
        if self.lifecycle.initialize is None and self.path is not None:
            return Hook(path="/initialize", timeout=300.0)
        return self.lifecycle.initialize


class Function(_Part):
    """A deployed function."""

    name: Annotated[str, Field(pattern=f"^{QUALIFIED.pattern}$")]
    """`chat`, or `chat@3` for a published version of it, which is a function of its own in all but its name."""
    spec: FunctionSpec
    revision: int
    """1 for the first, one more for each change of spec or code; of a version: that which was published."""
    digest: str
    """SHA-256 over spec and code: equal digests are the same revision."""
    code: str = ""
    """SHA-256 over the contents of its folder; empty: it has none."""
    created_at: int
    """Milliseconds since 1970, of this revision."""
    tenant: str = ""
    """Whose it is: that of the key that deployed it first; empty: nobody's but the operator's."""
    source: str = ""
    """Of a version: the digest of the revision that was published."""
    pinned: str | None = None
    """What its `image` named when it was prepared, by content; None: it is not prepared yet, or has none."""
    description: str = ""
    """Of a version: what its publisher said of it."""

    @property
    def base(self) -> str:
        """Its name without a version."""
        return self.name.partition("@")[0]

    @property
    def version(self) -> str | None:
        """Its number; None: it is no published version, but what deploys change."""
        return self.name.partition("@")[2] or None

    @classmethod
    def load(cls, stored: str | bytes) -> Function:
        """What was dumped, perhaps by a process of the next version: what is unknown here is left aside."""
        return cls.model_validate_json(stored, extra="ignore")

    def dump(self) -> str:
        """JSON of what is not at its default: thousands of functions are kept so."""
        return self.model_dump_json(exclude_defaults=True)
