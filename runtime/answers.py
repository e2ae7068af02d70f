"""What becomes of what a handler returns or yields.

    bytes           application/octet-stream
    str             text/plain
    anything else   JSON

A stream takes its content type from the first thing that is yielded: bytes and str as above (text/event-stream
if that text begins like an event), anything else makes it NDJSON, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

JSON = "application/json"
_LAMBDA_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "cookies", "body", "isBase64Encoded"})
_EVENT_BEGINS = ("data:", "event:", "id:", "retry:", ": ", ":\n")

Marks = tuple[tuple[bytes, bytes], ...]
LAMBDA_MARK: Marks = ((b"penstock-answer", b"lambda"),)
"""The header that marks an answer as Lambda's `{statusCode, headers, body, isBase64Encoded}`. Its body is that
object as JSON, and whoever passes the answer on as HTTP unwraps it."""


def encode(result: Any, *, lambda_style: bool = False) -> tuple[str, bytes, Marks]:
    """Content type, body, further headers. Raises TypeError, ValueError for what is no JSON.

    lambda_style: text is JSON, too, as Lambda has it.
    """
    if isinstance(result, (bytes, bytearray, memoryview)):
        return "application/octet-stream", bytes(result), ()
    if isinstance(result, str) and not lambda_style:
        return "text/plain; charset=utf-8", result.encode(), ()
    return JSON, _json(result), LAMBDA_MARK if _is_lambda(result, lambda_style) else ()


def stream_encoder(first: Any) -> tuple[str, Callable[[Any], bytes]]:
    """Content type of a stream that begins so, and how each thing in it becomes bytes."""
    if isinstance(first, (bytes, bytearray, memoryview)):
        return "application/octet-stream", _as_it_is
    if isinstance(first, str):
        kind = "text/event-stream" if first.startswith(_EVENT_BEGINS) else "text/plain; charset=utf-8"
        return kind, _as_it_is
    return "application/x-ndjson", _line


def _as_it_is(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    return bytes(item) if isinstance(item, (bytes, bytearray, memoryview)) else _line(item)


def _line(item: Any) -> bytes:
    return _json(item) + b"\n"


def _json(value: Any) -> bytes:
    # Infinity and NaN are no JSON: a client could not read them.
    return json.dumps(value, allow_nan=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    """Arrays and scalars of numpy and torch."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"{type(value).__name__} is no JSON: return bytes, text, or dicts and lists of text, numbers, booleans"
    )


def _is_lambda(result: Any, lambda_style: bool) -> bool:
    if not isinstance(result, dict) or type(result.get("statusCode")) is not int:
        return False
    return lambda_style or _LAMBDA_KEYS.issuperset(result)
