"""The version of the data: written down, refused when too new, brought up to date once, whoever is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock import keys
from penstock.errors import ConfigurationError
from penstock.function import Function, FunctionSpec
from penstock.schema import SCHEMA, Verdict, Version, verdict
from penstock.startup import Guard
from penstock.store import Store
from penstock.store.connection import Connection
from penstock.store.migrations import STEPS, Step
from penstock.store.schema import Schema
from tests.conftest import RedisServer
from tests.unit.workers.waiting import until


@pytest.mark.parametrize(
    ("found", "mine", "empty", "what"),
    [
        (None, 1, True, Verdict.STAMP),
        (None, 3, True, Verdict.STAMP),
        (None, 1, False, Verdict.STAMP),
        (None, 2, False, Verdict.MIGRATE),
        (Version(schema=2, compatible_from=1), 2, False, Verdict.RUN),
        (Version(schema=3, compatible_from=2), 2, False, Verdict.RUN),
        (Version(schema=3, compatible_from=3), 2, False, Verdict.REFUSE),
        (Version(schema=2, compatible_from=3), 2, False, Verdict.REFUSE),
        (Version(schema=1, compatible_from=1), 2, False, Verdict.MIGRATE),
    ],
)
def test_the_rule(found: Version | None, mine: int, empty: bool, what: Verdict) -> None:
    assert verdict(found, mine=mine, empty=empty) is what


def test_the_steps_lead_to_this_schema_in_order() -> None:
    schemas = [step.schema for step in STEPS]
    assert schemas == list(range(2, SCHEMA + 1))
    assert all(step.compatible_from <= step.schema for step in STEPS)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """Of our own: a gateway of other tests would stop at data that is too new for it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def connection(redis_server: RedisServer, store: Store) -> AsyncIterator[Connection]:
    connection = Connection(redis_server.url)
    yield connection
    await connection.close()


async def doubled(connection: Connection, *, pause: float = 0.0) -> AsyncIterator[None]:
    """A step as steps are: what has been done is not done again."""
    for number in range(10):
        if not await connection.command("SISMEMBER", "done", str(number)):
            await connection.command("SADD", "done", str(number))
        await asyncio.sleep(pause)
        yield


def step(schema: int, compatible_from: int, *, pause: float = 0.0) -> Step:
    return Step(
        schema=schema,
        compatible_from=compatible_from,
        what="a test",
        apply=lambda connection: doubled(connection, pause=pause),
    )


def of(connection: Connection, mine: int, *steps: Step, lock_ms: int = 30_000) -> Schema:
    return Schema(connection, mine=mine, steps=steps, notice=0.05, lock_ms=lock_ms)


async def test_the_first_start_writes_the_version_down(store: Store) -> None:
    assert await store.schema.get() is None
    assert await store.schema.settle()
    found = await store.schema.get()
    assert found is not None
    assert (found.schema, found.compatible_from) == (SCHEMA, 1)
    assert found.written_by
    assert await store.schema.settle(), "and the second one finds it"
    assert await store.schema.get() == found


async def test_data_from_before_there_was_a_version_is_of_schema_1(connection: Connection) -> None:
    await connection.command("HSET", keys.FUNCTIONS, "echo", "{}")
    schema = of(connection, 2, step(2, 1))
    assert await schema.settle()
    assert await schema.get() == Version(schema=2, compatible_from=1, written_by=(await schema.get()).written_by)  # type: ignore[union-attr]
    assert await connection.command("SCARD", "done") == 10


async def test_newer_data_is_refused_with_what_to_do(connection: Connection) -> None:
    await connection.command("HSET", keys.VERSION, "schema", "7", "compatible_from", "6", "written_by", "9.1.0")
    with pytest.raises(
        ConfigurationError, match=r"schema 7, written by Penstock 9\.1\.0.* 6 and newer.*upgrade it"
    ):
        await of(connection, 5).settle()
    assert await of(connection, 6).settle(), "one that it is compatible with works beside the newer ones"


async def test_every_step_is_taken_once_and_the_version_grows_with_each(connection: Connection) -> None:
    await of(connection, 1).settle()
    schema = of(connection, 3, step(2, 1), step(3, 1))
    assert await schema.settle()
    found = await schema.get()
    assert found is not None
    assert (found.schema, found.compatible_from) == (3, 1)
    assert await connection.command("EXISTS", keys.MIGRATING) == 0
    await connection.command("DEL", "done")
    assert await schema.settle()
    assert await connection.command("SCARD", "done") == 0, "nothing is done again"


async def test_one_migrates_and_the_others_wait(connection: Connection) -> None:
    await of(connection, 1).settle()
    slow = of(connection, 2, step(2, 1, pause=0.02))
    first = asyncio.create_task(slow.settle())
    await until(lambda: _has(connection, keys.MIGRATING), "the first one migrates")
    assert not await slow.settle(), "not yet"
    assert await first
    assert await slow.settle()


async def _has(connection: Connection, key: str) -> bool:
    return bool(await connection.command("EXISTS", key))


async def test_older_processes_learn_of_a_breaking_step_before_it_begins(connection: Connection) -> None:
    old = of(connection, 1)
    assert await old.settle()
    new = asyncio.create_task(of(connection, 2, step(2, 2)).settle())

    async def told() -> bool:
        found = await old.get()
        return found is not None and found.compatible_from == 2

    await until(told, "the step is announced")
    with pytest.raises(ConfigurationError, match="2 and newer"):
        await old.settle()
    assert await connection.command("SCARD", "done") == 0, "and nothing was changed before"
    assert await new
    assert await connection.command("SCARD", "done") == 10


async def test_whoever_lost_the_lock_changes_no_version(connection: Connection) -> None:
    await of(connection, 1).settle()
    first = asyncio.create_task(of(connection, 2, step(2, 1, pause=0.02)).settle())
    await until(lambda: _has(connection, "done"), "it is at work")
    await connection.command("SET", keys.MIGRATING, "another")
    assert not await first
    found = await of(connection, 1).get()
    assert found is not None
    assert found.schema == 1


async def test_a_migration_that_is_killed_half_way_is_done_by_the_next_process(
    redis_server: RedisServer, connection: Connection
) -> None:
    await of(connection, 1).settle()
    program = (
        "import asyncio, sys\n"
        "from penstock.store.connection import Connection\n"
        "from tests.unit.penstock.store.test_schema import of, step\n"
        "async def main():\n"
        f"    await of(Connection({redis_server.url!r}), 2, step(2, 1, pause=0.2), lock_ms=400).settle()\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[4]
    victim = subprocess.Popen([sys.executable, "-c", program], cwd=root)

    async def half_way() -> bool:
        assert victim.poll() is None, "it has ended by itself"
        return int(await connection.command("SCARD", "done")) >= 3

    await until(half_way, "it is half-way", timeout=20)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert int(await connection.command("SCARD", "done")) < 10
    next_one = of(connection, 2, step(2, 1))

    async def done() -> bool:
        return await next_one.settle()

    await until(done, "the lock ran out, and the next one did it")
    assert await connection.command("SCARD", "done") == 10
    found = await next_one.get()
    assert found is not None
    assert found.schema == 2


async def test_a_full_redis_does_not_keep_a_process_from_working(store: Store, redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await store.schema.settle()
        assert await store.schema.get() is None
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")
    assert await store.schema.settle()
    assert await store.schema.get() is not None


async def test_a_running_process_stops_once_the_data_has_left_it_behind(
    store: Store, redis_server: RedisServer
) -> None:
    stop = asyncio.Event()
    guard = Guard(store, stop)
    assert await guard.look()
    guard.check()
    redis_server.cli("HSET", keys.VERSION, "schema", str(SCHEMA + 1), "compatible_from", str(SCHEMA + 1))
    assert not await guard.look()
    assert stop.is_set()
    with pytest.raises(ConfigurationError, match="upgrade it"):
        guard.check()


def test_what_the_next_version_adds_is_left_aside() -> None:
    spec = FunctionSpec(image="x")
    stored = json.loads(Function(name="a", spec=spec, revision=1, digest="", created_at=1).dump())
    stored |= {"later": 1, "spec": {**stored["spec"], "later": {}, "scaling": {"max": 2, "later": 3}}}
    read = Function.load(json.dumps(stored))
    assert (read.name, read.spec.scaling.max) == ("a", 2)
