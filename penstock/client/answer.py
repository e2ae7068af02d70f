"""What a function is given and what it answers, between Python values and bytes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TIMING = re.compile(r"([\w-]+);dur=([\d.]+)")


def encode(event: Any, content_type: str | None) -> tuple[bytes, str]:
    """Bytes and content type of an event: bytes as they are, a str as text, anything else as JSON.

    Raises TypeError for what JSON cannot express."""
    if isinstance(event, bytes | bytearray | memoryview):
        return bytes(event), content_type or "application/octet-stream"
    if isinstance(event, str):
        return event.encode(), content_type or "text/plain; charset=utf-8"
    return encode_json(event), content_type or "application/json"


def encode_json(event: Any) -> bytes:
    # Infinity and NaN are no JSON: the function could not read them.
    return json.dumps(event, allow_nan=False).encode()


def is_text(content_type: str) -> bool:
    return content_type.startswith("text/") or is_json(content_type)


def is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def charset(content_type: str) -> str:
    """Of a text; UTF-8 unless it says otherwise."""
    match = re.search(r"charset=\"?([\w-]+)", content_type, re.IGNORECASE)
    return match[1] if match else "utf-8"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a function answered."""

    status: int
    """The function's own HTTP status."""
    headers: Mapping[str, str]
    """The function's own, whatever the case of their names, and those that Penstock adds."""
    content: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def text(self) -> str:
        return self.content.decode(charset(self.content_type), "replace")

    def json(self) -> Any:
        """Raises ValueError if it is no JSON."""
        return json.loads(self.content)

    @property
    def value(self) -> Any:
        """By its content type: parsed JSON, a str, or bytes."""
        if is_json(self.content_type):
            return self.json()
        return self.text if is_text(self.content_type) else self.content

    @property
    def invocation_id(self) -> str:
        return self.headers.get("Penstock-Invocation-Id", "")

    @property
    def cold_start(self) -> bool:
        """An instance was started for it."""
        return self.headers.get("Penstock-Cold-Start") == "true"

    @property
    def timing(self) -> Mapping[str, float]:
        """Milliseconds by stage: `queue`, `start`, and `run` unless the answer was read while it came."""
        return {name: float(ms) for name, ms in _TIMING.findall(self.headers.get("Server-Timing", ""))}
