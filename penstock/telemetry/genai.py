"""What a call of OpenAI's shape says of its model: the `gen_ai.*` attributes of its span. Pure.

Only of bodies that are at hand and short: nothing is read for it, and no text of a prompt or an answer is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 64 * 1024
"""Bytes of a body that is looked into."""
_OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
"""By the end of the path; the first that fits counts."""
_LONGEST_NAME = 200

Value = str | bool | int | float | Sequence[str]


def attributes(path: str, request: bytes, answer: bytes) -> Mapping[str, Value]:
    """Empty for any other call. `answer` is JSON, or Server-Sent Events of it."""
    operation = next((name for end, name in _OPERATIONS.items() if path.endswith(end)), None)
    asked = _object(request)
    if operation is None or not asked:
        return {}
    found: dict[str, Value] = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai"}
    _name(found, "gen_ai.request.model", asked.get("model"))
    _number(found, "gen_ai.request.max_tokens", asked.get("max_completion_tokens", asked.get("max_tokens")))
    said = _object(answer) or _last_with_usage(answer)
    _name(found, "gen_ai.response.model", said.get("model"))
    _name(found, "gen_ai.response.id", said.get("id"))
    reasons = [one.get("finish_reason") for one in _objects(said.get("choices"))]
    if finished := [reason for reason in reasons if isinstance(reason, str)]:
        found["gen_ai.response.finish_reasons"] = finished
    usage = said.get("usage")
    if isinstance(usage, dict):
        _number(found, "gen_ai.usage.input_tokens", usage.get("prompt_tokens", usage.get("input_tokens")))
        _number(found, "gen_ai.usage.output_tokens", usage.get("completion_tokens", usage.get("output_tokens")))
    return found


def _object(body: bytes) -> dict[str, Any]:
    """Empty if it is none, or too long."""
    if len(body) > _LONGEST or not body.lstrip().startswith(b"{"):
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _last_with_usage(events: bytes) -> dict[str, Any]:
    """A stream tells what it used near its end, if it was asked to."""
    if len(events) > _LONGEST:
        return {}
    for line in reversed(events.splitlines()):
        if line.startswith(b"data:") and b'"usage"' in line:
            found = _object(line.removeprefix(b"data:"))
            inner = found.get("response")  # of the Responses interface
            found = inner if isinstance(inner, dict) else found
            if isinstance(found.get("usage"), dict):
                return found
    return {}


def _name(found: dict[str, Value], name: str, value: object) -> None:
    if isinstance(value, str) and len(value) <= _LONGEST_NAME:
        found[name] = value


def _number(found: dict[str, Value], name: str, value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        found[name] = value
