"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table


def table(head: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Prints rows under a head, or what there is nothing of."""
    if not rows:
        typer.echo(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(head):
        # Names and figures stay whole; the last column takes what room is left.
        table.add_column(title, no_wrap=number < len(head) - 1)
    for row in rows:
        table.add_row(*row)
    # Nothing is cut when the output is piped: there is no screen to fit.
    console = Console()
    (console if console.is_terminal else Console(width=240)).print(table, markup=False)
