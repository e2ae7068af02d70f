"""What a gateway reads along: a small inner listener whose answers come when the test says so; and a client that
reads Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web

from penstock.invocation import Opening, Response, Run
from tests.unit.gateway.conftest import House

SOON = 5.0
_END, _BREAK = b"end", b"break"


class Answer:
    """One that comes piece by piece."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pieces: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.left = asyncio.Event()
        """Set when its reader is gone."""
        self.sent = 0
        self.status = 200

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.pieces.put_nowait((b"", piece))

    def end(self) -> None:
        self.pieces.put_nowait((_END, b""))

    def break_off(self) -> None:
        self.pieces.put_nowait((_BREAK, b""))

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.status != 200:
            return web.Response(status=self.status)
        response = web.StreamResponse()
        await response.prepare(request)
        self.reading.set()
        try:
            while True:
                order, piece = await self.pieces.get()
                if order == _BREAK:
                    assert request.transport is not None
                    request.transport.abort()
                if order:
                    return response
                await response.write(piece)
                self.sent += len(piece)
        finally:
            self.left.set()

    def opening(self, *, length: int | None = None, status: int = 200, **headers: str) -> Opening:
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return Opening(
            response=Response(status=status, headers=named or (("Content-Type", "text/plain"), ("X-Model", "m1"))),
            length=length,
            timeline={"queued": 1.5, "starting": 20.0},
            cold_start=True,
            address=self.address,
            path="/answer",
        )


@asynccontextmanager
async def speaking(folder: Path) -> AsyncIterator[Answer]:
    answer = Answer(f"unix:{folder}/inner.sock")
    runner = web.ServerRunner(web.Server(answer.serve, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, folder / "inner.sock").start()
    try:
        yield answer
    finally:
        await runner.cleanup()


async def open_answer(house: House, run: Run, opening: Opening) -> None:
    one = run.invocation
    assert await house.store.queue.open(one.function, one.id, one.token, opening)


@dataclass
class Told:
    """One Server-Sent Event."""

    id: str | None
    kind: str
    data: Any


class EventStream:
    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        assert response.status == 200, response.status
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-cache"

    async def next(self) -> Told | None:
        """The next event, comments apart; None at the end."""
        fields: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), SOON)).decode()
            if not line:
                assert not fields, "cut in the middle of an event"
                return None
            if line == "\n":
                if fields:
                    return Told(fields.get("id"), fields["event"], json.loads(fields["data"]))
            elif not line.startswith(":"):
                name, _, value = line.rstrip("\n").partition(": ")
                assert name not in fields
                fields[name] = value

    async def all(self) -> list[Told]:
        found = []
        while (one := await self.next()) is not None:
            found.append(one)
        return found

    async def until(self, kind: str) -> list[Told]:
        """Up to the first of this kind, that one included."""
        found: list[Told] = []
        while not found or found[-1].kind != kind:
            one = await self.next()
            assert one is not None, f"it ended without {kind}: {found}"
            found.append(one)
        return found
