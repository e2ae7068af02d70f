"""What a function answered, or has put out so far, as other vendors' APIs carry it: JSON inside of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from penstock import views
from penstock.events import Place, Stored
from penstock.invocation import Response

_LINES = "application/x-ndjson"


def kind(response: Response) -> str:
    """Its content type without parameters."""
    named = next((value for name, value in response.headers if name.lower() == "content-type"), "")
    return named.partition(";")[0].strip().lower()


def whole(response: Response, body: bytes) -> Any:
    """An answer. JSON lines, which a generator yields, become a list."""
    said = views.result(response, body)
    if kind(response) != _LINES or not isinstance(said, str):
        return said
    return [_parse(line) for line in said.splitlines() if line.strip()]


def pieces(content_type: str, said: Sequence[Stored], *, ended: bool) -> tuple[list[Any], Place | None]:
    """The things that a stream put out, and the place of the last event that they came from; None if none did. A
    line of JSON that is not whole yet waits for its rest, unless it has `ended`."""
    found, begun, place = list[Any](), "", None
    for one in said:
        if one.kind != "output":
            continue
        data = json.loads(one.data)
        if content_type != _LINES:
            found.append(data.get("text", data))
        else:
            begun += data.get("text", "")
            if not begun.endswith("\n"):
                continue
            found += [_parse(line) for line in begun.splitlines() if line.strip()]
            begun = ""
        place = one.place
    if begun and ended:
        found += [_parse(line) for line in begun.splitlines() if line.strip()]
        place = _last(said)
    return found, place


def logs(said: Sequence[Stored]) -> str:
    """The lines of its log."""
    return "".join(json.loads(one.data)["line"] + "\n" for one in said if one.kind == "log")


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def _last(said: Sequence[Stored]) -> Place | None:
    return max((one.place for one in said if one.kind == "output"), default=None)
