"""`penstock doctor`: looks at what Penstock needs on this machine, and says what to do about what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from penstock.cli import options
from penstock.cli.checks import Finding, docker, machine, redis
from penstock.cli.checks import settings as own
from penstock.cli.options import DataDir, Engine, Host, Port, RedisUrl, Set
from penstock.settings import Settings, load

_LOOK = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(
    redis_url: RedisUrl = None,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    engine: Engine = None,
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check Redis, Docker, the GPUs, this machine and the settings. Exit code 1 if something must be mended."""
    named = {"redis.url": redis_url, "data_dir": data_dir, "gateway.host": host, "gateway.port": port}
    settings = load(options.flags(set_, {**named, "workers.engine": engine}))
    findings = asyncio.run(_examine(settings))
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"problems": problems, "findings": [asdict(one) for one in findings]}, indent=2))
    else:
        _print(findings, problems)
    if problems:
        raise typer.Exit(1)


async def _examine(settings: Settings) -> list[Finding]:
    cards = await machine.gpus(settings)
    has_cards = any(one.verdict == "ok" for one in cards)
    return [
        *machine.look(settings),
        *own.look(settings),
        *await redis.look(settings),
        *await docker.look(settings, gpus=has_cards),
        *cards,
    ]


def _print(findings: Sequence[Finding], problems: int) -> None:
    for finding in findings:
        mark, colour = _LOOK[finding.verdict]
        typer.secho(f"{mark} {finding.check}: {finding.text}", fg=colour)
        if finding.advice:
            typer.echo(f"    → {finding.advice}")
    warnings = sum(finding.verdict == "warning" for finding in findings)
    if problems or warnings:
        typer.echo(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    else:
        typer.echo("\nall is well")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
