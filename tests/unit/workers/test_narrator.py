"""What a run says is stored in order, soon, once, and never more of it than is kept."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock import keys
from penstock.errors import StoreUnavailable
from penstock.events import BEGINNING, Kind
from penstock.invocation import Event, Outcome
from penstock.store.events import CAP, Events, Story
from tests.unit.workers.conftest import Deployed
from tests.unit.workers.waiting import until
from workers import narrator
from workers.narrator import Narrator


class Gate(Events):
    """The real store behind a gate: slow, away, or losing its reply."""

    def __init__(self, real: Events) -> None:
        self._real = real
        self.open = asyncio.Event()
        self.open.set()
        self.away = 0
        self.lost = 0
        self.calls: list[list[tuple[Kind, str]]] = []

    async def emit(self, fn: str, one: str, token: int, said: Sequence[tuple[Kind, str]], **more: Any) -> bool:
        self.calls.append(list(said))
        await self.open.wait()
        if self.away:
            self.away -= 1
            raise StoreUnavailable("it is away")
        stored = await self._real.emit(fn, one, token, said, **more)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("its reply is lost")
        return stored


class Told:
    def __init__(self, deployed: Deployed, run: Any) -> None:
        self.deployed, self.run = deployed, run
        self.gate = Gate(deployed.store.events)
        self.narrator = Narrator(_With(self.gate), run)  # type: ignore[arg-type]

    async def story(self) -> Story:
        found = await self.deployed.store.events.since(self.deployed.function, self.run.id, BEGINNING)
        assert found is not None
        return found

    async def said(self) -> list[tuple[int, str, Any]]:
        return [(one.number, one.kind, json.loads(one.data)) for one in (await self.story()).said]


class _With:
    def __init__(self, events: Events) -> None:
        self.events = events


@pytest.fixture
async def told(deployed: Deployed) -> AsyncIterator[Told]:
    one = Told(deployed, await deployed.run())
    yield one
    one.gate.open.set()
    await one.narrator.flush()


@asynccontextmanager
async def held(gate: Gate) -> AsyncIterator[None]:
    """One write is on its way and does not arrive while this lasts."""
    gate.open.clear()
    yield
    gate.open.set()


def reports(*numbers: float) -> list[str]:
    return [json.dumps({"progress": number, "message": None}) for number in numbers]


async def test_everything_is_stored_in_the_order_in_which_it_was_said(told: Told) -> None:
    one = told.narrator
    one.speaks("text/plain; charset=utf-8")
    one.output(b"a")
    one.output(b"b")
    one.line("line")
    one.output(b"c")
    assert await one.report(reports(0.5))
    one.output(b"d")
    await one.flush()
    assert await told.said() == [
        (1, "output", {"text": "ab"}),
        (2, "log", {"line": "line"}),
        (3, "output", {"text": "c"}),
        (4, "progress", {"progress": 0.5, "message": None}),
        (5, "output", {"text": "d"}),
    ]


async def test_the_first_is_stored_at_once_and_the_next_together(told: Told) -> None:
    one = told.narrator
    one.speaks("text/event-stream")
    async with held(told.gate):
        one.output(b"first")

        async def sent() -> bool:
            return bool(told.gate.calls)

        await until(sent, "the first is on its way")
        for piece in (b"and", b" all", b" others"):
            one.output(piece)
    await one.flush()
    assert await told.said() == [(1, "output", {"text": "first"}), (2, "output", {"text": "and all others"})]
    assert len(told.gate.calls) == 2


async def test_reports_are_never_merged_and_do_not_overtake_each_other(told: Told) -> None:
    one = told.narrator
    async with held(told.gate):
        sent = [asyncio.create_task(one.report(reports(n / 20, n / 20 + 0.01))) for n in range(10)]
        await asyncio.sleep(0)
    assert all(await asyncio.gather(*sent))
    numbers = [data["progress"] for _, _, data in await told.said()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 20


async def test_a_character_in_two_pieces_is_one(told: Told) -> None:
    one = told.narrator
    one.speaks("application/json")
    one.output("ü".encode()[:1])
    one.line("between")
    one.output("ü".encode()[1:] + b"\xff")
    await one.flush()
    texts = [data["text"] for _, kind, data in await told.said() if kind == "output"]
    assert "".join(texts) == "ü\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "image/png"])
async def test_what_is_no_text_is_base64(told: Told, kind: str) -> None:
    told.narrator.speaks(kind)
    told.narrator.output(b"\x00\xff")
    await told.narrator.flush()
    assert await told.said() == [(1, "output", {"base64": base64.b64encode(b"\x00\xff").decode()})]


@pytest.mark.parametrize("kind", ["text/event-stream", "application/problem+json", "image/svg+xml;q=1"])
async def test_what_is_text_is_text(told: Told, kind: str) -> None:
    told.narrator.speaks(kind)
    told.narrator.output(b"x")
    await told.narrator.flush()
    assert (await told.said())[0][2] == {"text": "x"}


@pytest.mark.parametrize("trouble", ["away", "lost"])
async def test_what_did_not_arrive_is_sent_again_and_stored_once(
    told: Told, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrator, "_PAUSE", 0.01)
    setattr(told.gate, trouble, 3)
    one = told.narrator
    for number in range(5):
        one.line(str(number))
        await asyncio.sleep(0.02)

    async def all_there() -> bool:
        return len(await told.said()) == 5

    await until(all_there, "all of it is stored")
    await one.flush()
    assert [(number, data["line"]) for number, _, data in await told.said()] == [(n + 1, str(n)) for n in range(5)]
    assert (await told.story()).gap is None


async def test_a_report_while_the_store_is_away_is_kept_until_later(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrator, "_PAUSE", 0.01)
    told.gate.away = 2
    assert await told.narrator.report(reports(0.1))
    assert await told.narrator.report(reports(0.2))

    async def all_there() -> bool:
        return len(await told.said()) == 2

    await until(all_there, "both are stored")


async def test_the_end_does_not_wait_for_a_store_that_refuses(told: Told) -> None:
    told.gate.away = 10**9
    told.narrator.line("lost")
    await asyncio.wait_for(told.narrator.flush(), 5)
    told.gate.away = 0
    await told.narrator.flush()
    assert await told.said() == []


async def test_what_would_not_be_kept_is_not_sent_and_told_as_a_gap(told: Told) -> None:
    one = told.narrator
    one.output(b"first")
    await one.flush()
    async with held(told.gate):
        one.line("on its way")
        for number in range(100):
            one.output(bytes([number]) * 65_536)
        assert one._bytes + one._output_bytes <= CAP + 65_536
        assert one._said[-1][1] == bytes([99]) * 65_536
    await one.flush()
    story = await told.story()
    assert story.gap is not None
    assert story.gap.bytes > 80 * 65_536
    assert json.loads(story.said[-1].data) == {"base64": base64.b64encode(bytes([99]) * 65_536).decode()}
    numbers = [one.number for one in story.said]
    assert numbers == list(range(story.gap.through.rank + 1, story.gap.through.rank + 1 + len(numbers)))
    assert sum(len(one.data) for one in story.said) <= CAP
    stored = await told.deployed.store._connection.command(
        "MEMORY", "USAGE", keys.events(told.deployed.function, told.run.id), "SAMPLES", 0
    )
    assert stored < 2 * CAP


async def test_a_run_that_is_over_is_told_so(told: Told) -> None:
    queue, one = told.deployed.store.queue, told.run
    assert await told.narrator.report(reports(0.5))
    await queue.finish(one.function, one.id, one.token, Outcome(event=Event.SUCCEED))
    assert not await told.narrator.report(reports(0.6))
    assert (await told.story()).record.progress == {"progress": 0.5, "message": None}


async def test_nothing_said_is_nothing_stored(told: Told) -> None:
    await told.narrator.flush()
    assert told.gate.calls == []
