"""Provisioned instances as people configure them: a fixed target, schedules and target tracking, checked.

The document is Function Compute's, in camelCase; dumped by alias it says again what was written. Times stay the
text that was written; `window` is what they mean. `penstock.provisionfile` reads it with errors for people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from penstock import schedule
from penstock.wallclock import instant, zone

MOST = 10_000
"""Instances that a target or a capacity may ask for."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_TIMES_ALLOWED = "allowed are 2024-01-31T16:00:00.000Z, or without Z as a time in timeZone"
_METRICS = {"GPUMemUtilization": "GPUMemoryUtilization"}

Instances = Annotated[int, Field(ge=0, le=MOST)]
Metric = Literal[
    "ProvisionedConcurrencyUtilization",
    "GPUSmUtilization",
    "GPUMemoryUtilization",
    "GPUDecoderUtilization",
    "GPUEncoderUtilization",
    "GPUMemUtilization",
    "CPUUtilization",
]


@lru_cache(maxsize=1024)
def moment(text: str, time_zone: str | None) -> float:
    """Seconds since 1970 of a time as it is written in these documents. Raises ValueError."""
    try:
        time = datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None:
        raise ValueError(f"{text!r} is not a time; {_TIMES_ALLOWED}")
    return instant(time, zone(time_zone)) if time.tzinfo is None else time.timestamp()


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, value: Any) -> Any:
        # The vendor's own listing prints `scheduledActions: null`, and our dump `timeZone: null`.
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


class _Rule(_Part):
    """What scheduled actions and tracking policies share: a name, and the window in which they act."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    start_time: str | None = None
    """It acts from this time on; None: from ever."""
    end_time: str | None = None
    """It acts up to this time; None: for ever."""
    time_zone: str | None = None
    """IANA name for times without Z, and for cron; None: UTC."""

    @field_validator("start_time", "end_time", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        # YAML reads an unquoted time as a datetime, of UTC where it was written with Z.
        if isinstance(value, datetime):
            return value.isoformat() if value.tzinfo is None else _with_z(value)
        return value

    @field_validator("start_time", "end_time")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        if value is not None:
            moment(value, None)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        zone(value or None)
        return value or None  # the vendor's documents say "if it is empty"

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> _Rule:
        start, end = self.window
        if end < start:
            raise ValueError(f"endTime ({self.end_time}) must not be before startTime ({self.start_time})")
        return self

    @property
    def window(self) -> tuple[float, float]:
        """First and last instant at which it may act, in seconds since 1970."""
        start = float("-inf") if self.start_time is None else moment(self.start_time, self.time_zone)
        return start, float("inf") if self.end_time is None else moment(self.end_time, self.time_zone)


class ScheduledAction(_Rule):
    """Sets the floor when it fires, until another one fires or its window ends."""

    target: Instances
    schedule_expression: Annotated[str, Field(max_length=1024)]
    """`at(yyyy-mm-ddThh:mm:ss)` once, or `cron(Sec Min Hour DoM Month DoW)`."""

    @field_validator("schedule_expression")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        schedule.parse(value)
        return value


class TrackingPolicy(_Rule):
    """Moves the floor so that a metric stays near its target."""

    metric_type: Metric
    metric_target: Annotated[float, Field(gt=0, le=1)]
    """The share of 1 that the metric is kept near."""
    min_capacity: Instances
    """Instances; it starts from here."""
    max_capacity: Instances

    @model_validator(mode="after")
    def _bounds(self) -> TrackingPolicy:
        if self.min_capacity > self.max_capacity:
            raise ValueError(
                f"minCapacity ({self.min_capacity}) must not be larger than maxCapacity ({self.max_capacity})"
            )
        return self

    @property
    def metric(self) -> str:
        """The metric under its one name, whichever spelling was written."""
        return _METRICS.get(self.metric_type, self.metric_type)


class ProvisionConfig(_Part):
    """`provision:` of a function, or the body of the vendor's PUT .../provision-config."""

    default_target: Annotated[Instances, Field(validation_alias=AliasChoices("defaultTarget", "target"))] = 0
    """Instances while no action and no policy acts. `target` is its older spelling."""
    always_allocate_cpu: Annotated[bool, Field(alias="alwaysAllocateCPU")] = True
    """Kept and shown. Instances here have their CPU at all times; nothing freezes them between calls."""
    always_allocate_gpu: Annotated[bool, Field(alias="alwaysAllocateGPU")] = True
    """As for the CPU."""
    scheduled_actions: Annotated[tuple[ScheduledAction, ...], Field(max_length=100)] = ()
    target_tracking_policies: Annotated[tuple[TrackingPolicy, ...], Field(max_length=100)] = ()

    @model_validator(mode="before")
    @classmethod
    def _older_spelling(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("target") is None or value.get("defaultTarget") is None:
            return value
        older, newer = value["target"], value["defaultTarget"]
        if older != newer:
            raise ValueError(
                f"target ({older}) is the older spelling of defaultTarget ({newer}): give one of them"
            )
        return {name: one for name, one in value.items() if name != "target"}

    @field_validator("scheduled_actions", "target_tracking_policies")
    @classmethod
    def _names_differ(cls, value: tuple[_Rule, ...]) -> tuple[_Rule, ...]:
        names = [rule.name for rule in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is there {names.count(name)} times; names must differ")
        return value


def _with_z(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
