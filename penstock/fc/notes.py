"""What is said about an s.yaml: warnings, on which reading goes on, and errors, each with file, line and field."""

from __future__ import annotations

from pathlib import Path

from penstock import yamlfile
from penstock.errors import ConfigurationError
from penstock.yamlfile import Lines

Place = tuple[str, ...]
"""Where in the document something stands: its keys from the top."""


class Notes:
    def __init__(self, path: Path, lines: Lines) -> None:
        self._path = path
        self._lines = lines
        self._warnings: dict[str, int] = {}
        self._idle: dict[str, int] = {}

    def warn(self, place: Place, message: str) -> None:
        """A line for people; the same one is said once."""
        self._warnings.setdefault(self._at(place, message), self._line(place))

    def warn_line(self, line: int, message: str) -> None:
        """About what is gone once the file is a document."""
        self._warnings.setdefault(f"{self._path}:{line}: {message}", line)

    def idle(self, place: Place) -> None:
        """A field that is about the vendor's cloud, and changes nothing here: these share one line."""
        self._idle.setdefault(".".join(place), self._line(place))

    def error(self, place: Place, message: str) -> ConfigurationError:
        """To be raised."""
        return ConfigurationError(self._at(place, message))

    @property
    def warnings(self) -> tuple[str, ...]:
        """In the order of the file, then what changes nothing."""
        said = [text for text, _ in sorted(self._warnings.items(), key=lambda one: one[1])]
        if self._idle:
            fields = ", ".join(f"{name.rpartition('.')[2]} (line {line})" for name, line in self._idle.items())
            said.append(f"{self._path}: of the vendor's cloud, without effect here: {fields}")
        return tuple(said)

    def _at(self, place: Place, message: str) -> str:
        # A key or a value of the file may hold line breaks; what is said is one line.
        said = " ".join(": ".join(part for part in (".".join(place), message) if part).split())
        return f"{self._path}:{self._line(place)}: {said}"

    def _line(self, place: Place) -> int:
        return yamlfile.line_of(self._lines, place)
