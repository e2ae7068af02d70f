"""What a call may ask for, and the headers that say so. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Literal, TypedDict


class CallOptions(TypedDict, total=False):
    """Of every call; what is left out is as the function's spec says. Durations are seconds, or text such as
    `90s`, `5m`, `24h`."""

    content_type: str
    """Of the event.  [by its type: bytes octet-stream, str text, else JSON]"""
    priority: Literal["high", "normal", "low"]
    """Who is taken first."""
    max_queue: float | str
    """Longest time in the queue."""
    run_timeout: float | str
    """Longest time of one run."""
    attempts: int
    """Runs at most."""
    retry: str
    """As the spec's `retry`: `on=429,503; backoff=2s; max_backoff=1m; held=true`."""
    delay: float | str
    """It does not start before."""
    callback: str
    """URL that is told how it ended; penstock.webhooks.verify checks what arrives there."""
    on_disconnect: Literal["cancel", "continue", "continue-if-started"]
    """What happens to a call whose client hangs up.  [continue: the client asks again under the same key]"""
    key: str
    """Idempotency-Key: the same call under the same key is the same job.  [one of its own for each call]"""
    headers: Mapping[str, str]
    """Further ones, such as traceparent."""


def headers(options: CallOptions) -> dict[str, str]:
    """All but the content type. The key is what makes it safe to send a call again."""
    asked = {
        "Penstock-Priority": options.get("priority"),
        "Penstock-Max-Queue": _duration(options.get("max_queue")),
        "Penstock-Timeout": _duration(options.get("run_timeout")),
        "Penstock-Max-Attempts": options.get("attempts"),
        "Penstock-Retry": options.get("retry"),
        "Penstock-Delay": _duration(options.get("delay")),
        "Penstock-Callback-Url": options.get("callback"),
        "Penstock-On-Disconnect": options.get("on_disconnect"),
    }
    given = {name: str(value) for name, value in asked.items() if value is not None}
    return {"Idempotency-Key": options.get("key") or new_key(), **given, **options.get("headers", {})}


def new_key() -> str:
    return secrets.token_hex(16)


def _duration(value: float | str | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value * 1000:.0f}ms"
