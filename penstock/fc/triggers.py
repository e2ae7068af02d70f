"""What calls a function in Function Compute beside clients: its triggers, checked.

They are read into these types; `Trigger.native` is what a spec of ours has for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator

from penstock import timers
from penstock.fc.notes import Notes, Place
from penstock.fc.reading import read
from penstock.fc.schema import Part
from penstock.triggers import METHODS
from penstock.wallclock import zone

_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)")


class Http(Part):
    """Any HTTP request is a call."""

    auth_type: Literal["anonymous", "function", "jwt"] = "anonymous"
    methods: tuple[str, ...] = ()
    """Those that are let through; empty: all."""
    disable_url_internet: bool = Field(default=False, validation_alias="disableURLInternet")

    @property
    def auth(self) -> Literal["anonymous", "function"]:
        """Who may call it, as a spec has it."""
        return "anonymous" if self.auth_type == "anonymous" else "function"

    def native(self, trigger: Trigger, notes: Notes) -> dict[str, Any] | None:
        if self.auth_type == "jwt":
            notes.warn(trigger.place, "authType jwt: callers need an API key of this gateway instead of a token")
        unknown = [one for one in self.methods if one.upper() not in METHODS]
        if unknown:
            notes.warn(trigger.place, f"{', '.join(unknown)}: no method that is served; {', '.join(METHODS)} are")
        return {"type": "http", "methods": [one.upper() for one in self.methods if one.upper() in METHODS]}


class Timer(Part):
    cron_expression: str
    """`@every 1m`, or six fields; in UTC, or in the zone of a CRON_TZ= before it."""
    enable: bool = True
    payload: str = ""

    @field_validator("cron_expression")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        name, schedule = _zoned(value)
        zone(name)
        timers.parse(schedule)
        return value

    def native(self, trigger: Trigger, notes: Notes) -> dict[str, Any] | None:
        name, schedule = _zoned(self.cron_expression)
        return {
            "type": "timer",
            "schedule": schedule,
            "timezone": name,
            "payload": self.payload,
            "enabled": self.enable,
        }


def _zoned(expression: str) -> tuple[str | None, str]:
    zoned = _ZONE.fullmatch(expression.strip())
    return (zoned[1], zoned[2]) if zoned else (None, expression.strip())


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

    def native(self, trigger: Trigger, notes: Notes) -> dict[str, Any] | None:
        bucket = self.bucket_name or (trigger.source or "").rpartition(":")[2]
        events = [
            ours
            for ours, theirs in (("created", "oss:ObjectCreated:"), ("removed", "oss:ObjectRemoved:"))
            if any(one.startswith(theirs) for one in self.events)
        ]
        for one in self.events:
            if not one.startswith(("oss:ObjectCreated:", "oss:ObjectRemoved:")):
                notes.warn(
                    trigger.place,
                    f"{one}: nothing tells of it here; oss:ObjectCreated and oss:ObjectRemoved are told",
                )
        if not (bucket and events):
            notes.warn(
                trigger.place, f"it calls nothing without {'an event' if bucket else 'bucketName or sourceArn'}"
            )
            return None
        folder = bucket.startswith(("/", "./", "../"))
        if not folder:
            notes.warn(
                trigger.place,
                f"s3://{bucket} is looked at in the S3-compatible store of the workers' AWS_ENDPOINT_URL",
            )
        key = self.filter.key
        return {
            "type": "objects",
            "bucket": bucket if folder else f"s3://{bucket}",
            "events": events,
            "prefix": key.prefix,
            "suffix": key.suffix,
        }


class MnsTopic(Part):
    """Messages of a topic."""

    topic_name: str | None = None
    notify_content_format: Literal["STREAM", "JSON"] = "STREAM"
    notify_strategy: Literal["BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"] = "BACKOFF_RETRY"
    filter_tag: str | None = None
    region: str | None = None

    def native(self, trigger: Trigger, notes: Notes) -> dict[str, Any] | None:
        topic = self.topic_name or (trigger.source or "").rstrip("/").rpartition("/")[2]
        if not topic:
            notes.warn(trigger.place, "it calls nothing without topicName or sourceArn")
            return None
        return {
            "type": "topic",
            "topic": topic,
            "format": self.notify_content_format.lower(),
            "tag": self.filter_tag,
        }


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

    def native(self, notes: Notes) -> dict[str, Any] | None:
        """As a spec has it; None: nothing here can act on it, and that was said."""
        if self.qualifier not in (None, "LATEST"):
            notes.warn(self.place, f"{self.name} calls LATEST, and not {self.qualifier}")
        found = self.config.native(self, notes)
        return None if found is None else {"name": self.name, **found}


def read_triggers(raw: Any, place: Place, notes: Notes) -> tuple[Trigger, ...]:
    """The triggers of a list. Raises ConfigurationError for one that is wrong."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise notes.error(place, "must be a list of triggers")
    return tuple(found for n, one in enumerate(raw) if (found := _trigger(one, (*place, str(n)), notes)))


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
