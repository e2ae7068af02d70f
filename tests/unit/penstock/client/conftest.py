"""A client of a real gateway, straight or through a proxy that breaks connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from penstock.client import AsyncClient
from tests.faults.proxy import Proxy
from tests.unit.gateway.conftest import House, house, no_blocking_call, open_house

__all__ = ["house", "no_blocking_call", "open_house"]


@pytest.fixture
async def client(house: House) -> AsyncIterator[AsyncClient]:
    """It tries each request once, so that no error hides."""
    async with AsyncClient(str(house.client.make_url("/")), retries=0) as client:
        yield client


@pytest.fixture
def proxy(house: House) -> Iterator[Proxy]:
    """Before the gateway."""
    proxy = Proxy(("127.0.0.1", house.client.port or 0))
    yield proxy
    proxy.close()


@pytest.fixture
async def patient(proxy: Proxy) -> AsyncIterator[AsyncClient]:
    """A client behind the proxy that tries again."""
    async with AsyncClient(f"http://127.0.0.1:{proxy.port}", timeout=5.0) as client:
        yield client
