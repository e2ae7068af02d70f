"""One error for everything that is Redis's, and nobody's command at the cost of another's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from penstock import keys
from penstock.errors import StoreUnavailable
from penstock.store import Store
from penstock.store.connection import Connection
from penstock.store.link import ReplyError
from tests.conftest import RedisServer
from tests.unit.penstock.store.world import listening, open_world


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[Connection]:
    connection = Connection(redis_server.url)
    await connection.command("FLUSHALL")
    yield connection
    await connection.close()


async def together(*commands: Coroutine[Any, Any, Any]) -> list[Any]:
    """What each returns or raises, when all are issued in one turn."""
    return await asyncio.gather(*commands, return_exceptions=True)


async def test_commands_of_one_turn_are_answered_each_with_its_own_reply(connection: Connection) -> None:
    echoes = await together(*(connection.command("ECHO", str(number)) for number in range(500)))

    assert echoes == [str(number).encode() for number in range(500)]


async def test_commands_of_one_turn_share_one_connection(connection: Connection) -> None:
    clients = await together(*(connection.command("CLIENT", "ID") for _ in range(50)))

    assert len(set(clients)) == 1


async def test_a_command_that_fails_fails_alone(connection: Connection) -> None:
    await connection.command("SET", "text", "no number")

    failed, fine = await together(connection.command("INCR", "text"), connection.command("ECHO", "fine"))

    assert isinstance(failed, ReplyError)
    assert fine == b"fine"


async def test_an_argument_that_cannot_be_sent_fails_alone(connection: Connection) -> None:
    # A file name or a container's output that is not UTF-8, decoded as Python does, in the text of a problem.
    not_utf_8 = b"caf\xe9".decode(errors="surrogateescape")

    failed, fine = await asyncio.wait_for(
        together(connection.command("ECHO", not_utf_8), connection.command("ECHO", "fine")), timeout=2
    )

    assert isinstance(failed, Exception)
    assert fine == b"fine"


async def test_a_caller_that_gives_up_leaves_the_others_alone(connection: Connection) -> None:
    given_up = asyncio.ensure_future(connection.command("ECHO", "given up"))
    other = asyncio.ensure_future(connection.command("ECHO", "other"))
    await asyncio.sleep(0)
    given_up.cancel()

    assert await other == b"other"
    assert await connection.command("ECHO", "later") == b"later"


async def test_scripts_that_redis_forgot_are_sent_again(connection: Connection) -> None:
    for _ in range(2):
        await connection.command("SCRIPT", "FLUSH")
        assert await connection.script("due", [keys.ACTIVE], 0, 10) == [-1]


async def test_close_waits_for_what_was_issued(redis_server: RedisServer) -> None:
    connection = Connection(redis_server.url)
    issued = asyncio.ensure_future(connection.command("ECHO", "issued"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await connection.close()

    assert issued.done()
    assert await issued == b"issued"


async def test_no_redis_is_an_unavailable_store(tmp_path: Path) -> None:
    store = Store(f"unix://{tmp_path}/nobody.sock")

    with pytest.raises(StoreUnavailable, match="Redis"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="Redis"):
        await anext(aiter(store.wakes()))
    await store.close()


async def test_a_redis_that_does_not_answer_is_an_unavailable_store(own_server: RedisServer) -> None:
    store = Store(own_server.url, timeout=0.2)
    await store.ping()
    assert own_server.process is not None
    os.kill(own_server.process.pid, signal.SIGSTOP)

    with pytest.raises(StoreUnavailable):
        await store.ping()
    os.kill(own_server.process.pid, signal.SIGCONT)
    await store.ping()
    await store.close()


@pytest.mark.parametrize(
    ("setting", "value", "word"), [("min-replicas-to-write", "1", "NOREPLICAS"), ("maxmemory", "1", "used memory")]
)
async def test_a_redis_that_cannot_serve_now_is_an_unavailable_store(
    own_server: RedisServer, unique: str, setting: str, value: str, word: str
) -> None:
    async with open_world(own_server.url, unique) as world:
        await world.redis.config_set(setting, value)

        with pytest.raises(StoreUnavailable, match=word) as refused:
            await world.submit()
    assert refused.value.retryable


async def test_what_was_acknowledged_survives_a_kill_of_redis(own_server: RedisServer, unique: str) -> None:
    async with open_world(own_server.url, unique) as world:
        names = [await world.submit() for _ in range(20)]
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(StoreUnavailable):
            await world.submit()
        await asyncio.to_thread(own_server.start)

        taken = [run.invocation.id for _ in names if (run := await world.take())]

    assert taken == names


async def test_a_subscription_ends_with_an_error_when_redis_dies(own_server: RedisServer) -> None:
    store = Store(own_server.url)
    async with listening(store.wakes()) as ear:
        await asyncio.to_thread(own_server.kill)

        with pytest.raises(StoreUnavailable, match="Redis"):
            await ear.next()
    await store.close()


async def test_a_subscription_outlives_a_silence_longer_than_a_commands_timeout(
    redis_server: RedisServer,
) -> None:
    store = Store(redis_server.url, timeout=0.1)
    async with listening(store.wakes()) as ear:
        waiting = asyncio.ensure_future(ear.next())
        await asyncio.sleep(0.3)
        await asyncio.to_thread(redis_server.cli, "PUBLISH", "ps:wake", "one")

        assert await waiting == ("ps:wake", b"one")
    await store.close()
