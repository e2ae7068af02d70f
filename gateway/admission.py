"""What a client asks for, read from its headers, and whether there is room. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from urllib.parse import urlsplit

from penstock.errors import InvalidRequest

_PREFERENCE = re.compile(
    r"""\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s;,"]*)))?\s*(?:;[^,]*)?""", re.ASCII
)
_ELEMENT = re.compile(r"""(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|$))+""")
"""What stands between commas, those inside quoted strings apart."""
_LONGEST_RETRY_AFTER = 60
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

    is_job: bool
    """The client asked not to wait for the function."""
    hold: float
    """Seconds that the connection waits for the answer; 0: it does not."""
    callback: str | None


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


def plan(headers: Mapping[str, str], prefer: Preferences, *, hold: float, max_hold: float) -> Plan:
    """Raises InvalidRequest. `hold` and `max_hold` are the gateway's own, in seconds."""
    default = 0.0 if prefer.respond_async else hold
    return Plan(
        is_job=prefer.respond_async or prefer.wait == 0,
        hold=default if prefer.wait is None else min(float(prefer.wait), max_hold),
        callback=_callback(headers.get("Penstock-Callback-Url")),
    )


def _callback(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(character.isspace() for character in url):
        raise InvalidRequest(f"Penstock-Callback-Url {url!r} is not an http:// or https:// URL with a host")
    return url


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
