"""Small real servers for a channel to talk to: one that speaks bytes, one that speaks HTTP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from workers.engines import Endpoint

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Conversations:
    """What happened at a server."""

    endpoint: Endpoint
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    """Head and body of each, as they came."""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the other side has closed a connection."""


@asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[Conversations]:
    """A TCP server; the connection is closed when `talk` returns."""
    seen = Conversations(Endpoint("127.0.0.1", 0))
    talking: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        task = asyncio.current_task()
        assert task is not None
        talking[task] = writer
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.hung_up.set()
        finally:
            writer.close()
            del talking[task]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield seen
    finally:
        server.close()
        for writer in talking.values():
            writer.transport.abort()
        if talking:
            await asyncio.wait(list(talking))


@asynccontextmanager
async def answering(*parts: bytes, hold: bool = False) -> AsyncIterator[Conversations]:
    """Reads each request to its end, answers with these parts one after the other, and closes the connection;
    with `hold` it stays open until the other side closes it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.requests.append(await read_request(reader))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)  # so that each part is a segment of its own
        if hold and not await reader.read():
            seen.hung_up.set()

    async with speaking(talk) as seen:
        yield seen


@asynccontextmanager
async def serving(handler: Handler, *, port: int = 0) -> AsyncIterator[Endpoint]:
    """An HTTP server."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield Endpoint("127.0.0.1", runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Head and body of a request with a Content-Length, or with none."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head + await reader.readexactly(int(length[0]) if length else 0)


def closed_port() -> Endpoint:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return Endpoint("127.0.0.1", probe.getsockname()[1])


def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks a connection off as a process that was killed does: with a RST."""
    plug: socket.socket = writer.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
