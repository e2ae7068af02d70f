"""The event stream format of HTML (Server-Sent Events), as a client reads it. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Message:
    id: str | None
    """None: it has none, and nobody resumes from it."""
    event: str
    data: str


class Parser:
    """Pieces of a stream, cut anywhere, become messages. What a stream ends with before it is whole is dropped."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._fields: dict[str, list[str]] = {}

    def feed(self, piece: bytes) -> Iterator[Message]:
        """The messages that this piece completes."""
        text = self._rest + self._decode(piece)
        # A CR at the end may be half of a CRLF.
        held = text.endswith("\r")
        *lines, self._rest = _LINE_END.split(text.removesuffix("\r") if held else text)
        if held:
            self._rest += "\r"
        for line in lines:
            if line:
                self._line(line)
            elif (message := self._message()) is not None:
                yield message

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name:  # else it is a comment: a sign of life
            self._fields.setdefault(name, []).append(value.removeprefix(" "))

    def _message(self) -> Message | None:
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return Message(
            id=fields["id"][-1] if "id" in fields else None,
            event=fields["event"][-1] if "event" in fields else "message",
            data="\n".join(fields["data"]),
        )
