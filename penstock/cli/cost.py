"""`penstock cost`: what functions used, what it costs, and what a day of calls would."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Annotated, Any

import typer

from penstock import costview
from penstock.billing import Tariff, estimate
from penstock.cli.figures import compact, money, part, saving, spent
from penstock.cli.options import DEFAULT_URL, Url
from penstock.cli.tables import table
from penstock.client import AsyncClient
from penstock.errors import ConfigurationError
from penstock.settings import load

_ESTIMATED = "With --estimate: "


def cost(
    days: Annotated[int | None, typer.Option(help="UTC days, today included.  [default: 1]")] = None,
    price: Annotated[float | None, typer.Option(help="Of a GB-second.  [default: setting cost.price]")] = None,
    card_price: Annotated[
        float | None, typer.Option(help="Of an hour of the same card elsewhere, to compare with.")
    ] = None,
    discount: Annotated[float | None, typer.Option(help="Share that provisioned is cheaper by: 0.3.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    estimated: Annotated[
        bool, typer.Option("--estimate", help="Nothing that ran: what a day of calls would cost.")
    ] = False,
    invocations: Annotated[int | None, typer.Option(help=f"{_ESTIMATED}calls a day.")] = None,
    seconds: Annotated[float | None, typer.Option(help=f"{_ESTIMATED}of one call.")] = None,
    gb: Annotated[float | None, typer.Option(help=f"{_ESTIMATED}memory of an instance.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what functions used and cost: on demand by busy time, provisioned by lifetime."""
    if estimated:
        if days is not None or invocations is None or seconds is None or gb is None:
            raise ConfigurationError(
                "--estimate is of one day: it needs --invocations, --seconds and --gb, no --days"
            )
        _estimate(price, card_price, discount, calls=invocations, seconds=seconds, gb=gb, as_json=as_json)
        return
    if any(given is not None for given in (invocations, seconds, gb)):
        raise ConfigurationError("--invocations, --seconds and --gb need --estimate")
    asked = {"days": days, "price": price, "card_price": card_price, "discount": discount}
    query = {name: str(value) for name, value in asked.items() if value is not None}
    found = asyncio.run(_get(url, query))
    typer.echo(json.dumps(found, indent=2)) if as_json else _show(found)


async def _get(url: str, query: dict[str, str]) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        return await client.get("/v1/cost", **query)


def _show(found: dict[str, Any]) -> None:
    head = ["FUNCTION", "CALLS", "BUSY", "ON DEMAND", "PROVISIONED", "COLD START", "GPU·S", "GB·S", "UTILIZATION"]
    head += ["BREAK-EVEN"]  # the utilization from which provisioned instances cost less than on-demand ones
    compared = found["card_price_per_hour"] is not None
    head += ["OWN CARD", "SAVED", "PAYS FROM"] if compared else []
    rows = [_row(one["function"], one, compared) for one in found["functions"]]
    if rows:
        rows.append(_row("total", found["total"], compared))
    table((*head, f"COST {found['currency']}"), rows, f"no function used anything on {' to '.join(_ends(found))}")


def _ends(found: dict[str, Any]) -> list[str]:
    first, last = found["days"][0], found["days"][-1]
    return [first] if first == last else [first, last]


def _row(name: str, one: dict[str, Any], compared: bool) -> tuple[str, ...]:
    return (
        name,
        str(one["invocations"]),
        spent(one["on_demand_busy_seconds"] + one["provisioned_busy_seconds"]),
        spent(one["on_demand_seconds"]),
        spent(one["provisioned_seconds"]),
        spent(one["cold_start_seconds"]),
        compact(one["gpu_seconds"]),
        compact(one["gb_seconds"]),
        part(one["utilization"]),
        part(one["break_even"]["provisioned"]),
        *(_comparison(one) if compared else ()),
        money(one["cost"]["total"]),
    )


def _comparison(one: dict[str, Any]) -> tuple[str, ...]:
    card = one["card"]
    return (
        money(card["cost"]),
        f"{money(card['saved'])} ({part(card['saved_share'])})",
        _even(one["break_even"]["card"]),
    )


def _even(share: float | None) -> str:
    return "never" if share is not None and share > 1 else part(share)


def _estimate(
    price: float | None,
    card_price: float | None,
    discount: float | None,
    *,
    calls: int,
    seconds: float,
    gb: float,
    as_json: bool,
) -> None:
    """Reckoned here: no deployment is asked."""
    settings = load().cost
    try:
        tariff = Tariff(
            price=settings.price if price is None else price,
            currency=settings.currency,
            discount=discount or 0.0,
            card_price=settings.card_price_per_hour if card_price is None else card_price,
        )
        found = estimate(tariff, calls=calls, seconds=seconds, gb=gb)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    shown = costview.estimate(found, tariff)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    typer.echo(f"{calls:,} calls a day of {compact(seconds)} s on {compact(gb)} GB")
    for name, text in _lines(shown):
        typer.echo(f"  {name:<13}{text}")


def _lines(shown: dict[str, Any]) -> list[tuple[str, str]]:
    card, even, a_day = shown["card"], shown["break_even"], f"{shown['currency']} a day"
    billed = f"{compact(shown['gb_seconds'])} GB·s at {Decimal(repr(shown['price'])):f}"
    lines = [
        ("on demand", f"{money(shown['cost']['on_demand'])} {a_day}: {billed}"),
        (
            "provisioned",
            f"{money(shown['cost']['provisioned'])} {a_day}, used or not; {_from(even['provisioned'])}",
        ),
        ("utilization", part(shown["utilization"])),
    ]
    if card is None:
        return lines
    hours = f"{card['cards']} x 24 h at {money(shown['card_price_per_hour'])}"
    return [
        *lines,
        ("own card", f"{money(card['cost'])} {a_day}: {hours}; {_from(even['card'])}"),
        ("saved", f"{money(card['saved'])} {a_day}{saving(card['saved_share'])}"),
    ]


def _from(share: float | None) -> str:
    """Where what is paid for all day breaks even with what is paid for by use."""
    never = share is None or share > 1
    return "never cheaper than on demand" if never else f"pays from {part(share)} utilization on"
