"""Says how something stands while a person waits for it."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status


class Progress:
    """One line that changes on a terminal; a line for each change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("", console=console) if console.is_terminal else None
        self._said = ""

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, line: str) -> None:
        if self._status is not None:
            self._status.update(line)
        elif line != self._said:
            self._console.print(line, markup=False, highlight=False)
        self._said = line
