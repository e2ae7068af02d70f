"""What functions used and what it costs, over HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from aiohttp import web

from gateway.auth import visible
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock import clock, costview
from penstock.billing import Tariff
from penstock.errors import InvalidRequest
from penstock.settings import CostSettings
from penstock.store import Store
from penstock.usage import KEPT_DAYS, NOTHING, Usage, last_days, length


async def cost(request: web.Request) -> web.Response:
    """GET /v1/cost?days=&price=&card_price=&discount=: of the last UTC days, by default of today so far."""
    gateway, now = request.app[GATEWAY], clock.now_ms() / 1000
    days = _days(request.query.get("days"))
    tariff = _tariff(request.query, gateway.cost)
    dates = last_days(now, days)
    sees = await visible(request)
    used = {name: usage for name, usage in (await _used(gateway.store, dates)).items() if sees(name)}
    return json_response(costview.costs(used, tariff, dates=dates, period=length(now, days)))


async def _used(store: Store, dates: list[str]) -> Mapping[str, Usage]:
    """By function. A day at a time: each is one pipeline, and a year's would hold up everybody else's."""
    used: defaultdict[str, Usage] = defaultdict(lambda: NOTHING)
    for day in dates:
        for function, usage in (await store.meters.get(day)).items():
            used[function] += usage
    return used


def _days(text: str | None) -> int:
    if text is None:
        return 1
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= KEPT_DAYS:
        raise InvalidRequest(f"days={text!r} is not a number from 1 to {KEPT_DAYS}")
    return int(text)


def _tariff(query: Mapping[str, str], settings: CostSettings) -> Tariff:
    """Of the settings, but for what the request says."""
    card_price = settings.card_price_per_hour
    try:
        return Tariff(
            price=_number(query, "price", settings.price),
            currency=settings.currency,
            discount=_number(query, "discount", 0.0),
            card_price=_number(query, "card_price", card_price) if card_price or "card_price" in query else None,
        )
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _number(query: Mapping[str, str], name: str, default: float | None) -> float:
    text = query.get(name)
    if text is None:
        assert default is not None
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a number") from None
