"""What a client asks for, read from its headers, and whether there is room. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError

from gateway.callbacks import Callback, callback
from penstock.egress import Egress
from penstock.errors import InvalidRequest
from penstock.function import Retry
from penstock.invocation import BANDS
from penstock.units import parse_duration

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_PREFERENCE = re.compile(
    r"""\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s;,"]*)))?\s*(?:;[^,]*)?""", re.ASCII
)
_ELEMENT = re.compile(r"""(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|$))+""")
"""What stands between commas, those inside quoted strings apart."""
_LONGEST_RETRY_AFTER = 60
_PUBLIC = Egress()
_RETRY_AFTER_UNKNOWN = 5


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What of RFC 7240 this gateway honours. A preference that it cannot read is ignored, as the RFC says."""

    respond_async: bool = False
    wait: int | None = None
    """Whole seconds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one request is to be served."""

    preferred: bool = False
    """The client knows RFC 7240, and so what a 202 is."""
    is_job: bool
    """The client asked not to wait for the function."""
    hold: float
    """Seconds that the connection waits for the answer; 0: it does not."""
    callback: Callback | None = None
    key: str | None = None
    """The Idempotency-Key; None: a request sent twice is two."""
    priority: str = "normal"
    max_queue: float | None = None
    """Seconds in the queue at most; None: as the function's spec says. So with the next two."""
    timeout: float | None = None
    attempts: int | None = None
    retry: Mapping[str, Any] | None = None
    """Fields of a function's `retry` that differ for this one; None: none does."""
    delay: float = 0.0
    """Seconds before it may start."""
    on_disconnect: OnDisconnect = "continue-if-started"
    events: bool = False
    """The client holds its connection for the events of the call, not for its answer."""


OnDisconnect = Literal["cancel", "continue", "continue-if-started"]
_ON_DISCONNECT: tuple[OnDisconnect, ...] = ("cancel", "continue", "continue-if-started")
_LONGEST = 7 * 86_400.0
"""Seconds that any of a client's own times may be."""
_MOST_ATTEMPTS = 100


def preferences(values: Iterable[str]) -> Preferences:
    """From all `Prefer` headers of a request; of a preference given twice the first counts."""
    found: dict[str, str] = {}
    for value in values:
        for part in _ELEMENT.findall(value):
            match = _PREFERENCE.fullmatch(part)
            if match is not None:
                found.setdefault(match[1].lower(), match[2] or match[3] or "")
    wait = found.get("wait", "")
    return Preferences(
        respond_async=found.get("respond-async") == "",
        wait=int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None,
    )


def plan(
    headers: Mapping[str, str], prefer: Preferences, *, hold: float, max_hold: float, egress: Egress = _PUBLIC
) -> Plan:
    """Raises InvalidRequest. `hold` and `max_hold` are the gateway's own, in seconds; `egress` says where a
    callback may lead."""
    default = 0.0 if prefer.respond_async else hold
    key = idempotency_key(headers)
    return Plan(
        preferred=prefer.respond_async or prefer.wait is not None,
        is_job=prefer.respond_async or prefer.wait == 0,
        hold=default if prefer.wait is None else min(float(prefer.wait), max_hold),
        callback=callback(headers, egress),
        key=key,
        priority=_one_of(headers, "Penstock-Priority", tuple(BANDS), "normal"),
        max_queue=_duration(headers, "Penstock-Max-Queue", shortest=1.0),
        timeout=_duration(headers, "Penstock-Timeout", shortest=1.0),
        attempts=_attempts(headers.get("Penstock-Max-Attempts")),
        retry=_retry(headers.get("Penstock-Retry")),
        delay=_duration(headers, "Penstock-Delay", shortest=0.0) or 0.0,
        # Whoever gives a key will ask again under it, and wants to find the work done.
        on_disconnect=_one_of(
            headers, "Penstock-On-Disconnect", _ON_DISCONNECT, "continue" if key else "continue-if-started"
        ),
        events=default > 0 and "text/event-stream" in headers.get("Accept", "").lower(),
    )


def fingerprint(method: str, path: str, query: str, content_type: str, body: Hash) -> str:
    """What must be equal for two requests under one key to be the same: SHA-256 over all of it."""
    whole = hashlib.sha256()
    for part in (method, path, query, content_type):
        whole.update(part.encode("utf-8", "surrogateescape") + b"\0")
    whole.update(body.digest())
    return whole.hexdigest()


def key_digest(key: str, owner: str) -> str:
    """SHA-256 of an Idempotency-Key and of whom it means one request for; keys themselves are never stored."""
    return hashlib.sha256((f"{owner}\0{key}" if owner else key).encode()).hexdigest()


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Raises InvalidRequest."""
    key = headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"Idempotency-Key {key!r} is not 1 to 255 visible ASCII characters")
    return key


_Word = TypeVar("_Word", bound=str)


def _one_of(headers: Mapping[str, str], name: str, allowed: tuple[_Word, ...], default: _Word) -> _Word:
    given = headers.get(name)
    if given is None:
        return default
    for word in allowed:
        if word == given.strip().lower():
            return word
    raise InvalidRequest(f"{name} {given!r} is none of {', '.join(allowed)}")


def _duration(headers: Mapping[str, str], name: str, *, shortest: float) -> float | None:
    given = headers.get(name)
    if given is None:
        return None
    try:
        seconds = parse_duration(float(given) if given.strip().isdigit() else given)
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}") from None
    if not shortest <= seconds <= _LONGEST:
        raise InvalidRequest(f"{name} {given!r} is not between {shortest:g} s and {_LONGEST / 86_400:g} d")
    return seconds


def _attempts(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _MOST_ATTEMPTS:
        raise InvalidRequest(f"Penstock-Max-Attempts {text!r} is not a number from 1 to {_MOST_ATTEMPTS}")
    return int(text)


def _retry(text: str | None) -> Mapping[str, Any] | None:
    """`backoff=2s; max_backoff=1m; on=429,503; held=true; attempts=5`: any of these."""
    if text is None:
        return None
    given: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, value = (word.strip() for word in part.partition("="))
        given[name] = tuple(value.split(",")) if name == "on" else value
    try:
        retry = Retry.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))  # empty for a name that is no text
        raise InvalidRequest(f"Penstock-Retry: {place}: {first['msg']} (got {text!r})") from None
    return {name: getattr(retry, name) for name in given}


def wait_parameter(text: str | None, *, longest: float) -> float:
    """Seconds of `?wait=N`. Raises InvalidRequest."""
    if text is None:
        return 0.0
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidRequest(f"wait={text!r} is not a whole number of seconds")
    return min(float(text), longest)


def retry_after(waiting: int, drain_rate: float | None) -> int:
    """Whole seconds until a tenth of what waits will have been served at this rate (calls per second)."""
    if not drain_rate:
        return _RETRY_AFTER_UNKNOWN
    return min(max(ceil(waiting / 10 / drain_rate), 1), _LONGEST_RETRY_AFTER)


def next_end(drain_rate: float | None) -> int:
    """Whole seconds until one of those in flight will have ended at this rate (calls per second)."""
    return retry_after(10, drain_rate)
