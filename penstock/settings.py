"""Every setting, in groups, with its default. The environment and the settings file are read here, once.

`PENSTOCK_GROUP__NAME` in the environment wins over the file, a command-line flag over both. `PENSTOCK_REDIS_URL`
is short for `PENSTOCK_REDIS__URL`, and OpenTelemetry's own OTEL_EXPORTER_OTLP_ENDPOINT is another name of
`PENSTOCK_TELEMETRY__OTLP_ENDPOINT`. The docstring of a setting is what docs/settings.md says of it
(penstock/settingslist.py).
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from penstock.egress import Egress, Network, parse_ports, split
from penstock.errors import ConfigurationError
from penstock.units import Duration, Size

Secret = Annotated[str, Field(json_schema_extra={"secret": True})]
"""Text that is never shown, neither by a command nor in an error."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _ports(value: object) -> object:
    """As text or a number, or as the pairs that they are kept as."""
    return parse_ports(str(value)) if isinstance(value, (str, int)) else value


def _networks(value: object) -> object:
    words = _words(value)
    try:
        return tuple(ip_network(word) for word in words) if isinstance(words, (list, tuple)) else words
    except ValueError as error:
        raise ValueError(f"{error}; write 10.0.0.0/8 or 10.1.2.3, several separated by spaces") from None


class RedisSettings(_Group):
    """Where everything is kept."""

    url: str = "redis://127.0.0.1:6379/0"
    """`redis://HOST:PORT/DB`, `rediss://…` or `unix:///PATH`; without one `penstock up` brings its own."""
    timeout: Duration = 5.0
    """Longest wait for a reply."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("not a Redis URL: write redis://HOST:PORT/DB, rediss://… or unix:///PATH")
        return value


class GatewaySettings(_Group):
    """The HTTP interface."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0: a free one."""
    processes: Annotated[int, Field(ge=1, le=256)] = 1
    """Gateways on this machine that share the port."""
    insecure: bool = False
    """Listen beyond loopback without keys."""
    admin_key: Secret = ""
    """An API key that may do everything, for the first steps of a deployment; any text of 32 visible characters or
    more. Empty: only keys that `penstock keys create` made."""
    open_metrics: bool = False
    """Whether /metrics needs no key."""
    hold: Duration = 55.0
    """How long a held call waits for its answer before it becomes a job."""
    max_hold: Duration = 300.0
    """Longest hold, or long poll, that a client may ask for."""
    max_body: Size = 32 * 2**20
    """Longest body of a request; longer ones get 413."""
    access_log: bool = False
    """A line in the log for each request: method, route, status, milliseconds, bytes."""
    held_depth: Annotated[int, Field(ge=1)] = 1_000
    """Held calls that may wait per function."""
    header_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long the headers of a request may take, and a TLS handshake."""
    body_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a request's body may come more slowly than least_rate."""
    idle_timeout: Annotated[Duration, Field(gt=0)] = 75.0
    """How long a connection may wait for its next request; longer than that of a proxy in front."""
    write_timeout: Annotated[Duration, Field(gt=0)] = 30.0
    """How long a client may take what is sent to it more slowly than least_rate."""
    least_rate: Size = 240
    """Bytes per second that a client must send, or take, when it is its turn; 0: it only has to go on."""
    max_connections: Annotated[int, Field(ge=1)] | None = None
    """At a time, of each process; None: 20,000, or half of the files that may be open if that is less."""
    max_connections_per_address: Annotated[int, Field(ge=1)] = 2_000
    """Of each process; an IPv6 client is its /64. Loopback and trusted_proxies are not counted."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: `10.0.0.0/8`."""
    tls_cert: Path | None = None
    """PEM file of a certificate and its chain: the gateway speaks https. Read again when it changes."""
    tls_key: Path | None = None
    """PEM file of its key, without a password."""
    tls_client_ca: Path | None = None
    """PEM file of the authorities that clients' certificates must come from; None: clients need none."""
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)] = ()
    """Origins whose pages may call this gateway: `https://app.example.com`; `*`: all, once there are keys."""
    cors_credentials: bool = False
    """Their requests may carry cookies and other credentials of the browser."""

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and f"{parts.scheme}://{parts.netloc}" != origin:
                raise ValueError(f"{origin} is no origin: write https://HOST[:PORT], without a path")
        return value

    @field_validator("admin_key")
    @classmethod
    def _cannot_be_guessed(cls, value: str) -> str:
        if value and (len(value) < 32 or not value.isascii() or not value.isprintable() or " " in value):
            raise ValueError("not a key: 32 visible ASCII characters or more, as `openssl rand -hex 32` prints")
        return value


class GpuSettings(_Group):
    """A GPU that is listed instead of found."""

    uuid: Annotated[str, Field(pattern=r"^[^\s,]+$")]
    """As `nvidia-smi -L` shows it, GPU-…. No index: that changes when a card is lost."""
    memory: Annotated[Size, Field(gt=0)]
    """Of the card, all of it."""
    type: str | None = None
    """Card type of Function Compute, such as fc.gpu.ampere.1; None: guessed from name and memory."""
    name: str = ""
    """As people know it, such as NVIDIA A10."""


class WorkersSettings(_Group):
    """The pool: instances, and who starts and stops them."""

    engine: Literal["process", "docker"] = "process"
    """What instances are: processes of this machine (for code that you trust), or containers."""
    id: str = ""
    """Name of this process among its like; made up when empty. A supervisor gives one, to free its leases."""
    slots: Annotated[int, Field(ge=1)] | None = None
    """Instances at a time on this machine; None: max(16, 8 x cores)."""
    gpu_quota: Annotated[int, Field(ge=0)] = 30
    """GPUs in use at a time, at most."""
    stop_timeout: Duration = 180.0
    """How long a stop waits for running calls."""
    adopt: bool = True
    """Leave containers running at a clean stop, for the next workers process to adopt, unless no gateway is left
    that could call them."""
    max_answer: Size = 256 * 2**20
    """Longest answer of a function."""
    fork_servers: Annotated[int, Field(ge=0, le=1000)] = 4
    """Processes kept ready to fork instances of the process engine from; 0: every instance starts anew."""
    inner: str = ""
    """HOST:PORT where gateways read answers while they come; empty: a Unix socket in data_dir, for gateways of
    this machine."""
    ops: str = ""
    """HOST:PORT of /metrics and /healthz of a workers process that runs by itself; empty: none, since the gateway
    of `penstock up` shows both processes' metrics. Whoever reaches it may read: it asks for no key."""
    secrets: Path | None = None
    """Folder with a file for each secret that specs name, closed to others; None: `secrets` in data_dir."""
    gpus: tuple[GpuSettings, ...] | None = None
    """The GPUs of this machine; None: those that NVML finds, empty: none."""
    gpu_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """How long NVML may take before its cards count as not answering."""

    @field_validator("inner", "ops")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError("not an address: write HOST:PORT, or leave it empty for gateways of this machine")
        return value

    @field_validator("inner")
    @classmethod
    def _is_reachable(cls, value: str) -> str:
        host = value.rpartition(":")[0]
        if host in ("0.0.0.0", "[::]", "*"):
            raise ValueError("gateways are told this address: write the one under which they reach this machine")
        return value

    @field_validator("gpus")
    @classmethod
    def _are_different(cls, value: tuple[GpuSettings, ...] | None) -> tuple[GpuSettings, ...] | None:
        uuids = [gpu.uuid for gpu in value or ()]
        if twice := [uuid for uuid in uuids if uuids.count(uuid) > 1]:
            raise ValueError(f"two GPUs have the uuid {twice[0]}; each card is listed once")
        return value


class DockerSettings(_Group):
    """The docker engine."""

    base_image: str = "python:{python}-slim"
    """What functions with only a Python handler are built on; any image with python3 and its venv module. {python}
    in it stands for the version that a folder's .python-version asks for, 3.11 without one."""
    build_network: Literal["none", "default", "host"] | None = None
    """Network of builds that install a folder's apt.txt; None: default. All other builds have none."""
    volume_roots: Annotated[tuple[Path, ...] | None, NoDecode, BeforeValidator(_words)] = None
    """Folders of the host, separated by spaces: a spec's `volumes` may only mount what is below them. None: all
    but the system's own, and nothing in production."""
    allow_tags: bool = False
    """In production too, images may be named by a tag, which its registry can move."""
    standbys: Annotated[int, Field(ge=0)] = 8
    """Containers that stand by, paused, at most in all."""
    standby_keep: Annotated[Duration, Field(gt=0)] = 3600.0
    """How long a function that is not called keeps its own."""


class CallbackSettings(_Group):
    """Callbacks, and where URLs that clients give may lead."""

    secret: Secret = ""
    """`whsec_…` of Standard Webhooks; several, separated by spaces, while one replaces another."""
    timeout: Duration = 15.0
    """How long a receiver may take to answer."""
    allow: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Networks that are not public and may be called back all the same: `10.0.0.0/8 fd00::/8`."""
    ports: Annotated[tuple[tuple[int, int], ...], NoDecode, BeforeValidator(_ports)] = Egress().ports
    """Ports that may be called back: `80 443 1024-65535`."""
    schemes: Annotated[tuple[Literal["http", "https"], ...], NoDecode, BeforeValidator(_words)] = (
        "http",
        "https",
    )
    """`https` alone, or both."""
    base_url: str = ""
    """What stands before the links in a callback, as https://penstock.example.com; without it they are paths."""

    @property
    def egress(self) -> Egress:
        """Where callbacks, and any other URL that a client gives, may lead."""
        return Egress(allow=self.allow, ports=self.ports, schemes=self.schemes)

    @field_validator("base_url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        if value and split(value) is None:
            raise ValueError("not a URL: write https://HOST, under which clients reach the gateway")
        return value.rstrip("/")


class FcSettings(_Group):
    """What functions are told of where they run, in the headers of Function Compute."""

    region: Annotated[str, Field(pattern=r"^[\w-]{1,63}$")] = "local"
    """`x-fc-region`, unless a function's spec says another."""
    account_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] = "0"
    """`x-fc-account-id`."""


class RetentionSettings(_Group):
    """How long what has ended can be read; then its id answers 410."""

    job: Duration = 86_400.0
    """Of an async job, from its end."""
    call: Duration = 600.0
    """Of a held call, from its end."""


class CostSettings(_Group):
    """What `penstock cost` reckons with."""

    price: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.000018
    """Of a GB-second."""
    currency: Annotated[str, Field(min_length=1)] = "USD"
    """Of the prices, as it is shown."""
    card_price_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """What the same card would cost elsewhere, to compare with; None: no comparison."""


class TelemetrySettings(_Group):
    """Metrics, traces and logs."""

    enabled: bool = True
    """False: no metrics and no traces, and /metrics is not there."""
    otlp_endpoint: str = ""
    """Base URL of an OTLP/HTTP receiver, as http://127.0.0.1:4318, that gets metrics and traces; empty: none."""
    otlp_interval: Annotated[Duration, Field(gt=0)] = 15.0
    """Between two exports of metrics."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the invocations that are traced when their caller does not say."""
    trust_caller: bool = True
    """A `traceparent` decides whether an invocation is traced, and its trace goes on. False: chance decides for
    all, and each begins a trace of its own that links to the caller's."""
    log_format: Literal["text", "json"] = "text"
    """Of the processes' own log."""
    max_functions: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Functions with a label of their own in /metrics, the latest active ones; the others are `other`."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_endpoint(cls, value: str) -> str:
        if value and split(value) is None:
            raise ValueError("not a URL: write http://HOST:4318, where an OTLP/HTTP receiver listens")
        return value.rstrip("/")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="PENSTOCK_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path("~/.local/share/penstock")
    """Blobs, virtual environments, and under `penstock up` Redis's data and the secrets."""
    secret: Secret = ""
    """Signs invocation ids; the same for every process of a deployment. `penstock up` makes one."""
    mode: Literal["development", "production"] = "development"
    """In production a Redis that can lose jobs is refused, not only complained about, and so are images without a
    digest and volumes beside docker.volume_roots."""
    redis: RedisSettings = RedisSettings()
    gateway: GatewaySettings = GatewaySettings()
    workers: WorkersSettings = WorkersSettings()
    docker: DockerSettings = DockerSettings()
    callbacks: CallbackSettings = CallbackSettings()
    fc: FcSettings = FcSettings()
    retention: RetentionSettings = RetentionSettings()
    cost: CostSettings = CostSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        short: dict[str, Any] = {}
        for key, name in _SHORT.items():
            if given := os.environ.get(name):
                short.setdefault(key.partition(".")[0], {})[key.partition(".")[2]] = given
        alias = InitSettingsSource(settings_cls, short)
        file = YamlConfigSettingsSource(settings_cls, yaml_file=os.environ.get("PENSTOCK_CONFIG"))
        return (init_settings, env_settings, alias, file)

    @property
    def secrets_folder(self) -> Path:
        """`workers.secrets`, or where they are without it."""
        given = self.workers.secrets
        return self.folder / "secrets" if given is None else given.expanduser().absolute()

    @property
    def folder(self) -> Path:
        """`data_dir` with its home folder filled in."""
        return self.data_dir.expanduser().absolute()


def load(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the flags, given as `{"group.name": value}` with None for one that was not given, then the
    environment, then the file named by PENSTOCK_CONFIG. Raises ConfigurationError, which names the key, where its
    value came from, what is wrong with it, and the value."""
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    groups: dict[str, Any] = {}
    for key, value in given.items():
        group, _, name = key.rpartition(".")
        (groups.setdefault(group, {}) if group else groups)[name] = value
    try:
        file = _file()
        return Settings(**groups)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, given, file)) from None
    except (SettingsError, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        raise ConfigurationError(f"settings: {error}") from None


def variable(key: str) -> str:
    """The name of a setting in the environment."""
    return "PENSTOCK_" + key.upper().replace(".", "__")


def environment(flags: Mapping[str, Any]) -> dict[str, str]:
    """What a process that we start needs in its environment to get the same flags."""
    return {variable(key): _spell(value) for key, value in flags.items() if value is not None}


def origin(key: str, flags: Mapping[str, Any]) -> str:
    """Where the value of a setting comes from: `flag`, the variable of the environment, the file, or `default`."""
    return _origin(key, flags, _file())


def shown(key: str, value: object) -> object:
    """A value as it may be shown: what is secret of it is left out."""
    if not value or not isinstance(value, str):
        return value
    group, _, name = key.rpartition(".")
    holder: type[BaseModel] = (
        type(Settings.model_fields[group].default) if group in Settings.model_fields else Settings
    )
    field = holder.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    if isinstance(extra, dict) and extra.get("secret"):
        return "***"
    return _PASSWORD.sub(r"\1***@", value)


_SHORT = {"redis.url": "PENSTOCK_REDIS_URL", "telemetry.otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT"}
"""Settings that have another name in the environment, too; that of ours comes before it."""
_PASSWORD = re.compile(r"(//[^/@:]*:)[^@]*@")
"""What stands between user and host of a URL."""


def _file() -> Mapping[str, Any]:
    """What the settings file says. Raises ConfigurationError, YAMLError, OSError."""
    path = os.environ.get("PENSTOCK_CONFIG")
    if not path:
        return {}
    if not Path(path).is_file():
        raise ConfigurationError(f"PENSTOCK_CONFIG names {path}, and there is no such file")
    said = yaml.safe_load(Path(path).read_text())
    return said if isinstance(said, dict) else {}


def _origin(key: str, flags: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    if key in flags:
        return "flag"
    group, _, name = key.rpartition(".")
    named = {variable(key): True, variable(group): f'"{name}"' in os.environ.get(variable(group), "")}
    if key in _SHORT:
        named[_SHORT[key]] = True
    for one, says in named.items():
        if says and one in (known.upper() for known in os.environ):
            return one
    part = file.get(group) if group else file
    if isinstance(part, Mapping) and name in part:
        return os.environ["PENSTOCK_CONFIG"]
    return "default"


def _explain(error: ValidationError, flags: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    key = ".".join(where[: 2 if where[0] in _groups() else 1])
    message = _unknown(where) if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    source = _origin(key, flags, file)
    told = "" if source == "default" else f"{source}: "
    return f"setting {'.'.join(where)}: {told}{message} (got {shown(key, first['input'])!r})"


def _unknown(where: list[str]) -> str:
    group = where[:-1]
    holder: Any = Settings
    if group:
        holder = type(Settings.model_fields[group[0]].default) if len(group) == 1 else GpuSettings
    near = difflib.get_close_matches(where[-1], holder.model_fields, 1)
    meant = f"did you mean {'.'.join([*group, near[0]])}? " if near else ""
    return f"there is no such setting: {meant}`penstock settings` lists them"


def _groups() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if isinstance(field.default, _Group)]


def _spell(value: object) -> str:
    """As the environment has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)
