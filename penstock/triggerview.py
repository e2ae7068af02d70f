"""How the API and the command line show a function's triggers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock import clock
from penstock.function import Function
from penstock.timers import around
from penstock.triggers import HttpTrigger, ObjectsTrigger, Past, TimerTrigger, Trigger


def listing(function: Function, pasts: Mapping[str, Past], now_ms: int) -> list[dict[str, Any]]:
    """Each trigger of its spec, what it has done and when it is next due."""
    return [_one(function, trigger, pasts.get(trigger.name), now_ms) for trigger in function.spec.triggers]


def summary(trigger: Trigger) -> str:
    """What it looks at, in one line."""
    if isinstance(trigger, HttpTrigger):
        return f"http {', '.join(trigger.methods) or 'any method'}"
    if isinstance(trigger, TimerTrigger):
        return f"timer {trigger.schedule}" + (f" {trigger.timezone}" if trigger.timezone else "")
    if isinstance(trigger, ObjectsTrigger):
        filters = f"{trigger.prefix}*{trigger.suffix}" if trigger.prefix or trigger.suffix else ""
        return f"objects {' and '.join(trigger.events)} in {trigger.bucket}" + (f" {filters}" if filters else "")
    return f"topic {trigger.topic}"


def _one(function: Function, trigger: Trigger, past: Past | None, now_ms: int) -> dict[str, Any]:
    said = trigger.model_dump(mode="json")
    if isinstance(trigger, HttpTrigger):
        return said | {"url": f"/fn/{function.name}/"}
    known = past if past is not None and past.identity == trigger.identity else None
    due = None
    if isinstance(trigger, TimerTrigger):
        since = known.since if known is not None else function.created_at
        if trigger.enabled:
            due = around(trigger.schedule, trigger.timezone, since_ms=since, now_ms=now_ms).next
        said["next_due"] = clock.rfc3339(due)
        said["last_due"] = clock.rfc3339(known.due if known is not None else None)
    return said | {
        "fired": known.fired if known is not None else 0,
        "last_fired": clock.rfc3339(known.fired_at if known is not None else None),
        "last_invocation": known.invocation if known is not None else None,
        "last_error": known.error if known is not None else None,
        "last_error_at": clock.rfc3339(known.error_at if known is not None else None),
    }
