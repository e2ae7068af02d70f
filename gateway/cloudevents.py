"""CloudEvents 1.0 over HTTP, in binary and structured mode: told apart from other requests, and checked. Pure.

A function gets the event as it came: in binary mode the data with the `ce-*` headers, in structured mode the whole
envelope. The same event, by its source and id, is the same call, as if it had an Idempotency-Key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote

from penstock.errors import InvalidRequest, UnsupportedMedia

_MEDIA = "application/cloudevents"
_PREFIX = "ce-"
_REQUIRED = ("id", "source", "specversion", "type")
_VERSION = "1.0"


def is_structured(content_type: str) -> bool:
    """The body is an event. Raises UnsupportedMedia for a batch, and for formats other than JSON."""
    media = content_type.partition(";")[0].strip().lower()
    if not media.startswith(_MEDIA):
        return False
    if media == f"{_MEDIA}+json":
        return True
    if media.startswith(f"{_MEDIA}-batch"):
        raise UnsupportedMedia(f"{media}: send each event as a request, or several as a batch of jobs as NDJSON")
    raise UnsupportedMedia(f"{media} is not understood: send {_MEDIA}+json, or attributes as {_PREFIX}* headers")


def is_binary(headers: Mapping[str, str]) -> bool:
    """The headers say that the body is an event's data."""
    return any(f"{_PREFIX}{name}" in headers for name in _REQUIRED)


def attributes(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those of an event in binary mode, as headers for the function."""
    return tuple((name.lower(), value) for name, value in headers.items() if name.lower().startswith(_PREFIX))


def of_headers(headers: Mapping[str, str]) -> str:
    """The key of an event in binary mode. Raises InvalidRequest."""
    given = {name: headers.get(f"{_PREFIX}{name}", "") for name in _REQUIRED}
    return _key({name: unquote(value) for name, value in given.items()}, _PREFIX)


def of_body(body: bytes) -> str:
    """The key of an event in structured mode. Raises InvalidRequest."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the CloudEvent is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise InvalidRequest("the CloudEvent must be one JSON object; a batch is not taken here")
    return _key({name: event.get(name) for name in _REQUIRED}, "")


def _key(given: Mapping[str, object], prefix: str) -> str:
    missing = [f"{prefix}{name}" for name, value in given.items() if not (isinstance(value, str) and value)]
    if missing:
        raise InvalidRequest(f"the CloudEvent has no {', '.join(missing)}: each must be text that is not empty")
    if given["specversion"] != _VERSION:
        raise InvalidRequest(f"{prefix}specversion {given['specversion']!r} is not understood: it must be 1.0")
    # No client can send such a key itself: it is not printable.
    return f"cloudevent\0{given['source']}\0{given['id']}"
