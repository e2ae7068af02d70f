"""No connection reaches a server inside, however the URL spells it: a canary counts what reaches it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from penstock.egress import LOOPBACK, Egress, Network
from penstock.outbound import Refused, open_session
from tests.unit.workers.servers import serving
from tests.unit.workers.waiting import until

HOSTS = [
    # 127.0.0.1, as resolvers read it.
    *("127.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1"),
    *("017700000001", "0177.0.0.1", "0177.1", "0x7f.0x0.0x0.0x1", "00000177.0.0.1", "127.0.0.0x1"),
    # Other addresses of this machine.
    *("127.0.0.2", "127.255.255.254", "0", "0.0.0.0", "0x0", "00", "localhost", "LOCALHOST", "localhost."),
    # IPv6, and IPv4 inside of it.
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0.0.0.0]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]"),
    *("[2001:0:7f00:1::1]", "[fe80::1%25lo]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]"),
    # Where clouds keep their secrets.
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "user:secret@127.0.0.1", "127.0.0.1%2f@127.0.0.1"),
    # Names; the last ones resolve as the test says.
    *("inside.test", "both.test", "rebinding.test", "mapped.test"),
]
OUTSIDE = "192.88.98.7"
"""A public address where nobody answers here."""
NAMES = {
    "inside.test": [["127.0.0.1"]],
    "both.test": [[OUTSIDE, "127.0.0.1", "::1"]],
    "rebinding.test": [[OUTSIDE], ["127.0.0.1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
}


@dataclass
class Canary:
    port: int
    reached: int = 0


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """Listens on every address of this machine."""
    canary = Canary(0)

    async def sing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canary.reached += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        canary.port = listening.getsockname()[1]
        server = await asyncio.start_server(sing, sock=listening)
        yield canary
        server.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolves the names of the corpus: each time it is asked, a name has its next addresses."""
    real, asked = socket.getaddrinfo, dict.fromkeys(NAMES, 0)

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in NAMES:
            return real(host, port, *args, **options)
        addresses = NAMES[host][asked[host] % len(NAMES[host])]
        asked[host] += 1
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port, 0, 0) if ":" in address else (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def send(url: str, allow: tuple[Network, ...] = (), **options: Any) -> int:
    async with open_session(Egress(allow=allow), timeout=0.3) as session, session.post(url, **options) as reply:
        return reply.status


def test_the_corpus_is_large() -> None:
    assert len(set(HOSTS)) >= 40


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("host", HOSTS)
async def test_nothing_reaches_the_canary(canary: Canary, host: str) -> None:
    url = f"http://{host}:{canary.port}/"
    for _ in range(2):  # a name may have moved meanwhile
        with pytest.raises((aiohttp.ClientError, TimeoutError, OSError, ValueError)):
            await send(url)
    assert canary.reached == 0


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "localhost", "inside.test", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_the_canary_would_sing(canary: Canary, host: str) -> None:
    assert await send(f"http://{host}:{canary.port}/", LOOPBACK) == 200
    assert canary.reached == 1


async def test_names_that_nobody_answers_for_hold_up_no_other(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    waiting = 0

    def resolve(host: Any, port: Any, *args: Any) -> Any:
        nonlocal waiting
        if host != "alive.test":
            waiting += 1
            answered.wait(10)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with open_session(Egress(allow=LOOPBACK), timeout=10.0) as session:
        dead = [asyncio.create_task(session.get(f"http://dead-{number}.test:8080/")) for number in range(32)]

        async def all_wait() -> bool:
            return waiting == 32

        await until(all_wait, "all wait for their names")
        async with session.get(f"http://alive.test:{canary.port}/") as reply:
            assert reply.status == 200
        assert not any(task.done() for task in dead)
        answered.set()
        for error in await asyncio.gather(*dead, return_exceptions=True):
            assert isinstance(error, aiohttp.ClientConnectorError)


async def test_a_redirect_reaches_it_no_more_than_a_url(canary: Canary) -> None:
    """Even if it is followed, as nobody here does."""

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"http://127.0.0.2:{canary.port}/"})

    async with serving(elsewhere) as receiver:
        url, only = f"http://127.0.0.1:{receiver.port}/", (IPv4Network("127.0.0.1/32"),)
        assert await send(url, only, allow_redirects=False) == 307
        with pytest.raises(aiohttp.ClientConnectorError, match=r"127\.0\.0\.2"):
            await send(url, only, allow_redirects=True)
    assert canary.reached == 0


async def test_a_port_that_is_not_allowed_is_not_connected_to(canary: Canary) -> None:
    egress = Egress(allow=LOOPBACK, ports=((80, 80),))
    async with open_session(egress, timeout=1.0) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.post(f"http://127.0.0.1:{canary.port}/")
    assert isinstance(refused.value.os_error, Refused)
    assert canary.reached == 0


async def test_no_proxy_of_the_environment_is_used(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{canary.port}")
    with pytest.raises(aiohttp.ClientConnectorError):
        await send("http://10.255.255.1:8080/")
    assert canary.reached == 0
