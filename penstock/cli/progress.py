"""Says how something stands while a person waits for it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.status import Status

_BAR = 30
"""Characters."""


class Progress:
    """One line that changes on a terminal; a line for each change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("", console=console) if console.is_terminal else None
        self._said = ""

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def say(self, line: str, done: float | None = None) -> None:
        """`done`: how much of it, from 0 to 1; None: nobody knows."""
        text = line if done is None else f"{line}: {done:.0%}"
        if self._status is not None:
            self._status.update(line if done is None else _bar(line, done))
        elif text != self._said:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._said = text

    def stop(self) -> None:
        """Makes room on the terminal."""
        if self._status is not None:
            self._status.stop()


def _bar(line: str, done: float) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_row(line, ProgressBar(total=1.0, completed=done, width=_BAR), f"{done:.0%}")
    return grid
