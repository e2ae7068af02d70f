"""What a function answered, or has put out so far, as other vendors' APIs carry it: JSON inside of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from penstock import views
from penstock.events import Place, Stored
from penstock.invocation import Response

LINES = "application/x-ndjson"


def kind(response: Response) -> str:
    """Its content type without parameters."""
    named = next((value for name, value in response.headers if name.lower() == "content-type"), "")
    return named.partition(";")[0].strip().lower()


def whole(response: Response, body: bytes) -> Any:
    """An answer. JSON lines, which a generator yields, become a list."""
    said = views.result(response, body)
    return _lines(said) if kind(response) == LINES and isinstance(said, str) else said


class Pieces:
    """The things that a stream puts out, taken from its events in their order."""

    def __init__(self, content_type: str) -> None:
        self._content_type = content_type
        self._begun = ""

    def add(self, data: Mapping[str, Any]) -> list[Any]:
        """What is whole with this event's data. Lines of JSON wait for an event that ends with a line."""
        if self._content_type != LINES:
            return [data.get("text", data)]
        self._begun += data.get("text", "")
        return self.rest() if self._begun.endswith("\n") else []

    def rest(self) -> list[Any]:
        """What is there, whole or not: nothing follows."""
        begun, self._begun = self._begun, ""
        return _lines(begun)

    @property
    def waits(self) -> bool:
        """It has something that is not whole."""
        return bool(self._begun)


def pieces(content_type: str, said: Iterable[Stored], *, ended: bool) -> tuple[list[Any], Place | None]:
    """The things that these events put out, and the place of the last one that they came from; None if nothing
    came. What is not whole yet is left for the next time, unless it has `ended`."""
    stream, found, place, last = Pieces(content_type), list[Any](), None, None
    for one in said:
        if one.kind == "output":
            found += stream.add(json.loads(one.data))
            last = one.place
            place = place if stream.waits else last
    return (found + stream.rest(), last) if ended else (found, place)


def logs(said: Iterable[Stored]) -> str:
    """The lines of its log."""
    return "".join(json.loads(one.data)["line"] + "\n" for one in said if one.kind == "log")


def _lines(text: str) -> list[Any]:
    return [_parse(line) for line in text.split("\n") if line.strip()]


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line
