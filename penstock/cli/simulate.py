"""`penstock simulate`: how policies would have done on a request log or on a pattern, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from workers.simulate.report import Replay, Result, Waits
    from workers.simulate.trace import Workload
    from workers.simulate.variants import Variant

_HEADER = ("POLICY", "WAIT p50", "p95", "p99", "STARTS", "GPU-S", "USED", "KILLED", "COST")
_CASES = "A, B, C, D, D-held, E, closed-loop, one-card, one-card-overload or all"


def simulate(
    trace: Annotated[
        Path | None, typer.Argument(help="CSV file of time,function,duration[,held]; seconds or RFC 3339.")
    ] = None,
    case: Annotated[str | None, typer.Option(help=f"A pattern instead: {_CASES}.")] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="YAML file of scaling fields, cold_start and concurrency; several are compared."),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Beside it Knative, Ray Serve and KEDA.")] = False,
    chart: Annotated[Path | None, typer.Option(help="SVG file to draw instances and queue to.")] = None,
    seed: Annotated[int, typer.Option(help="Of patterns, and of what others choose by chance.")] = 1,
    duration: Annotated[str | None, typer.Option(help="Of a pattern, such as 5m (default: its own).")] = None,
    cards: Annotated[
        int | None, typer.Option(help="GPUs of the machine (default: 12, or 1 for one-card).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay requests through the scaling policy in virtual time: waits, cold starts, GPU-seconds, cost."""
    from workers.simulate import chart as charts

    if chart is not None:
        charts.check(chart)
    variants = _variants(policy or [])
    workloads = _workloads(trace, case, seed, duration, cards)
    if chart is not None and len(workloads) > 1:
        raise ConfigurationError("--chart draws one case; choose one with --case")
    found = []
    for workload in workloads:
        replays = _replays(workload, variants, seed, peers=peers)
        found.append((workload, [replay.result for replay in replays]))
        if not as_json:
            _show(workload, found[-1][1], peers=peers)
        if chart is not None:
            title = f"{workload.name}: instances and queue over time"
            chart.write_text(charts.draw(title, replays), encoding="utf-8")
    if as_json:
        _print_json(found, peers=peers)


def _variants(paths: Sequence[Path]) -> dict[str, Variant]:
    from workers.simulate import variants

    found = {path.stem: variants.load(path) for path in paths}
    if len(found) < len(paths):
        raise ConfigurationError("--policy: two files have the same name, which is the policy's name")
    taken = sorted(set(found) & _peer_names())
    if taken:
        raise ConfigurationError(f"--policy {taken[0]}: a peer has this name; rename the file")
    return found or {"penstock": variants.Variant()}


def _workloads(
    trace: Path | None, case: str | None, seed: int, duration: str | None, cards: int | None
) -> list[Workload]:
    from dataclasses import replace

    from workers.simulate import cases
    from workers.simulate.trace import read

    if (trace is None) == (case is None):
        raise ConfigurationError(f"give a CSV file or --case, one of them; cases are {_CASES}")
    if cards is not None and cards < 1:
        raise ConfigurationError(f"--cards {cards}: expected 1 or more")
    if trace is not None:
        if duration is not None:
            raise ConfigurationError("--duration is for patterns: a trace is as long as it is")
        workloads = [read(trace)]
    elif case != "all" and case not in cases.NAMES:
        raise ConfigurationError(f"--case {case}: unknown; expected {_CASES}")
    else:
        names = cases.NAMES if case == "all" else (str(case),)
        workloads = [cases.build(name, seed=seed, length=_seconds(duration)) for name in names]
    return workloads if cards is None else [replace(workload, cards=cards) for workload in workloads]


def _seconds(duration: str | None) -> float | None:
    from penstock.units import parse_duration

    if duration is None:
        return None
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise ConfigurationError(f"--duration: {error}") from None
    if not 1 <= seconds <= 7 * 86_400:
        raise ConfigurationError(f"--duration {duration}: expected 1s to 7d")
    return seconds


def _peer_names() -> frozenset[str]:
    from workers.simulate.policies import peers

    return frozenset(peer.name for peer in peers.ALL)


def _replays(workload: Workload, variants: dict[str, Variant], seed: int, *, peers: bool) -> list[Replay]:
    from workers.simulate.policies import peers as models
    from workers.simulate.policies.penstock import Penstock
    from workers.simulate.report import replay

    ours = [replay(variant.applied(workload), Penstock(name, variant)) for name, variant in variants.items()]
    return ours + [replay(workload, model(seed)) for model in (models.ALL if peers else ())]


def _print_json(found: Sequence[tuple[Workload, Sequence[Result]]], *, peers: bool) -> None:
    from workers.simulate.report import as_json

    names = _peer_names() if peers else frozenset()
    typer.echo(json.dumps([as_json(workload, results, names) for workload, results in found], indent=2))


def _show(workload: Workload, results: Sequence[Result], *, peers: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from penstock.units import format_duration
    from workers.simulate.report import frontier

    cards = f"{workload.cards} GPU{'s' if workload.cards > 1 else ''}"
    length = format_duration(round(workload.length, 3))
    typer.echo(f"{workload.name}: {results[0].requests} requests in {length}, {cards}")
    table = Table(*_HEADER, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        table.add_row(*_row(result))
        for function, waits in result.by_function.items():
            table.add_row(f"  {function}", *_waits(waits))
    Console().print(table)
    if peers:
        typer.echo(f"Frontier: {frontier(results, _peer_names())}.")
    for result in results:
        if result.unfinished:
            typer.echo(f"{result.policy}: {result.unfinished} requests never ended.")
    typer.echo()


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.policy,
        *_waits(result.waits),
        str(result.cold_starts),
        f"{result.gpu_seconds:,.0f}",
        f"{result.used:.0%}",
        str(result.killed),
        f"${result.cost:,.2f}",
    )


def _waits(waits: Waits) -> tuple[str, ...]:
    return tuple("-" if wait is None else f"{wait:,.1f} s" for wait in (waits.p50, waits.p95, waits.p99))
