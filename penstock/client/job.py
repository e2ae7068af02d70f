"""One invocation that goes on without us: its state, its events, its end."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from penstock.client.answer import Answer
from penstock.client.errors import ApiError, Conflict, JobFailed, Timeout, Unreachable, failure
from penstock.client.events import ENDS, Event, Log, typed
from penstock.client.options import new_key
from penstock.client.record import Record
from penstock.client.sse import Parser
from penstock.client.transport import Reply, Stream, Transport, path

LONGEST_WAIT = 45
"""Whole seconds that one request waits; proxies commonly cut a silent connection after a minute."""
_SILENCE = 45.0
"""Seconds without a sign of life, of which an event stream gives one every 15 s, after which it is opened anew."""
_REOPEN = 0.5
"""Seconds at most before an event stream that broke is opened anew."""


class AsyncJob:
    """A handle: making one asks nobody. Methods raise ApiError and Unreachable."""

    def __init__(self, transport: Transport, function: str, job_id: str, record: Record | None = None) -> None:
        self._transport = transport
        self._path = path(function, "invocations", job_id)
        self.function = function
        self.id = job_id
        self.submitted = record
        """As it was when it was submitted; None for a handle made from an id."""

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.function}>"

    async def status(self) -> Record:
        """The record as it is now."""
        return await self._record(0)

    async def result(self, timeout: float | None = None) -> Answer:
        """What the function answered, once it has; waits for `timeout` seconds at most, None: for as long as it
        takes. Raises Timeout, and JobFailed if it ended without success."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    record = await self._record(_seconds(timeout))
                    if record["finished_at"] is not None:
                        return await self._answer(record)
        except TimeoutError:
            message = f"job {self.id} has not ended within {timeout:g} s; it goes on"
            raise Timeout(message, job_id=self.id) from None

    async def events(
        self, last_event_id: str | None = None, *, follow: bool = True
    ) -> AsyncGenerator[Event, None]:
        """All that happened to it after the event of that id and, unless `follow` is false, happens until it has
        ended. A connection that breaks is opened anew, and goes on where it was."""
        after = last_event_id
        query = None if follow else {"follow": "false"}
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
            async with self._transport.stream(
                "GET", f"{self._path}/events", query=query, headers=headers, silence=_SILENCE
            ) as stream:
                try:
                    async with aclosing(_events(stream)) as events:
                        async for event in events:
                            after = event.id or after
                            yield event
                    if not follow:
                        return
                except Unreachable:
                    pass  # what was told is told; the rest follows on another connection
            if after is not None and after.rpartition("-")[2] in ENDS:
                return
            await asyncio.sleep(random.uniform(0.0, _REOPEN))

    async def logs(self, *, follow: bool = True) -> AsyncGenerator[str, None]:
        """The lines that its instance wrote for it and, unless `follow` is false, writes until it has ended."""
        async with aclosing(self.events(follow=follow)) as events:
            async for event in events:
                if isinstance(event, Log):
                    yield event.line

    async def cancel(self) -> Record:
        """Ends it, whether it waits or runs; cancelling it again changes nothing. Raises Conflict if it has ended
        otherwise."""
        try:
            return cast(Record, (await self._transport.fetch("DELETE", self._path)).json())
        except Conflict:
            record = await self.status()
            if record["state"] != "cancelled":
                raise
            return record

    async def retry(self) -> AsyncJob:
        """Runs it again as a new job, once it has ended."""
        headers = {"Idempotency-Key": new_key()}
        reply = await self._transport.fetch("POST", f"{self._path}/retry", headers=headers)
        record = cast(Record, reply.json())
        return AsyncJob(self._transport, self.function, record["id"], record)

    async def failed(self, reply: Reply) -> JobFailed:
        """How it failed, from its answer; the record knows more, such as the last lines of the log."""
        try:
            record: Record | None = await self.status()
        except (ApiError, Unreachable):
            record = None
        return self._failure(record, reply)

    async def _record(self, wait: int) -> Record:
        query = {"wait": wait} if wait else None
        return cast(Record, (await self._transport.fetch("GET", self._path, query=query, wait=wait)).json())

    async def _answer(self, record: Record) -> Answer:
        reply = await self._transport.fetch("GET", f"{self._path}/result")
        if record["state"] == "succeeded":
            return Answer(status=reply.status, headers=reply.headers, content=reply.content)
        raise self._failure(record, reply)

    def _failure(self, record: Record | None, reply: Reply) -> JobFailed:
        problem = _problem(reply)
        answer = None if problem else Answer(status=reply.status, headers=reply.headers, content=reply.content)
        if record is not None and (error := record["error"]) is not None:
            problem |= {"detail": error["message"], **error}
        elif answer is not None:
            problem = {"code": "function_error", "detail": f"the function answered {reply.status}"}
        return failure(reply.status, problem, job_id=self.id, answer=answer)


def _problem(reply: Reply) -> dict[str, Any]:
    """What the gateway says of an invocation without an answer; empty for an answer of the function."""
    if not reply.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    try:
        problem = reply.json()
    except ApiError:
        return {}
    ours = problem.get("invocation") == reply.headers.get("Penstock-Invocation-Id")
    return problem if ours else {}


def _seconds(timeout: float | None) -> int:
    return LONGEST_WAIT if timeout is None else min(LONGEST_WAIT, max(math.ceil(timeout), 1))


async def _events(stream: Stream) -> AsyncGenerator[Event, None]:
    parser = Parser()
    async with aclosing(stream.pieces()) as pieces:
        async for piece in pieces:
            for message in parser.feed(piece):
                yield typed(message)
