"""`penstock metrics`: what a function did lately, as small charts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError
from penstock.units import parse_duration

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40
"""Steps of a chart."""
_UNITS = {"ms": " ms", "Percent": " %"}


def metrics(
    function: Annotated[str, typer.Argument(help="Name of the function.")],
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name", help="A metric, as FunctionP99Duration; may be repeated.  [default: all that tell]"
        ),
    ] = None,
    last: Annotated[str, typer.Option(help="How far to look back: 90s, 10m, 2h, 7d.")] = "10m",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what a function did lately: calls, errors, durations, instances."""
    try:
        seconds = parse_duration(last)
    except ValueError as error:
        raise ConfigurationError(f"--last: {error}") from None
    if seconds < 1:
        raise ConfigurationError(f"--last {last} is shorter than a second")
    chart, whole = asyncio.run(_get(url, function, name or [], seconds))
    if as_json:
        typer.echo(json.dumps(chart, indent=2))
        return
    rows = [
        (metric, _figure(whole[metric], 0), _figure(one, -1), _chart(_values(one)), one["means"])
        for metric, one in chart["metrics"].items()
        if name or any(_values(one))
    ]
    head = ("METRIC", f"IN {last}", "NOW", f"CHART, {chart['step']} S A STEP", "MEANS")
    table(head, rows, f"nothing happened to {function} in the last {last}")


async def _get(
    url: str, function: str, names: Sequence[str], seconds: float
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The chart, and the whole time as one step: percentiles do not add up, so the gateway says them."""
    now = time.time()
    query = {"from": f"{now - seconds:.3f}", "to": f"{now:.3f}", **({"name": ",".join(names)} if names else {})}
    step = max(-(-int(seconds) // _WIDTH), 1)
    path = f"/v1/functions/{function}/metrics"
    async with AsyncClient(url) as client:
        chart, whole = await asyncio.gather(
            client.get(path, **query, step=str(step)), client.get(path, **query, step=str(int(seconds) + 60))
        )
    return chart, whole["metrics"]


def _values(metric: dict[str, Any]) -> list[float | None]:
    return [point["value"] for point in metric["points"]]


def _figure(metric: dict[str, Any], place: int) -> str:
    value = _values(metric)[place]
    return "-" if value is None else f"{value:,.{1 if value % 1 else 0}f}{_UNITS.get(metric['unit'], '')}"


def _chart(values: Sequence[float | None]) -> str:
    """A bar for each step, as high as its share of the highest; a space where nobody knows."""
    highest = max((value for value in values if value is not None), default=0) or 1
    return "".join(" " if value is None else _BARS[round(value / highest * (len(_BARS) - 1))] for value in values)
