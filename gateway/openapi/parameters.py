"""The parameters of requests: those of paths by name, and those that several operations share."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.openapi.parts import Parameter, Schema, header, query
from penstock.function import NAME
from penstock.invocation import BANDS, State
from penstock.units import DURATION_TEXT

_WORDS = {"type": "string", "minLength": 1}
_DURATION = {"type": "string", "pattern": DURATION_TEXT, "examples": ["90s"]}

PATH: Mapping[str, tuple[Schema, str]] = {
    "function": (
        {"type": "string", "pattern": f"^{NAME.pattern}(@[A-Za-z0-9_-]{{1,128}})?$", "examples": ["echo"]},
        "Name of the function; a version or an alias of it may follow, as in `chat@3` and `chat@prod`.",
    ),
    "id": (_WORDS, "As the gateway gave it."),
    "instance": (_WORDS, "Id of the instance, as the list of instances has it."),
    "version": ({"type": "string", "pattern": "^[1-9][0-9]{0,8}$", "examples": ["3"]}, "Its number."),
    "alias": ({"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]{0,127}$"}, "Name of the alias."),
    "name": (_WORDS, "Host name, as DNS has it: api.example.com."),
    "gpu": (_WORDS, "UUID of the card, or a beginning of it that no other card's has."),
    "topic": ({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$"}, "Name of the topic."),
    "key": (_WORDS, "Id of an API key."),
    "asset": (_WORDS, "A part of the page."),
    "path": ({"type": "string"}, "Path at the function's own server; may have slashes."),
}
"""By the name in the route's path."""

WAIT = query(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    "Seconds to wait for the end, at most; bounded by the gateway's own limit.",
)
LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Most to list.")
CURSOR = query("cursor", _WORDS, "`next_cursor` of the list that this one goes on with.")
STATE = query("state", {"type": "string", "enum": [state.value for state in State]}, "Those in this state alone.")
FOLLOW = query("follow", {"type": "boolean"}, "Whether to stay and get what comes next.")

KEY = header(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "The same request under the same key is one invocation, as long as its record is kept.",
)
_CALLBACK = (
    header(
        "Penstock-Callback-Url",
        {"type": "string", "format": "uri"},
        "Who is told, with a signed POST. Only public addresses, but for those that the gateway allows.",
    ),
    header(
        "Penstock-Callback-Events",
        {"type": "string", "examples": ["started, completed"]},
        "Of what: any of `started`, `progress`, `output`, `completed` (the default).",
    ),
    header(
        "Penstock-Callback-Payload",
        {"type": "string", "enum": ["full", "thin"]},
        "The record and the result, or ids and links alone. Needs Penstock-Callback-Url.",
    ),
)
JOB = (
    KEY,
    header("Penstock-Priority", {"type": "string", "enum": list(BANDS)}, "Place in the queue; default `normal`."),
    header("Penstock-Max-Queue", _DURATION, "Longest time in the queue, 1 s to 7 d; else the call expires."),
    header("Penstock-Timeout", _DURATION, "Longest run, 1 s to 7 d, instead of the function's own."),
    header("Penstock-Delay", _DURATION, "Time before it may start, up to 7 d."),
    header(
        "Penstock-Max-Attempts",
        {"type": "integer", "minimum": 1, "maximum": 100},
        "Runs at most; default: the spec's.",
    ),
    header(
        "Penstock-Retry",
        {"type": "string", "examples": ["backoff=2s; on=429,503; held=true"]},
        "Fields of the spec's `retry` that differ for this one.",
    ),
    *_CALLBACK,
)
"""What a submit may say of a job."""
CALL: tuple[Parameter, ...] = (
    header(
        "Prefer",
        {"type": "string", "examples": ["respond-async", "wait=10"]},
        "RFC 7240: `respond-async` makes it a job at once, `wait=N` holds the connection for N seconds at most.",
    ),
    header(
        "Penstock-On-Disconnect",
        {"type": "string", "enum": ["cancel", "continue", "continue-if-started"]},
        "What becomes of it if its client hangs up; default `continue-if-started`, with a key `continue`.",
    ),
    header("traceparent", {"type": "string"}, "W3C trace context of the caller."),
    *JOB,
)
"""What a call may say."""
