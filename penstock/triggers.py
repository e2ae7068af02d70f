"""What calls a function beside its clients: the `triggers` of a spec, checked. Pure.

http says which methods its URL takes; timer, objects and topic make async jobs of due times, of objects that
appear and of messages, each exactly one (workers/triggers.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from penstock import timers
from penstock.egress import split
from penstock.units import Duration
from penstock.wallclock import zone

_TOPIC = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$"
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?")
_LONGEST_PAYLOAD = 64 * 1024
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
METHODS: tuple[Method, ...] = get_args(Method)


class _Trigger(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,127}$")]
    """Its own among those of its function."""
    enabled: bool = True

    @property
    def identity(self) -> str:
        """What it looks at: with another one, what it saw and fired before is another trigger's."""
        fields = self.model_dump_json(exclude=set(self._beside()))
        return hashlib.sha256(fields.encode()).hexdigest()[:12]

    def _beside(self) -> frozenset[str]:
        """Fields that change what is told and not what is looked at."""
        return frozenset()


class HttpTrigger(_Trigger):
    """Which requests `/fn/<function>` takes; a function without one takes all."""

    type: Literal["http"]
    methods: tuple[Method, ...] = ()
    """Empty: all."""


class TimerTrigger(_Trigger):
    type: Literal["timer"]
    schedule: str
    """`@every 90s`, counted from when it was deployed, or six fields of cron."""
    timezone: str | None = None
    """IANA name of the zone that cron's fields are in; None: UTC."""
    payload: Annotated[str, Field(max_length=_LONGEST_PAYLOAD)] = ""

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        zone(value)
        return value

    @field_validator("schedule")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        timers.parse(value)
        return value

    def _beside(self) -> frozenset[str]:
        return frozenset({"payload"})


class ObjectsTrigger(_Trigger):
    type: Literal["objects"]
    bucket: Annotated[str, Field(min_length=1)]
    """A folder, relative to the spec file, or `s3://BUCKET`."""
    endpoint: str | None = None
    """URL of an S3-compatible store; None: that of the workers' environment (AWS_ENDPOINT_URL), else Amazon's."""
    region: str | None = None
    events: Annotated[tuple[Literal["created", "removed"], ...], Field(min_length=1)] = ("created",)
    """An object that is written anew is created again."""
    prefix: str = ""
    suffix: str = ""
    every: Annotated[Duration, Field(ge=0.1, le=86_400)] | None = None
    """How often it is looked; None: each second in a folder, every ten in a bucket."""

    @property
    def s3(self) -> str | None:
        """Name of the bucket; None: it is a folder."""
        found = _S3.fullmatch(self.bucket)
        return found["bucket"] if found else None

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        return self.every if self.every is not None else 10.0 if self.s3 else 1.0

    @model_validator(mode="after")
    def _is_a_place(self) -> ObjectsTrigger:
        if "://" in self.bucket and self.s3 is None:
            raise ValueError(f"bucket {self.bucket!r} is neither a folder nor s3://BUCKET; a path goes to prefix")
        if self.s3 is None and (self.endpoint or self.region):
            raise ValueError("endpoint and region are for a bucket s3://…, and this one is a folder")
        if self.endpoint is not None and split(self.endpoint) is None:
            raise ValueError(f"endpoint {self.endpoint!r} is not an http:// or https:// URL with a host")
        return self

    def _beside(self) -> frozenset[str]:
        return frozenset({"every", "events"})


class TopicTrigger(_Trigger):
    type: Literal["topic"]
    topic: Annotated[str, Field(pattern=_TOPIC)]
    format: Literal["stream", "json"] = "stream"
    """The message's body alone, or JSON of all that is known of it."""
    tag: str | None = None
    """Only messages with this tag; None: all."""

    def _beside(self) -> frozenset[str]:
        return frozenset({"format", "tag"})


Trigger = Annotated[HttpTrigger | TimerTrigger | ObjectsTrigger | TopicTrigger, Field(discriminator="type")]
TRIGGERS: Mapping[str, type[BaseModel]] = {
    "http": HttpTrigger,
    "timer": TimerTrigger,
    "objects": ObjectsTrigger,
    "topic": TopicTrigger,
}
"""By their type."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a trigger has done. Times are milliseconds since 1970."""

    identity: str
    """Of the trigger that did it: that of another is forgotten."""
    since: int
    """From when on it counts: what was before is none of its events."""
    due: int | None = None
    """The latest due time of a timer that became a job."""
    fired: int = 0
    """Jobs that it made."""
    fired_at: int | None = None
    invocation: str | None = None
    """The last of them."""
    topic: str | None = None
    """Where its consumer group is; None: it has none."""
    error: str | None = None
    """Why it cannot fire; None: it can."""
    error_at: int | None = None


def checked(triggers: tuple[Trigger, ...]) -> tuple[Trigger, ...]:
    """Raises ValueError if two have one name."""
    names = [one.name for one in triggers]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two triggers are named {twice[0]}; each name is one trigger's")
    return triggers


def methods(triggers: tuple[Trigger, ...]) -> frozenset[str] | None:
    """The methods that a function's URL takes; None: all."""
    allowed: set[str] = set()
    several = [one for one in triggers if isinstance(one, HttpTrigger) and one.enabled]
    for one in several:
        if not one.methods:
            return None
        allowed.update(one.methods)
    return frozenset(allowed) if several else None
