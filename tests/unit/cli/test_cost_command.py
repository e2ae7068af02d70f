"""`penstock cost`: a table of what was used, and estimates that need no deployment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock import clock
from penstock.cli.figures import compact, money, part, saving
from penstock.store import Store
from penstock.usage import Usage, day_of
from tests.unit.cli.conftest import InStore, Penstock, free_port, one_line

USED = Usage(
    calls=5,
    on_demand=100_000,
    on_demand_busy=10_000,
    on_demand_gb=400_000,
    on_demand_busy_gb=40_000,
    cold_start=2_000,
    gpu=25_000,
)


@pytest.fixture
def metered(in_store: InStore[Any], unique: str) -> str:
    """A function that used something on each day that may be today for the gateway."""

    async def use(store: Store) -> None:
        epoch = await store.leadership.lead("leader") or 0
        now = clock.now_ms() / 1000
        for day in {day_of(now), day_of(now + 600)}:
            await store.meters.add(unique, day, USED, epoch=epoch, batch="1")

    in_store(use)
    return unique


def test_a_table_of_what_was_used(penstock: Penstock, gateway_url: str, metered: str) -> None:
    ran = penstock("cost", "--price", "0.5", "--url", gateway_url)
    assert ran.code == 0, ran
    head, *rows = ran.out.splitlines()
    assert head.split("  ")[0] == "FUNCTION"
    assert head.rstrip().endswith("COST USD")
    [row] = [row for row in rows if row.startswith(metered)]
    assert row.split()[1:] == [
        "5",
        "10",
        "s",
        "100",
        "s",
        "0",
        "s",
        "2",
        "s",
        "25",
        "40",
        "10",
        "%",
        "100",
        "%",
        "20",
    ]
    assert rows[-1].startswith("total ")


def test_with_a_card_price_it_compares(penstock: Penstock, gateway_url: str, metered: str) -> None:
    ran = penstock("cost", "--days", "2", "--card-price", "2", "--url", gateway_url)
    assert ran.code == 0, ran
    head, *rows = ran.out.splitlines()
    for title in ("OWN CARD", "SAVED", "PAYS FROM"):
        assert title in head
    [row] = [row for row in rows if row.startswith(metered)]
    assert "never" in row, "4 GB cost less than a card however busy they are"


def test_json_is_what_the_gateway_says(penstock: Penstock, gateway_url: str, metered: str) -> None:
    ran = penstock("cost", "--json", "--discount", "0.25", "--url", gateway_url)
    said = json.loads(ran.out)
    [one] = [one for one in said["functions"] if one["function"] == metered]
    assert (one["invocations"], one["gb_seconds"], one["utilization"]) == (5, 40.0, 0.1)
    assert one["break_even"]["provisioned"] == 0.75


def test_where_nothing_was_used_it_says_so(penstock: Penstock, gateway_url: str, redis_server: Any) -> None:
    redis_server.cli("FLUSHALL")
    ran = penstock("cost", "--url", gateway_url)
    assert ran.code == 0
    assert ran.out.startswith("no function used anything on 20")


# Estimates

EXAMPLE = ("cost", "--estimate", "--seconds", "1", "--gb", "4")


def test_the_documents_example_1_to_its_digits(penstock: Penstock) -> None:
    ran = penstock(*EXAMPLE, "--invocations", "3600", "--card-price", "2")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "3,600 calls a day of 1 s on 4 GB",
        "  on demand    0.259 USD a day: 14,400 GB·s at 0.000018",
        "  provisioned  6.22 USD a day, used or not; pays from 100 % utilization on",
        "  utilization  4.1 %",
        "  own card     48 USD a day: 1 x 24 h at 2; never cheaper than on demand",
        "  saved        47.74 USD a day, more than 99 %",
    ]


def test_the_documents_example_2_to_its_digits(penstock: Penstock) -> None:
    ran = penstock(*EXAMPLE, "--invocations", "50000", "--card-price", "2")
    assert ran.out.splitlines() == [
        "50,000 calls a day of 1 s on 4 GB",
        "  on demand    3.6 USD a day: 200,000 GB·s at 0.000018",
        "  provisioned  6.22 USD a day, used or not; pays from 100 % utilization on",
        "  utilization  57 %",
        "  own card     48 USD a day: 1 x 24 h at 2; never cheaper than on demand",
        "  saved        44.4 USD a day, more than 90 %",
    ]


def test_an_estimate_without_a_card_price_compares_with_none(penstock: Penstock) -> None:
    ran = penstock(*EXAMPLE, "--invocations", "3600")
    assert ran.code == 0
    assert "own card" not in ran.out
    assert "saved" not in ran.out


def test_an_estimate_takes_its_prices_from_the_settings(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_COST__PRICE", "0.0000185")
    monkeypatch.setenv("PENSTOCK_COST__CURRENCY", "EUR")
    monkeypatch.setenv("PENSTOCK_COST__CARD_PRICE_PER_HOUR", "1")
    ran = penstock("cost", "--estimate", "--seconds", "1", "--gb", "48", "--invocations", "3600")
    assert "GB·s at 0.0000185" in ran.out
    assert "own card     24 EUR a day: 1 x 24 h at 1; pays from 31 % utilization on" in ran.out


def test_an_estimate_as_json(penstock: Penstock) -> None:
    said = json.loads(penstock(*EXAMPLE, "--invocations", "3600", "--card-price", "2", "--json").out)
    assert said["cost"]["on_demand"] == 0.2592
    assert said["card"] == {"cards": 1, "cost": 48.0, "saved": 47.7408, "saved_share": 0.9946}
    assert said["break_even"]["card"] == pytest.approx(7.716, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--estimate", "--invocations", "5"), "it needs --invocations, --seconds and --gb, no --days"),
        ((*EXAMPLE[1:], "--invocations", "5", "--days", "2"), "no --days"),
        (("--gb", "4"), "--invocations, --seconds and --gb need --estimate"),
        ((*EXAMPLE[1:], "--invocations", "0"), "invocations must be above 0 (got 0)"),
        ((*EXAMPLE[1:], "--invocations", "5", "--price", "-1"), "the price must be above 0"),
        ((*EXAMPLE[1:], "--invocations", "5", "--price", "nan"), "the price must be above 0"),
        ((*EXAMPLE[1:], "--invocations", "5", "--discount", "1"), "the discount must be a share from 0"),
    ],
)
def test_bad_input_is_one_line(penstock: Penstock, arguments: tuple[str, ...], says: str) -> None:
    assert says in one_line(penstock("cost", *arguments), 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--days", "0"), "days='0' is not a number from 1 to 400"),
        (("--days", "401"), "from 1 to 400"),
        (("--price", "0"), "the price must be above 0"),
        (("--card-price", "inf"), "the card price must be above 0"),
        (("--discount", "-0.5"), "the discount must be a share"),
    ],
)
def test_what_the_gateway_refuses_is_bad_input(
    penstock: Penstock, gateway_url: str, arguments: tuple[str, ...], says: str
) -> None:
    assert says in one_line(penstock("cost", *arguments, "--url", gateway_url), 2)


def test_without_a_gateway(penstock: Penstock) -> None:
    said = one_line(penstock("cost", "--url", f"http://127.0.0.1:{free_port()}"), 1)
    assert said.startswith("no gateway answers at")


def test_a_setting_that_is_no_price(penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_COST__PRICE", "0")
    assert one_line(penstock(*EXAMPLE, "--invocations", "5"), 2).startswith("setting cost.price: ")


# Figures


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.2592, "0.259"),
        (3.6, "3.6"),
        (48.0, "48"),
        (47.7408, "47.74"),
        (1234.5, "1,234.5"),
        (0.000072, "0.000072"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (-0.2592, "-0.259"),
        (100.0, "100"),
    ],
)
def test_money(amount: float, text: str) -> None:
    assert money(amount) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (3_600 / 86_400, "4.1 %"),
        (50_000 / 86_400, "57 %"),
        (0.57, "57 %"),
        (1.0, "100 %"),
        (0.9999, "99 %"),
        (0.1, "10 %"),
        (0.002, "0.2 %"),
        (0.0, "0 %"),
        (-0.25, "-25 %"),
        (None, "-"),
    ],
)
def test_part(share: float | None, text: str) -> None:
    assert part(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.9995, ", more than 99.9 %"),
        (0.9946, ", more than 99 %"),
        (0.925, ", more than 90 %"),
        (0.9, ", more than 80 %"),
        (0.101, ", more than 10 %"),
        (0.05, ""),
        (-1.0, ""),
    ],
)
def test_saving(share: float, text: str) -> None:
    assert saving(share) == text


def test_compact() -> None:
    assert [compact(number) for number in (0.0, 0.2, 1.0, 1234.567)] == ["0", "0.2", "1", "1,234.57"]
