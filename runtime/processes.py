"""`workers: process`: each slot is a process of its own, which can be killed and replaced.

For handlers that hold the interpreter's lock, that cannot be stopped, or that may take the process down with them:
the others do not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from runtime import frames
from runtime.context import Context
from runtime.errors import Raised
from runtime.exchange import BrokenOff, Exchange, Message, Send
from runtime.forks import Forked, Forks
from runtime.slots import Slots

_INITIALIZE: Mapping[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/initialize",
    "raw_path": b"/initialize",
    "query_string": b"",
    "root_path": "",
    "headers": [],
    "client": None,
    "server": None,
}


class ProcessEnded(Exception):
    """The handler's process ended in the middle of a call."""


class _NotStarted(Exception):
    """The function failed to start; `answer` says why."""

    def __init__(self, answer: Sequence[Message]) -> None:
        super().__init__()
        self.answer = answer


class ProcessFunction:
    def __init__(self, count: int, forks: Forks) -> None:
        self._all = [_Place(forks) for _ in range(count)]
        self._places = Slots(self._all)

    async def initialize(self, exchange: Exchange, context: Context) -> None:
        for place in self._all:
            place.scope = exchange.scope
        ends = await asyncio.gather(*(place.child() for place in self._all), return_exceptions=True)
        wrong = next((end for end in ends if isinstance(end, BaseException)), None)
        if isinstance(wrong, _NotStarted):
            await _replay(wrong.answer, exchange)
        elif wrong is not None:
            raise wrong
        else:
            await _replay(self._all[0].answer, exchange)

    async def pre_stop(self, exchange: Exchange, context: Context) -> None:
        answers = await asyncio.gather(*(place.pre_stop(exchange) for place in self._all))
        told = [answer for answer in answers if answer]
        worst = max(told, key=lambda answer: int(answer[0]["status"]), default=None)
        if worst is None:
            await exchange.answer(200, "text/plain", b"")
        else:
            await _replay(worst, exchange)

    async def call(self, exchange: Exchange, body: bytes, context: Context) -> None:
        async with self._places.one() as place:
            try:
                child = await place.child()
            except _NotStarted as failed:
                await _replay(failed.answer, exchange)
                return
            try:
                await child.call(exchange.scope, body, exchange.forward)
            except (asyncio.CancelledError, ProcessEnded) as error:
                place.replace()
                if isinstance(error, ProcessEnded):
                    raise Raised(error) from error
                raise

    async def close(self) -> None:
        await asyncio.gather(*(place.close() for place in self._all))


class _Place:
    """One slot, and the process that is there at the moment."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks
        self.scope: Mapping[str, Any] = _INITIALIZE
        """Of the request that initializes a process."""
        self.answer: Sequence[Message] = ()
        """To that request."""
        self._child: asyncio.Task[_Child] | None = None

    async def child(self) -> _Child:
        """The process, once it is initialized. Raises _NotStarted, Raised."""
        if self._child is None or (self._child.done() and self._child.exception() is not None):
            self._child = asyncio.create_task(self._start())
        return await asyncio.shield(self._child)

    def replace(self) -> None:
        """Kills the process. The next one starts before a call asks for it."""
        child = self._running()
        if child is not None:
            child.kill()
        self._child = asyncio.create_task(self._start())
        # Whether it starts is told to the call that needs it; looked at here, since there may be none.
        self._child.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def pre_stop(self, exchange: Exchange) -> Sequence[Message]:
        """Its answer; none if no process runs."""
        child = self._running()
        answer: list[Message] = []
        if child is not None:
            await child.call(exchange.scope, b"", _into(answer))
        return answer

    async def close(self) -> None:
        child = self._running()
        if child is not None:
            await child.close()

    def _running(self) -> _Child | None:
        task = self._child
        return None if task is None or not task.done() or task.exception() is not None else task.result()

    async def _start(self) -> _Child:
        child = await _Child.fork(self._forks)
        answer: list[Message] = []
        try:
            await child.call(self.scope, b"", _into(answer))
        except ProcessEnded as error:
            raise Raised(error) from error
        if answer[0]["status"] >= 300:
            child.kill()
            raise _NotStarted(answer)
        self.answer = answer
        return child


class _Child:
    def __init__(self, process: Forked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def fork(cls, forks: Forks) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await forks.fork(theirs)
        return cls(process, *await asyncio.open_connection(sock=ours))

    async def call(self, scope: Mapping[str, Any], body: bytes, send: Send) -> None:
        """One request, and every message of its answer. Raises ProcessEnded, BrokenOff."""
        plain = {name: scope[name] for name in _INITIALIZE}
        with contextlib.suppress(ConnectionError):  # why it ended is told below
            await frames.write(self._writer, (plain, body))
        while message := await frames.read(self._reader):
            if message["type"] != frames.DONE:
                await send(message)
            elif message["broken_off"] is not None:
                raise BrokenOff(message["broken_off"])
            else:
                return
        raise ProcessEnded(_end(await self._process.wait()))

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        self._writer.close()

    async def close(self) -> None:
        self._writer.write_eof()
        await self._process.wait()


def _into(answer: list[Message]) -> Send:
    async def send(message: Message) -> None:
        answer.append(message)

    return send


async def _replay(answer: Sequence[Message], exchange: Exchange) -> None:
    for message in answer:
        await exchange.forward(message)


def _end(code: int) -> str:
    if code >= 0:
        return f"the handler's process ended with exit code {code} in the middle of the call"
    name = signal.Signals(-code).name
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"the handler's process was killed by {name}{hint}, in the middle of the call"
