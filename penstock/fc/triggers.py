"""What calls a function in Function Compute beside clients: triggers and custom domains, checked.

They are read into these types whether or not something here acts on them; `Trigger.missing` says what does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator

from penstock import cron
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part
from penstock.wallclock import zone

_EVERY = re.compile(r"@every ([1-9]\d*[smh])+")
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)")


class Http(Part):
    """Any HTTP request is a call."""

    auth_type: Literal["anonymous", "function", "jwt"] = "anonymous"
    methods: tuple[str, ...] = ()
    """Those that are let through; empty: all."""
    disable_url_internet: bool = Field(default=False, validation_alias="disableURLInternet")

    def missing(self, name: str) -> str | None:
        keys = (
            "" if self.auth_type == "anonymous" else f", without the check that authType {self.auth_type} asks for"
        )
        methods = f" with any method, not only {', '.join(self.methods)}" if self.methods else ""
        return f"/fn/{name}/ lets every request through{methods}{keys}" if keys or methods else None


class Timer(Part):
    cron_expression: str
    """`@every 1m`, or six fields; in UTC, or in the zone of a CRON_TZ= before it."""
    enable: bool = True
    payload: str = ""

    @field_validator("cron_expression")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        if _EVERY.fullmatch(value.strip()):
            return value
        zoned = _ZONE.fullmatch(value.strip())
        if zoned:
            zone(zoned[1])
        cron.parse(zoned[2] if zoned else value.strip())
        return value

    def missing(self, name: str) -> str | None:
        when = f"nothing calls {name} at {self.cron_expression!r}: timers are not available yet"
        return when if self.enable else None


class _Key(Part):
    prefix: str = Field(default="", validation_alias=AliasChoices("prefix", "Prefix"))
    suffix: str = Field(default="", validation_alias=AliasChoices("suffix", "Suffix"))


class _Filter(Part):
    key: _Key = Field(default_factory=_Key, validation_alias=AliasChoices("key", "Key"))


class Oss(Part):
    """Objects that appear in a bucket."""

    bucket_name: str | None = None
    events: tuple[str, ...]
    filter: _Filter = Field(default_factory=_Filter)

    def missing(self, name: str) -> str | None:
        return f"nothing calls {name} for new objects: oss triggers are not available yet"


class MnsTopic(Part):
    """Messages of a topic."""

    topic_name: str | None = None
    notify_content_format: Literal["STREAM", "JSON"] = "STREAM"
    notify_strategy: Literal["BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"] = "BACKOFF_RETRY"
    filter_tag: str | None = None
    region: str | None = None

    def missing(self, name: str) -> str | None:
        return f"nothing calls {name} for messages of {self.topic_name or 'a topic'}: no mns_topic triggers yet"


Config = Http | Timer | Oss | MnsTopic
_TYPES: dict[str, type[Config]] = {"http": Http, "timer": Timer, "oss": Oss, "mns_topic": MnsTopic}


class _Envelope(Part):
    name: str = Field(validation_alias=AliasChoices("name", "triggerName"))
    type: str = Field(validation_alias=AliasChoices("type", "triggerType"))
    config: dict[str, Any] = Field(default_factory=dict, validation_alias=AliasChoices("config", "triggerConfig"))
    source_arn: str | None = Field(default=None, validation_alias=AliasChoices("sourceArn", "source"))
    qualifier: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trigger:
    name: str
    qualifier: str | None
    """The version or alias that it calls; None: LATEST."""
    source: str | None
    """The vendor's name of a bucket or topic, where the config has none."""
    config: Config
    place: Place
    """Where it is in the file."""


class _Route(Part):
    path: str = "/*"
    service_name: str | None = None
    function_name: str | None = None
    qualifier: str | None = None
    methods: tuple[str, ...] = ()


class _Routes(Part):
    routes: tuple[_Route, ...] = ()


class Domain(Part):
    """A host name whose paths lead to functions."""

    domain_name: str
    """`auto`: one that the vendor makes up."""
    protocol: str = "HTTP"
    route_configs: tuple[_Route, ...] = ()
    route_config: _Routes = Field(default_factory=_Routes)

    @property
    def routes(self) -> tuple[_Route, ...]:
        return self.route_configs or self.route_config.routes


def read_triggers(raw: Any, place: Place, notes: Notes) -> tuple[Trigger, ...]:
    """The triggers of a list. Raises ConfigurationError for one that is wrong."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise notes.error(place, "must be a list of triggers")
    return tuple(found for n, one in enumerate(raw) if (found := _trigger(one, (*place, str(n)), notes)))


def read_domain(raw: Any, place: Place, notes: Notes) -> Domain:
    """A custom domain. Raises ConfigurationError."""
    domain = read(Domain, raw, place, notes)
    notes.warn(place, f"{domain.domain_name} leads nowhere: requests are not routed by their Host yet")
    return domain


def _trigger(raw: Any, place: Place, notes: Notes) -> Trigger | None:
    envelope = read(_Envelope, raw, place, notes)
    kind = _TYPES.get(envelope.type)
    if kind is None:
        notes.warn(place, f"triggers of type {envelope.type} are not available: {envelope.name} calls nothing")
        return None
    inner = next((name for name in ("config", "triggerConfig") if name in raw), "config")
    config = read(kind, envelope.config, (*place, inner), notes)
    return Trigger(
        name=envelope.name,
        qualifier=envelope.qualifier,
        source=envelope.source_arn,
        config=config,
        place=place,
    )
