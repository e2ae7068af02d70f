"""How the API shows what was used and what it costs: the JSON that clients rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.billing import Bill, CardBill, Estimate, Tariff, bill
from penstock.usage import NOTHING, Usage


def costs(used: Mapping[str, Usage], tariff: Tariff, *, dates: Sequence[str], period: int) -> dict[str, Any]:
    """What each function used on these days, and all of them together; `period` is their length so far, in
    thousandths of seconds."""
    total = sum(used.values(), NOTHING)
    return {
        "days": dates,
        **_tariff(tariff),
        "functions": [
            {"function": name, **_cost(used[name], bill(used[name], tariff, period))} for name in sorted(used)
        ],
        "total": _cost(total, bill(total, tariff, period)),
    }


def estimate(found: Estimate, tariff: Tariff) -> dict[str, Any]:
    """What a day would cost."""
    return {
        **_tariff(tariff),
        "gb_seconds": found.gb_seconds,
        "utilization": found.utilization,
        "cost": {"on_demand": _money(found.on_demand), "provisioned": _money(found.provisioned)},
        "break_even": {"provisioned": found.break_even_provisioned, "card": found.break_even_card},
        "card": _card(found.card),
    }


def _tariff(tariff: Tariff) -> dict[str, Any]:
    return {
        "price": tariff.price,
        "currency": tariff.currency,
        "discount": tariff.discount,
        "card_price_per_hour": tariff.card_price,
    }


def _cost(usage: Usage, billed: Bill) -> dict[str, Any]:
    """Usage in seconds, money in the tariff's currency; None is what nobody can know."""
    return {
        "invocations": usage.calls,
        "on_demand_seconds": usage.on_demand / 1000,
        "on_demand_busy_seconds": usage.on_demand_busy / 1000,
        "provisioned_seconds": usage.provisioned / 1000,
        "provisioned_busy_seconds": usage.provisioned_busy / 1000,
        "cold_start_seconds": usage.cold_start / 1000,
        "gpu_seconds": usage.gpu / 1000,
        "gb_seconds": (usage.on_demand_busy_gb + usage.provisioned_gb) / 1000,
        "held_gb_seconds": (usage.on_demand_gb + usage.provisioned_gb) / 1000,
        "utilization": billed.utilization,
        "cost": {
            "on_demand": _money(billed.on_demand),
            "provisioned": _money(billed.provisioned),
            "total": _money(billed.total),
        },
        "break_even": {"provisioned": billed.break_even_provisioned, "card": billed.break_even_card},
        "card": _card(billed.card),
    }


def _card(billed: CardBill | None) -> dict[str, Any] | None:
    if billed is None:
        return None
    return {
        "cards": billed.cards,
        "cost": _money(billed.cost),
        "saved": _money(billed.saved),
        "saved_share": billed.share,
    }


def _money(amount: float) -> float:
    """To a millionth: what is behind it is the noise of binary fractions."""
    return round(amount, 6)
