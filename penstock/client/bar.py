"""A progress bar on standard error, for people; rich is imported only if one is shown."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    def __init__(self, title: str, total: int | None, *, shown: bool | None) -> None:
        """`total`: None if nobody knows. `shown`: None means on a terminal."""
        self._title = title
        self._total = total
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            times = (TimeElapsedColumn(), TimeRemainingColumn())
            progress = Progress(*columns, *times, console=Console(stderr=True))
            progress.start()
            self._bar = progress, progress.add_task(self._title, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar[0].stop()

    def advance(self) -> None:
        if self._bar is not None:
            self._bar[0].advance(self._bar[1])
