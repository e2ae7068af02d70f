"""The inner listener: answers, logs and reports of progress for whoever holds the signature, for nobody else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.blobs import DirectoryBlobs
from penstock.events import BEGINNING
from penstock.invocation import Event, Invocation, Opening, Outcome, Response
from tests.unit.workers.conftest import Deployed
from tests.unit.workers.samples import function
from tests.unit.workers.waiting import until
from workers import inner as inner_module
from workers.inner import Inner
from workers.instances import Instance
from workers.live import LiveRun, LiveRuns, Shared, sign
from workers.logs import Logs
from workers.verdict import RunFacts

KEY = b"key of the tests"
FACTS = RunFacts(timeline={"queued": 1.0, "running": 2.0}, cold_start=True, now_ms=1)
OK = Response(status=200)


@dataclass
class House:
    """An inner listener, and clients of it."""

    deployed: Deployed
    inner: Inner
    runs: LiveRuns
    logs: Logs
    shared: Shared
    gateway: aiohttp.ClientSession
    container: aiohttp.ClientSession

    async def begin(self, *, concurrency: int = 1, **changes: Any) -> LiveRun:
        """A run that goes on, on an instance of its own."""
        await self.deployed.submit(**changes)
        run = await self.deployed.store.queue.take(
            self.deployed.function, epoch=self.deployed.epoch, slot="s", nonce=str(time.time_ns()), instance="i"
        )
        assert run is not None
        return self.go(run.invocation, concurrency)

    def go(self, invocation: Invocation, concurrency: int = 1) -> LiveRun:
        deployed = function(invocation.function, concurrency=concurrency)
        live = LiveRun(self.shared, deployed, invocation, facts=lambda: FACTS, final=lambda response: True)
        instance = Instance(deployed)
        self.runs.begin(live, instance)
        self.instance = instance.id
        return live

    async def post(self, run: LiveRun, body: bytes | str) -> tuple[int, str]:
        async with self.container.post(run.progress_url, data=body) as reply:
            text = await reply.text()
            return reply.status, json.loads(text)["detail"] if text else ""

    async def said(self, run: LiveRun) -> list[Any]:
        one = run.invocation
        story = await self.deployed.store.events.since(one.function, one.id, BEGINNING)
        assert story is not None
        return [json.loads(event.data) for event in story.said]

    async def opening(self, run: LiveRun) -> Opening:
        found = await self.deployed.store.invocations.news(run.invocation.function, run.invocation.id)
        assert isinstance(found, Opening)
        return found


@pytest.fixture
async def house(deployed: Deployed, tmp_path: Path) -> AsyncIterator[House]:
    runs = LiveRuns(KEY)
    logs = Logs(runs.heard)
    inner = Inner(runs, logs, KEY)
    address = f"unix:{tmp_path}/i.sock"
    blobs = DirectoryBlobs(tmp_path / "blobs")
    shared = Shared(deployed.store, blobs, address, lambda _: inner.reached("127.0.0.1"), KEY)
    await inner.open(address, ["127.0.0.1"])
    async with (
        aiohttp.ClientSession("http://inner", connector=aiohttp.UnixConnector(f"{tmp_path}/i.sock")) as gateway,
        aiohttp.ClientSession() as container,
    ):
        yield House(deployed, inner, runs, logs, shared, gateway, container)
    await inner.close()
    assert not (tmp_path / "i.sock").exists()


async def test_half_a_request_of_a_container_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_module, "_LIMITS", replace(inner_module._LIMITS, header_timeout=0.2))
    runs = LiveRuns(KEY)
    inner = Inner(runs, Logs(runs.heard), KEY)
    await inner.open("http://127.0.0.1:0", ["127.0.0.1"])
    watching = asyncio.create_task(inner.watch())
    try:
        reader, writer = await asyncio.open_connection(*inner.reached("127.0.0.1")[len("http://") :].split(":"))
        writer.write(b"POST /runs/half HTTP/1.1\r\nHost")
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
    finally:
        watching.cancel()
        await inner.close()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"aiohttp" not in said


# Progress


async def test_progress_is_stored_and_shown(house: House) -> None:
    run = await house.begin()
    assert await house.post(run, '{"progress": 0.4, "message": "step 12/30"}') == (204, "")
    assert await house.said(run) == [{"progress": 0.4, "message": "step 12/30"}]
    record = await house.deployed.store.invocations.get(run.invocation.function, run.invocation.id)
    assert record is not None
    assert record.progress == {"progress": 0.4, "message": "step 12/30"}


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ('{"progress": 0}', [{"progress": 0, "message": None}]),
        ('{"progress": 1.0}', [{"progress": 1.0, "message": None}]),
        ('{"message": "Grüße"}', [{"progress": None, "message": "Grüße"}]),
        ('{"progress": 0.1}\n\n{"progress": 0.2}\r\n', [{"progress": p, "message": None} for p in (0.1, 0.2)]),
        ('  {"progress": 0.1, "message": null}', [{"progress": 0.1, "message": None}]),
        (json.dumps({"message": "\ud800"}), [{"progress": None, "message": "\ud800"}]),
    ],
)
async def test_reports_in_every_form(house: House, body: str, stored: list[Any]) -> None:
    run = await house.begin()
    assert (await house.post(run, body))[0] == 204
    assert await house.said(run) == stored


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "no report"),
        ("\n \n", "no report"),
        ("0.4", "no report of progress"),
        ("{}", "no report of progress"),
        ("[0.4]", "no report of progress"),
        ("progress", "not JSON"),
        ('{"progress": 0.4', "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        ('{"progress": 1.1}', "1.1 is not a number from 0 to 1"),
        ('{"progress": -0.1}', "-0.1 is not a number"),
        ('{"progress": true}', "True is not a number"),
        ('{"progress": NaN}', "nan is not a number"),
        ('{"progress": "0.4"}', "'0.4' is not a number"),
        ('{"message": 12}', "no text"),
        (json.dumps({"message": "x" * 1_001}), "1000 characters"),
        ('{"progress": 0.4, "percent": 40}', "no report of progress"),
        ('{"progress": 0.1}\n{"progress": 2}', "2 is not a number"),
    ],
)
async def test_what_is_no_report_is_refused_with_what_would_be_one(
    house: House, body: str | bytes, detail: str
) -> None:
    run = await house.begin()
    status, said = await house.post(run, body)
    assert status == 400
    assert detail in said
    assert '{"progress": 0.4, "message": "step 12/30"}' in said
    assert await house.said(run) == [], "not even what stood before it"


async def test_too_much_at_a_time_is_refused(house: House) -> None:
    run = await house.begin()
    status, said = await house.post(run, '{"progress": 0.5}\n' * 5_000)
    assert (status, "65536 bytes" in said) == (413, True)


async def test_a_run_that_is_over_reports_nothing(house: House) -> None:
    run = await house.begin()
    one = run.invocation
    await house.deployed.store.queue.finish(one.function, one.id, one.token, Outcome(event=Event.SUCCEED))
    assert (await house.post(run, '{"progress": 1}'))[0] == 409
    house.runs.end(run)
    assert (await house.post(run, '{"progress": 1}'))[0] == 409
    assert await house.said(run) == []


async def test_a_run_that_was_cancelled_reports_nothing(house: House) -> None:
    run = await house.begin()
    await house.deployed.store.queue.cancel(run.invocation.function, run.invocation.id)
    assert (await house.post(run, '{"progress": 1}'))[0] == 409


@pytest.mark.parametrize("wrong", ["signature", "token", "id", "function"])
async def test_the_url_of_another_run_is_of_no_use(house: House, wrong: str) -> None:
    run, other = await house.begin(), await house.begin()
    parts = run.progress_url.split("/")
    index = {"signature": -2, "token": -3, "id": -4, "function": -5}[wrong]
    parts[index] = {"token": "2", "function": "other"}.get(wrong, other.progress_url.split("/")[index])
    async with house.container.post("/".join(parts), data='{"progress": 1}') as reply:
        assert reply.status == 409
    assert (await house.said(run), await house.said(other)) == ([], [])


async def test_an_older_run_has_no_say_in_its_successor(house: House) -> None:
    run = await house.begin()
    later = house.go(replace(run.invocation, token=2))
    assert later.progress_url != run.progress_url
    assert (await house.post(later, '{"progress": 1}'))[0] == 409, "the store knows no such run"


# Answers


async def test_an_answer_is_read_as_it_comes(house: House) -> None:
    run = await house.begin(kind="call", gateway="gw")
    recording = await run.answers(replace(OK, headers=(("X-Model", "m1"),)), None)
    opening = await house.opening(run)
    assert opening.response.headers == (("X-Model", "m1"),)
    assert (opening.length, opening.cold_start, opening.timeline) == (None, True, {"queued": 1.0})
    assert opening.address == house.shared.address
    await recording.write(b"first")
    async with house.gateway.get(opening.path) as reply:
        assert (reply.status, await reply.content.readany()) == (200, b"first")
        await recording.write(b"second")
        assert await reply.content.readany() == b"second"
        await recording.finish()
        house.runs.end(run)
        assert await reply.content.readany() == b""
        assert reply.content.at_eof()


async def test_of_an_open_ended_answer_of_a_job_it_is_known_how_it_begins_and_nobody_is_awaited(
    house: House,
) -> None:
    run = await house.begin(kind="job")
    recording = await run.answers(replace(OK, headers=(("Content-Type", "application/x-ndjson"),)), None)
    assert (await house.opening(run)).response.headers == (("Content-Type", "application/x-ndjson"),)
    assert not recording.awaited


async def test_a_reader_may_be_there_before_the_stores_reply(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await house.begin(kind="call", gateway="gw")
    queue, statuses = house.deployed.store.queue, list[int]()
    really_open = queue.open

    async def open_and_read(*named: Any) -> bool:
        opened = await really_open(*named)
        async with house.gateway.get(named[-1].path) as reply:
            statuses.append(reply.status)
            reply.close()
        return opened

    monkeypatch.setattr(queue, "open", open_and_read)
    await run.answers(OK, None)
    assert statuses == [200]


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(house: House) -> None:
    run = await house.begin(kind="call", gateway="gw")
    recording = await run.answers(OK, None)
    await recording.write(b"first")
    async with house.gateway.get((await house.opening(run)).path) as reply:
        assert await reply.content.readany() == b"first"
        await recording.abandon()
        with pytest.raises(aiohttp.ClientError):
            await reply.content.read()


async def test_a_short_answer_can_still_be_read_when_its_run_is_over(house: House) -> None:
    run = await house.begin(kind="call", gateway="gw")
    recording = await run.answers(OK, None)
    path = (await house.opening(run)).path
    await recording.write(b"all")
    await recording.finish()
    house.runs.end(run)
    async with house.gateway.get(path) as reply:
        assert await reply.read() == b"all"


async def test_nothing_is_kept_of_a_run_that_nobody_reads_along(house: House) -> None:
    run = await house.begin()
    recording = await run.answers(OK, None)
    await recording.write(b"x")
    assert not recording.awaited
    await recording.finish()
    house.runs.end(run)
    assert house.runs._runs == {}
    assert run.recording is None


async def test_an_answer_that_another_attempt_may_follow_is_not_opened(house: House) -> None:
    run = await house.begin(kind="call", gateway="gw")
    run._final = lambda response: response.status < 500
    await run.answers(Response(status=503), None)
    assert await house.deployed.store.invocations.news(run.invocation.function, run.invocation.id) is None


@pytest.mark.parametrize("what", ["before it began", "wrong signature", "beginning gone", "over"])
async def test_what_cannot_be_read_is_said_at_once(house: House, what: str) -> None:
    run = await house.begin(kind="call")
    name = f"{run.invocation.function}/{run.invocation.id}/{run.invocation.token}"
    signature = sign(KEY, "logs" if what == "wrong signature" else name)
    if what != "before it began":
        recording = await run.answers(OK, None)  # nobody waits: nobody is waited for
        for _ in range(40 if what == "beginning gone" else 1):
            await recording.write(b"x" * 65_536)
        if what == "over":
            await recording.abandon()
            house.runs.end(run)
    async with house.gateway.get(f"/runs/{name}/{signature}/answer") as reply:
        assert reply.status == 404
        assert "detail" in await reply.json()


async def test_a_client_that_hangs_up_frees_the_run(house: House) -> None:
    run = await house.begin(kind="call", gateway="gw")
    recording = await run.answers(OK, None)
    path = (await house.opening(run)).path
    async with house.gateway.get(path) as reply:
        await recording.write(b"x")
        assert await reply.content.readany() == b"x"
        writing = asyncio.create_task(_write(recording, 200))
        await asyncio.sleep(0.1)
        assert not writing.done()
        reply.close()
    await asyncio.wait_for(writing, 10)


async def _write(recording: Any, pieces: int) -> None:
    for _ in range(pieces):
        await recording.write(b"x" * 65_536)


# Logs


async def read_log(house: House, instance: str, query: str, *, signature: str | None = None) -> tuple[int, str]:
    path = house.inner.logs_path.replace("{instance}", instance)
    if signature is not None:
        path = f"/instances/{instance}/{signature}/logs"
    async with house.gateway.get(f"{path}?{query}") as reply:
        return reply.status, await reply.text()


async def test_the_last_lines_of_a_log(house: House) -> None:
    house.logs.hear("f-12345678", b"a\nb\nc\n", 1.0)
    assert await read_log(house, "f-12345678", "function=f&tail=2") == (200, "b\nc\n")
    assert await read_log(house, "f-12345678", "function=f&tail=0") == (200, "")


@pytest.mark.parametrize(
    ("instance", "function", "signature"),
    [
        ("f-12345678", "f", sign(b"another key", "logs")),
        ("f-12345678", "f", sign(KEY, "f/1/1")),
        ("f-87654321", "f", None),
        ("f-12345678", "g", None),
        ("f-g-12345678", "f", None),
    ],
)
async def test_a_log_is_for_who_may_read_it(
    house: House, instance: str, function: str, signature: str | None
) -> None:
    house.logs.hear("f-12345678", b"secret\n", 1.0)
    house.logs.hear("f-g-12345678", b"secret\n", 1.0)
    status, text = await read_log(house, instance, f"function={function}&tail=9", signature=signature)
    assert (status, "secret" in text) == (404, False)


async def test_a_log_is_followed_until_its_reader_leaves(house: House) -> None:
    house.logs.hear("f-12345678", b"a\n", 1.0)
    path = house.inner.logs_path.replace("{instance}", "f-12345678")
    async with house.gateway.get(f"{path}?function=f&tail=9&follow=true") as reply:
        assert await reply.content.readline() == b"a\n"
        house.logs.hear("f-12345678", b"b\n", 1.0)
        assert await reply.content.readline() == b"b\n"
        reply.close()

    async def left() -> bool:
        return not house.logs._followers

    await until(left, "its reader has left")


# Which run a line belongs to


async def lines(house: House, run: LiveRun) -> list[str]:
    await run.narrator.flush()
    return [said["line"] for said in await house.said(run)]


async def test_a_line_belongs_to_the_run_that_went_on_when_it_was_written(house: House) -> None:
    first = await house.begin()
    instance = house.instance
    house.logs.hear(instance, b"of the first\n", time.time())
    house.logs.hear(instance, b"of its start\n", first.began - 1)
    house.runs.end(first)
    assert first.ended is not None
    between = first.ended + 1
    house.logs.hear(instance, b"of nobody\n", between)
    house.logs.hear(instance, b"late\n", first.ended)
    assert await lines(house, first) == ["of the first", "late"]


async def test_lines_of_an_instance_that_runs_several_calls_are_nobodys(house: House) -> None:
    run = await house.begin(concurrency=2)
    house.logs.hear(house.instance, b"whose?\n", time.time())
    assert await lines(house, run) == []
