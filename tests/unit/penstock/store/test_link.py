"""One socket to Redis: who is let in, what is pushed, and how it ends."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.errors import StoreUnavailable
from penstock.store.connection import Connection
from penstock.store.link import Link, LinkLost, ReplyError, dial
from tests.conftest import RedisServer


@pytest.fixture
async def link(redis_server: RedisServer) -> AsyncIterator[Link]:
    link = await dial(redis_server.url, timeout=2)
    yield link
    link.close()


async def test_replies_come_in_the_order_of_the_commands(link: Link) -> None:
    assert await asyncio.gather(*(link.ask("ECHO", number) for number in range(100))) == [
        str(number).encode() for number in range(100)
    ]


async def test_an_error_is_the_reply_to_its_own_command(link: Link) -> None:
    refused, fine = await asyncio.gather(link.ask("NONSENSE"), link.ask("PING"), return_exceptions=True)

    assert isinstance(refused, ReplyError)
    assert "NONSENSE" in str(refused)
    assert fine == b"PONG"


async def test_the_database_of_the_url_is_used(redis_server: RedisServer, link: Link) -> None:
    other = await dial(f"{redis_server.url}?db=3", timeout=2)
    await other.ask("SET", "where", "in 3")

    assert await link.ask("GET", "where") is None
    assert await other.ask("GET", "where") == b"in 3"
    other.close()


async def test_a_user_is_let_in_with_its_password_alone(own_server: RedisServer) -> None:
    own_server.cli("ACL", "SETUSER", "penstock", "on", ">right", "~ps:*", "+@all")
    link = await dial(own_server.url.replace("unix://", "unix://penstock:right@"), timeout=2)
    assert await link.ask("ACL", "WHOAMI") == b"penstock"
    link.close()

    with pytest.raises(ReplyError, match="WRONGPASS"):
        await dial(own_server.url.replace("unix://", "unix://penstock:wrong@"), timeout=2)


async def test_messages_are_pushed_between_replies(redis_server: RedisServer, link: Link) -> None:
    heard: list[tuple[bytes, bytes]] = []
    ear = await dial(redis_server.url, timeout=2, pushed=lambda channel, data: heard.append((channel, data)))
    await ear.ask("SUBSCRIBE", "news")
    for number in range(3):
        await link.ask("PUBLISH", "news", number)
    await ear.ask("PING")

    assert heard == [(b"news", b"0"), (b"news", b"1"), (b"news", b"2")]
    ear.close()


async def test_what_is_no_redis_ends_the_link() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        link = await dial(f"redis://127.0.0.1:{port}", timeout=2)
        with pytest.raises(LinkLost):
            await link.ask("PING")
        with pytest.raises(LinkLost):
            await link.ask("PING")


async def test_everything_that_is_owed_ends_with_the_connection(own_server: RedisServer) -> None:
    link = await dial(own_server.url, timeout=5)
    waiting = [asyncio.ensure_future(link.ask("BLPOP", f"nothing-{number}", 0)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.to_thread(own_server.kill)

    assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [LinkLost] * 3


async def test_one_lost_reply_holds_up_nothing_else_for_long(redis_server: RedisServer) -> None:
    """A reply that never comes, on a connection that stays open: what is issued later goes another way."""
    swallowed = asyncio.Event()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_unix_connection(redis_server.socket)
        while request := await reader.read(1000):
            upstream.write(request)
            reply = await upstream_reader.read(1000)
            if b"lost" in request:
                swallowed.set()
                await asyncio.Event().wait()
            writer.write(reply)

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    connection = Connection(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=3)
    lost = asyncio.ensure_future(connection.command("ECHO", "lost"))
    await swallowed.wait()
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < 2:  # what comes in the first second waits behind it
        await asyncio.sleep(0.1)
        if loop.time() - began > 1.2:
            assert await asyncio.wait_for(connection.command("ECHO", "other"), 1) == b"other"
            break

    with pytest.raises(StoreUnavailable, match="no answer within 3 s"):
        await lost
    await connection.close()
    server.close()


async def test_a_link_over_tls_checks_who_answers(redis_server: RedisServer, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=here -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*request.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_unix_connection(redis_server.socket)
        upstream.write(await reader.read(1000))
        writer.write(await upstream_reader.read(1000))
        upstream.close()
        writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        link = await dial(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}", timeout=2)
        assert await link.ask("PING") == b"PONG"
        link.close()
        with pytest.raises(OSError, match="certificate verify failed"):
            await dial(f"rediss://127.0.0.1:{port}", timeout=2)
