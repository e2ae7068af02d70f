"""What the tests of the store share: a world on an empty Redis, and a Redis that a test may break."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.store import Store
from tests.conftest import RedisServer
from tests.unit.penstock.store.world import World, open_world


@pytest.fixture
async def world(redis_server: RedisServer, store: Store, unique: str) -> AsyncIterator[World]:
    """One deployed function and its leader; `store` has emptied Redis."""
    async with open_world(redis_server.url, unique) as world:
        yield world


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A Redis for one test, which may kill it."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()
