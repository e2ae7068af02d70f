"""/metrics and …/metrics of a function at a real gateway on a real Redis."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.app import make_app
from gateway.metrics import own_exposition
from gateway.siblings import Siblings
from penstock import clock
from penstock.series import FIGURES, Point
from penstock.settings import Settings, TelemetrySettings
from penstock.store import Store
from penstock.store.leadership import Inner
from tests.unit.gateway.conftest import House
from tests.unit.workers.waiting import until

HOUR = 3_600_000


async def text(house: House, query: str = "") -> str:
    answer = await house.client.get(f"/metrics{query}")
    assert answer.status == 200, await answer.text()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return await answer.text()


def value(text: str, series: str) -> float | None:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


async def shown(house: House, **query: str) -> dict[str, Any]:
    answer = await house.client.get(f"/v1/functions/{house.function}/metrics", params=query)
    said: dict[str, Any] = await answer.json()
    assert answer.status == 200, said
    return said


async def values(house: House, name: str, **query: str) -> list[float | None]:
    said = await shown(house, name=name, **query)
    return [point["value"] for point in said["metrics"][name]["points"]]


async def refused(house: House, **query: str) -> str:
    answer = await house.client.get(f"/v1/functions/{house.function}/metrics", params=query)
    assert answer.status == 400
    return str((await answer.json())["detail"])


async def at(house: House, ago_ms: int, point: Point) -> None:
    connection = house.store._connection
    connection.clock_offset = -ago_ms
    await house.store.series.add(house.function, point)
    connection.clock_offset = 0


async def test_requests_are_counted_by_the_pattern_of_their_route(house: House) -> None:
    for name in ("a", "b"):
        await house.client.get(f"/v1/functions/{name}")
    await house.client.get("/nowhere/at/all")
    await house.submit(b"12345")
    said = await text(house)
    served = "http_server_request_duration_seconds_count"
    pattern = 'http_route="/v1/functions/{function}"'
    assert value(said, f'{served}{{http_request_method="GET",{pattern},http_response_status_code="404"}}') == 2
    unmatched = 'http_request_method="GET",http_route="unmatched",http_response_status_code="404"'
    assert value(said, f"{served}{{{unmatched}}}") == 1
    calls = 'http_route="/v1/functions/{function}/invocations"'
    assert value(said, f"penstock_http_received_bytes_total{{{calls}}}") == 5
    assert (value(said, f"penstock_http_sent_bytes_total{{{calls}}}") or 0) > 100
    assert value(said, "http_server_active_requests") == 1, "this one"
    assert house.function not in said, "no name of a client's makes a series here"


async def test_who_waits_and_who_left_are_seen(house: House) -> None:
    call = asyncio.create_task(house.post())
    await house.waiting()
    assert value(await text(house), "penstock_held_calls") == 1
    call.cancel()

    async def left() -> bool:
        return 'http_response_status_code="499"' in await text(house)

    await until(left, "the client is seen to have left")
    assert value(await text(house), "penstock_held_calls") == 0
    assert value(await text(house), 'penstock_cancellations_total{service="gateway"}') is None, "not begun here"


async def test_refusals_are_counted_by_code_and_told_to_the_series(house: House) -> None:
    await house.deploy(queue={"max_depth": 1})
    await house.submit()
    for _ in range(2):
        assert (await house.post(Prefer="respond-async")).status == 429
    assert (await house.post(Penstock_Priority="highest")).status == 400
    said = await text(house)
    assert value(said, 'penstock_refusals_total{code="queue_full"}') == 2
    assert value(said, 'penstock_refusals_total{code="invalid_request"}') == 1
    house.gateway.tasks.loop("refusals", house.gateway.measures.tell)

    async def told() -> bool:
        return sum(count or 0 for count in await values(house, "FunctionClientErrors", step="1")) == 3

    await until(told, "the refusals are in the series")
    for name, count in (("FunctionConcurrencyThrottles", 2), ("FunctionTotalInvocations", 3)):
        assert sum(one or 0 for one in await values(house, name, step="1")) == count
    await house.gateway.tasks.stop()


async def test_every_name_is_served_and_says_what_it_means(house: House) -> None:
    said = await shown(house, step="60")
    assert list(said["metrics"]) == list(FIGURES)
    for name, figure in FIGURES.items():
        assert (said["metrics"][name]["unit"], said["metrics"][name]["means"]) == (figure.unit, figure.means)


async def test_points_are_merged_not_averaged(house: House) -> None:
    await at(house, 20_000, {"s": 1, "n": 99, "r": 99, "t": 0.99, "d": {"30": 99}})
    await at(house, 10_000, {"s": 1, "n": 1, "r": 1, "t": 10.0, "d": {"120": 1}, "pr": 2})
    whole = {"from": str((clock.now_ms() - 60_000) / 1000), "step": "3600"}
    [total], [mean] = (
        await values(house, "FunctionTotalInvocations", **whole),
        await values(house, "FunctionAvgDuration", **whole),
    )
    assert (total, mean) == (100, 109.9)
    [p90], [p99] = await values(house, "P90", **whole), await values(house, "FunctionP99Duration", **whole)
    assert p90 == p99 == pytest.approx(1.08**29.5, rel=0.01), "99 of 100 took no longer"
    assert await values(house, "FunctionProvisionedCurrentInstance", **whole) == [2]


async def test_a_time_is_written_as_rfc_3339_or_as_a_number(house: House) -> None:
    now = clock.now_ms()
    ends = [(clock.rfc3339(now - 5_000), clock.rfc3339(now)), (str(now // 1000 - 5), str(now // 1000))]
    ends += [(str(now - 5_000), str(now)), ("1970-01-01T00:00:00+00:00", str(now))]
    for start, end in ends:
        said = await shown(house, **{"from": start or "", "to": end or "", "name": "P99"})
        assert said["metrics"]["P99"]["points"]


async def test_a_look_far_back_has_steps_of_minutes(house: House) -> None:
    now = clock.now_ms()
    await at(house, 3 * HOUR, {"s": 1, "n": 7})
    await at(house, 2 * HOUR, {"s": 1, "n": 1})
    said = await shown(house, **{"from": str(now - 4 * HOUR), "name": "FunctionTotalInvocations", "step": "90"})
    points = said["metrics"]["FunctionTotalInvocations"]["points"]
    assert said["step"] == 120
    assert [point["value"] for point in points if point["value"]] == [7, 1]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"name": "FunctionTotalInvocation"}, "there are FunctionTotalInvocations,"),
        ({"from": "yesterday"}, "write 2026-01-31T12:00:00Z"),
        ({"from": "2026-01-31T12:00:00"}, "write 2026-01-31T12:00:00Z"),
        ({"from": "9" * 30}, "is no time"),
        ({"from": "2000", "to": "1000"}, "from is not before to"),
        ({"step": "0"}, "not a number of seconds"),
        ({"step": "1.5"}, "not a number of seconds"),
        ({"step": "1", "from": "1"}, "ask for a larger step"),
    ],
)
async def test_what_cannot_be_asked_says_what_can(house: House, query: dict[str, str], said: str) -> None:
    assert said in await refused(house, **query)


async def test_function_computes_names_for_prometheus(house: House) -> None:
    await at(house, 10_000, {"s": 1, "n": 4, "pr": 2})
    said = await text(house, "?format=fc")
    assert value(said, f'FunctionTotalInvocations{{function="{house.function}"}}') == 4
    assert value(said, f'FunctionProvisionedCurrentInstance{{function="{house.function}"}}') == 2
    assert f'FunctionP99Duration{{function="{house.function}"}}' not in said, "nobody knows"
    assert (await house.client.get("/metrics?format=json")).status == 400


async def test_a_leader_that_is_elsewhere_or_gone_hides_nothing(house: House, tmp_path: Any) -> None:
    for address in ("http://127.0.0.1:1", f"unix:{tmp_path}/gone.sock"):
        await house.store.leadership.announce(house.epoch, Inner(address, "/logs", "/metrics/sig"))
        assert value(await text(house), "penstock_held_calls") == 0


async def test_gateways_that_share_a_port_tell_of_each_other(house: House, tmp_path: Any) -> None:
    gateway = house.gateway
    one, two, dead = (Siblings(tmp_path, number, gateway.inner) for number in (1, 2, 3))

    async def exposition() -> str:
        return await own_exposition(gateway)

    await one.open(exposition)
    await two.open(exposition)
    (tmp_path / "gateways" / "3.sock").touch()
    [other] = await one.expositions()
    assert value(other, "penstock_held_calls") == 0
    assert await dead.expositions() == [other, other]
    await two.close()
    await one.close()
    assert await Siblings(tmp_path, 0, gateway.inner).expositions() == []


async def test_without_telemetry_there_is_nothing_to_see(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret="s", telemetry=TelemetrySettings(enabled=False))
    async with TestClient(TestServer(make_app(settings, store))) as client:
        answer = await client.get("/metrics")
        assert answer.status == 404
        assert "telemetry.enabled is false" in (await answer.json())["detail"]
