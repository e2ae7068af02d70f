"""Background work: loops that outlive their failures, work that is told of when it fails, an end in order."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import pytest

from penstock.errors import StoreUnavailable
from penstock.tasks import Tasks, cancel


async def test_a_loop_that_fails_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    tasks, third = Tasks(), asyncio.Event()
    turns: list[None] = []

    async def body() -> None:
        turns.append(None)
        if len(turns) < 3:
            raise StoreUnavailable("Redis is away")
        third.set()
        await asyncio.Event().wait()

    tasks.loop("sweeper", body)
    await asyncio.wait_for(third.wait(), 10)
    await tasks.stop()

    assert caplog.messages == ["sweeper: StoreUnavailable: Redis is away; trying again"], "one outage, told once"


async def test_another_failure_of_a_loop_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    tasks, done = Tasks(), asyncio.Event()
    failures: list[Exception] = [StoreUnavailable("away"), KeyError("what"), StoreUnavailable("full")]

    async def body() -> None:
        if failures:
            raise failures.pop(0)
        done.set()
        await asyncio.Event().wait()

    tasks.loop("sweeper", body)
    await asyncio.wait_for(done.wait(), 10)
    await tasks.stop()

    assert [message.split(": ", 1)[1] for message in caplog.messages] == [
        "StoreUnavailable: away; trying again",
        "KeyError: 'what'; trying again",
        "StoreUnavailable: full; trying again",
    ]


@pytest.mark.parametrize(
    ("error", "traced"),
    [(StoreUnavailable("away"), False), (ConnectionResetError(), False), (KeyError("a"), True)],
)
async def test_only_what_nobody_expected_is_told_with_its_traceback(
    caplog: pytest.LogCaptureFixture, error: Exception, traced: bool
) -> None:
    tasks, failed = Tasks(), asyncio.Event()

    async def body() -> None:
        if not failed.is_set():
            failed.set()
            raise error
        await asyncio.Event().wait()

    tasks.loop("sweeper", body)
    await failed.wait()
    while not caplog.records:
        await asyncio.sleep(0)
    await tasks.stop()

    assert bool(caplog.records[0].exc_info) is traced


async def test_a_loop_has_its_name() -> None:
    tasks, names = Tasks(), asyncio.Queue[str]()

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        names.put_nowait(task.get_name())
        await asyncio.Event().wait()

    tasks.loop("sweeper", body)

    assert await names.get() == "sweeper"
    await tasks.stop()


async def test_loops_are_stopped_the_latest_first_and_each_is_waited_for() -> None:
    tasks, order, begun = Tasks(), [], asyncio.Semaphore(0)

    async def body(name: str) -> None:
        begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append(name)

    for name in ("first", "second", "third"):
        tasks.loop(name, partial(body, name))
        await begun.acquire()
    await tasks.stop()

    assert order == ["third", "second", "first"]


async def test_stop_also_ends_a_loop_that_waits_for_its_next_try() -> None:
    tasks, failed = Tasks(), asyncio.Event()

    async def body() -> None:
        failed.set()
        raise StoreUnavailable("away")

    tasks.loop("sweeper", body)
    await failed.wait()
    await asyncio.wait_for(tasks.stop(), 5)

    assert [task.get_name() for task in asyncio.all_tasks()].count("sweeper") == 0


async def test_stop_cancels_what_was_spawned() -> None:
    tasks = Tasks()
    task = tasks.spawn("delivery", _forever())
    await asyncio.sleep(0)

    await tasks.stop()

    assert task.cancelled()


async def test_a_failure_of_what_was_spawned_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    async def fail() -> None:
        raise KeyError("what")

    task = tasks.spawn("delivery", fail())
    await asyncio.wait([task])
    assert await tasks.drain(1)

    [record] = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "delivery failed")
    assert record.exc_info is not None


async def test_what_is_cancelled_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()
    task = tasks.spawn("delivery", _forever())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert await tasks.drain(1)
    assert caplog.records == []


async def test_drain_waits_for_what_was_spawned() -> None:
    tasks, go, ended = Tasks(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        ended.append("work")

    tasks.spawn("delivery", work())
    asyncio.get_running_loop().call_soon(go.set)

    assert await tasks.drain(10) is True
    assert ended == ["work"]


async def test_drain_says_when_something_is_still_at_work() -> None:
    tasks = Tasks()
    tasks.spawn("delivery", _forever())

    assert await tasks.drain(0.01) is False
    await tasks.stop()


async def test_drain_with_nothing_spawned_is_done_at_once() -> None:
    assert await Tasks().drain(0) is True


async def _forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise KeyError("nobody asks") from None

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel(tasks), 5)
    assert all(task.done() for task in tasks)
