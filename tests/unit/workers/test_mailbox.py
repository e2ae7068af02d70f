"""The jobs of one instance that asks for them: handed out once, stopped when told, let go when it says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.store import Store
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function, live_run, run
from workers.answer import Lost, Malformed, NotSent
from workers.mailbox import Job, Mailbox
from workers.protocols.runpod import Done

DONE = Done(output=b"1", error=None, last=False)


@pytest.fixture
async def job(store: Store, tmp_path: Path) -> Job:
    return make_job(store, tmp_path, "a")


def make_job(store: Store, folder: Path, name: str, *, longest: int = 1_000) -> Job:
    live = live_run(store, DirectoryBlobs(folder), function(), run())
    return Job({"id": name, "input": {}}, live, longest=longest)


async def test_a_job_waits_for_the_worker_and_the_worker_for_a_job(job: Job) -> None:
    box = Mailbox()
    box.put(job)
    assert await box.take(1, 0.0) == [job]
    taking = asyncio.create_task(box.take(1, 10.0))
    await asyncio.sleep(0)
    assert box.asks == 1
    box.put(job)
    assert await taking == [job]
    assert box.asks == 0
    assert await box.take(1, 0.01) == []


async def test_a_batch_is_no_more_than_was_asked_for(store: Store, tmp_path: Path) -> None:
    box, jobs = Mailbox(), [make_job(store, tmp_path, name) for name in "abc"]
    for one in jobs:
        box.put(one)
    assert await box.take(2, 0.0) == jobs[:2]
    assert await box.take(2, 0.0) == jobs[2:]


async def test_what_did_not_reach_the_worker_is_handed_out_again(job: Job) -> None:
    box = Mailbox()
    box.put(job)
    taken = await box.take(1, 0.0)
    box.give_back(taken)
    assert not job.taken
    assert await box.take(1, 0.0) == [job]


async def test_a_job_that_nobody_waits_for_is_not_handed_out(job: Job) -> None:
    box = Mailbox()
    box.put(job)
    box.drop(job)
    assert await box.take(1, 0.01) == []
    assert await box.until_gone("a", 0.0)


async def test_a_job_that_runs_is_stopped_and_gone_once_a_ping_does_not_name_it(job: Job, hand: Hand) -> None:
    box = Mailbox()
    box.put(job)
    await box.take(1, 0.0)
    box.drop(job)
    assert box.find("a") is None, "its outcome counts no more"
    box.pinged(["b"])
    assert not await box.until_gone("a", 0.01), "it was not told yet"
    assert await box.stops(1.0) == ["a"]
    hand.now += 0.1
    box.pinged([])
    assert not await box.until_gone("a", 0.01), "that may be older than the word"
    hand.now += 0.2
    box.pinged(["a"])
    assert not await box.until_gone("a", 0.01)
    hand.now += 1.0
    assert await box.stops(1.0) == ["a"], "it had not begun it then"
    hand.now += 0.3
    box.pinged([])
    assert await box.until_gone("a", 0.01)


async def test_what_the_worker_says_became_of_it_is_its_end(job: Job) -> None:
    box = Mailbox()
    box.put(job)
    await box.take(1, 0.0)
    assert box.find("a") is job
    job.end(DONE)
    box.ended("a")
    assert await job.done == DONE
    assert await box.until_gone("a", 0.0)
    job.end(Done(output=b"2", error=None, last=False))
    assert await job.done == DONE, "once"


async def test_a_worker_that_waits_to_be_told_hears_it_at_once(job: Job) -> None:
    box = Mailbox()
    box.put(job)
    await box.take(1, 0.0)
    telling = asyncio.create_task(box.stops(10.0))
    await asyncio.sleep(0)
    box.drop(job)
    assert await asyncio.wait_for(telling, 5) == ["a"]


async def test_a_closed_box_keeps_nobody_waiting(job: Job) -> None:
    box = Mailbox()
    taking, telling = asyncio.create_task(box.take(1, 60.0)), asyncio.create_task(box.stops(60.0))
    await asyncio.sleep(0)
    box.close()
    assert await asyncio.wait_for(taking, 5) == []
    assert await asyncio.wait_for(telling, 5) == []


async def test_silence_is_neither_a_question_nor_a_job(job: Job, hand: Hand) -> None:
    box = Mailbox()
    hand.now += 100
    assert box.silent(60)
    taking = asyncio.create_task(box.take(1, 60.0))
    await asyncio.sleep(0)
    assert not box.silent(60), "it asks"
    box.put(job)
    await taking
    hand.now += 100
    assert not box.silent(60), "it runs a job"
    box.ended("a")
    assert box.silent(60)


async def test_a_worker_that_ended_lost_a_job_only_if_it_had_it(store: Store, tmp_path: Path) -> None:
    waiting, taken = make_job(store, tmp_path, "w"), make_job(store, tmp_path, "t")
    taken.taken = True
    for job, error in ((waiting, NotSent), (taken, Lost)):
        job.lost()
        with pytest.raises(error):
            await job.done


async def test_outputs_that_come_one_by_one_are_one_answer(store: Store, tmp_path: Path) -> None:
    job = make_job(store, tmp_path, "a")
    for line in (b"1\n", b"2\n"):
        await job.stream(line)
    response, body = await job.streamed()
    assert (body, response.size, response.status) == (b"1\n2\n", 4, 200)
    assert dict(response.headers) == {"Content-Type": "application/x-ndjson"}
    await job.live.narrator.flush()


async def test_more_output_than_is_allowed_is_no_answer(store: Store, tmp_path: Path) -> None:
    job = make_job(store, tmp_path, "a", longest=10)
    await job.stream(b"x" * 11)
    with pytest.raises(Malformed, match="longer than 10 bytes"):
        await job.done
    await job.stream(b"more")
    await job.abandon()
    await job.live.narrator.flush()
    assert not list(tmp_path.rglob("*.answer*"))
