"""An ASGI application as a function: FastAPI, Starlette, Quart, Litestar."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.context import Context
from runtime.errors import Raised
from runtime.exchange import Exchange, Message
from runtime.slots import Threads, awaited


class AsgiFunction:
    def __init__(self, app: Any, slots: Threads) -> None:
        self._app = app
        self._slots = slots
        self._lifespan = _Lifespan(app)

    async def start(self) -> None:
        """Raises Raised if the application's startup failed."""
        await self._lifespan.start()

    async def stop(self) -> None:
        await self._lifespan.stop()

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        scope = {**exchange.scope, "state": dict(self._lifespan.state), "penstock.context": context}
        unread = [body]
        over = asyncio.Event()

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            await exchange.forward(message)
            if exchange.ended:
                over.set()

        async with self._slots.one():
            await awaited(self._app(scope, receive, send))
        if not exchange.ended:
            raise RuntimeError("the application returned without a whole answer")


class _Lifespan:
    """The lifespan protocol: one call of the application that lives as long as this process."""

    def __init__(self, app: Any) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        # Guarded, since a SystemExit out of a task would end the server.
        lived = awaited(self._app(scope, self._inbox.get, self._outbox.put))
        self._task = asyncio.create_task(lived, name="lifespan")
        answer = await self._ask("startup")
        if answer is None:
            # It ended without an answer: an application that does not speak the protocol raises here.
            self._task.exception()
            self._task = None
        elif answer["type"] == "lifespan.startup.failed":
            await asyncio.wait([self._task])
            said = StartupFailed(answer.get("message") or "the application's startup failed")
            raise self._task.exception() or Raised(said)

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._ask("shutdown")
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _ask(self, what: str) -> Message | None:
        assert self._task is not None, "started"
        await self._inbox.put({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._outbox.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and self._outbox.empty():
            answer.cancel()
            return None
        return await answer


class StartupFailed(Exception):
    """The application said `lifespan.startup.failed`."""
