"""The client for asyncio. Every other face of the client stands on it."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, Unpack, cast, overload

from penstock.client.answer import Answer, charset, encode, encode_json
from penstock.client.errors import Timeout
from penstock.client.job import LONGEST_WAIT, AsyncJob
from penstock.client.many import each
from penstock.client.options import CallOptions, headers, new_key
from penstock.client.record import Record
from penstock.client.transport import Reply, Transport, path

DEFAULT_URL = "http://127.0.0.1:8080"
LONGEST_HOLD = 300
"""Seconds that a gateway holds a connection at most."""


class AsyncClient:
    """A gateway's client. It connects when it is first used; `async with` closes it, or `await client.close()`.

    Unless they say otherwise, methods raise ApiError for what the gateway refuses and Unreachable if none answers.
    Every call carries an Idempotency-Key, so that a connection that breaks never runs a function twice.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout: float = 30.0, retries: int = 5
    ) -> None:
        """`url`: of the gateway; None: that of the environment's PENSTOCK_URL, else http://127.0.0.1:8080.
        `api_key`: sent as a bearer token; None: that of the environment's PENSTOCK_KEY, if any. `timeout`:
        seconds of silence after which a connection counts as lost, beside what the gateway was asked to wait.
        `retries`: how often a request is sent again at most, when the connection breaks or the gateway asks to
        come back. The environment's PENSTOCK_CA names a file of the authorities that the gateway's certificate
        may come from, PENSTOCK_CERT one of our own and its key. Raises ConfigurationError for an address or a
        file that is none.
        """
        address = url or os.environ.get("PENSTOCK_URL") or DEFAULT_URL
        self._transport = Transport(
            address,
            api_key or os.environ.get("PENSTOCK_KEY") or None,
            timeout=timeout,
            retries=retries,
            ca=os.environ.get("PENSTOCK_CA") or None,
            cert=os.environ.get("PENSTOCK_CERT") or None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def url(self) -> str:
        return self._transport.url

    async def close(self) -> None:
        """Closes its connections; it may be used again."""
        await self._transport.close()

    # Calling

    async def invoke(
        self,
        function: str,
        event: Any = b"",
        *,
        wait: int = LONGEST_WAIT,
        timeout: float | None = None,
        **options: Unpack[CallOptions],
    ) -> Answer:
        """Calls a function and waits for its answer, on one connection for `wait` seconds, then by asking.

        `event`: bytes as they are, a str as text, anything else as JSON. `timeout`: seconds to wait for it;
        None: for as long as it takes. Raises Timeout, and JobFailed if it ended without success.
        """
        job_id: str | None = None
        try:
            async with asyncio.timeout(timeout):
                # In time for the gateway to say which job goes on.
                held = wait if timeout is None else min(wait, max(int(timeout) - 1, 0))
                reply = await self._post(function, event, f"wait={held}", options, wait=held)
                job = self._job_of(function, reply)
                job_id = job.id
                if not reply.answered:
                    return await job.result()
                if reply.status >= 400:
                    raise await job.failed(reply)
                return Answer(status=reply.status, headers=reply.headers, content=reply.content)
        except TimeoutError:
            message = f"{function} has not answered within {timeout:g} s; the call goes on"
            raise Timeout(message, job_id=job_id) from None

    async def stream(
        self, function: str, event: Any = b"", *, wait: int = LONGEST_HOLD, **options: Unpack[CallOptions]
    ) -> AsyncGenerator[bytes, None]:
        """Calls a function and gives its answer piece by piece as it comes. One that has not begun after `wait`
        seconds is given when it is whole.

        Raises JobFailed if it ended without success, Unreachable if it breaks off; it is not begun anew then.
        """
        async for _, piece in self._stream(function, event, wait, options):
            yield piece

    async def stream_text(
        self, function: str, event: Any = b"", *, wait: int = LONGEST_HOLD, **options: Unpack[CallOptions]
    ) -> AsyncGenerator[str, None]:
        """The same as text; no character is cut."""
        decoder: codecs.IncrementalDecoder | None = None
        async for kind, piece in self._stream(function, event, wait, options):
            decoder = decoder or codecs.getincrementaldecoder(charset(kind))("replace")
            if text := decoder.decode(piece):
                yield text
        if decoder is not None and (text := decoder.decode(b"", final=True)):
            yield text

    async def submit(self, function: str, event: Any = b"", **options: Unpack[CallOptions]) -> AsyncJob:
        """Submits an async job; returns when it is written down."""
        return self._job_of(function, await self._post(function, event, "respond-async", options))

    async def submit_batch(
        self, function: str, events: Iterable[Any] | bytes, **options: Unpack[CallOptions]
    ) -> dict[str, Any]:
        """Submits up to 10,000 async jobs at once, each with an event that JSON can express, or lines of JSON that
        are bytes already: the `batch`, and of each in `items` its id, or the error with which it was refused."""
        lines = events if isinstance(events, bytes) else b"".join(encode_json(one) + b"\n" for one in events)
        kind = {"Content-Type": "application/x-ndjson"}
        where = f"{path(function, 'invocations')}:batch"
        reply = await self._transport.fetch("POST", where, body=lines, headers=kind | headers(options))
        return reply.json()

    def job(self, function: str, job_id: str) -> AsyncJob:
        """The handle of a job again; nobody is asked."""
        return AsyncJob(self._transport, function, job_id)

    @overload
    async def map(
        self,
        function: str,
        items: Iterable[Any],
        *,
        concurrency: int = ...,
        progress: bool | None = ...,
        return_exceptions: Literal[False] = ...,
        **options: Unpack[CallOptions],
    ) -> list[Answer]: ...

    @overload
    async def map(
        self,
        function: str,
        items: Iterable[Any],
        *,
        concurrency: int = ...,
        progress: bool | None = ...,
        return_exceptions: bool,
        **options: Unpack[CallOptions],
    ) -> list[Answer | Exception]: ...

    async def map(
        self,
        function: str,
        items: Iterable[Any],
        *,
        concurrency: int = 64,
        progress: bool | None = None,
        return_exceptions: bool = False,
        **options: Unpack[CallOptions],
    ) -> list[Answer] | list[Answer | Exception]:
        """Calls a function for each item, `concurrency` at a time; the answers in the order of the items.

        `progress`: show a bar; None: if standard error is a terminal. `return_exceptions`: a call that failed
        leaves its error in the place of its answer; else the first error ends it, and what has begun goes on.
        """

        async def call(item: Any) -> Answer:
            return await self.invoke(function, item, **options)

        return await each(
            call,
            items,
            concurrency=concurrency,
            progress=progress,
            title=function,
            return_exceptions=return_exceptions,
        )

    # Looking

    async def functions(self) -> list[dict[str, Any]]:
        """The deployed functions: name, revision, spec, instances, decision."""
        found: list[dict[str, Any]] = (await self.get("/v1/functions"))["functions"]
        return found

    async def instances(self, function: str) -> dict[str, Any]:
        """A function's `instances`, and the last `decision` about them."""
        return await self.get(f"{path(function)}/instances")

    async def triggers(self, function: str) -> list[dict[str, Any]]:
        """What calls a function beside clients, what each trigger has done and when it is next due."""
        found: list[dict[str, Any]] = (await self.get(f"{path(function)}/triggers"))["triggers"]
        return found

    async def jobs(
        self, function: str, *, state: str | None = None, batch: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[Record, None]:
        """A function's async jobs, newest first, or those of a batch; `limit`: that many at most, None: all."""
        listed = path(function, "batches", batch, "invocations") if batch else path(function, "invocations")
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            query: dict[str, str | int] = {"limit": min(left or 100, 100)}
            query |= {"state": state} if state else {}
            query |= {"cursor": cursor} if cursor else {}
            page = await self.get(listed, **query)
            for record in page["invocations"]:
                yield cast(Record, record)
            left = None if left is None else left - len(page["invocations"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def logs(
        self, function: str, instance: str, *, tail: int = 100, follow: bool = False
    ) -> AsyncGenerator[str, None]:
        """The last `tail` lines of an instance; with `follow` then each as it is written."""
        query: dict[str, str | int] = {"tail": tail} | ({"follow": "true"} if follow else {})
        lines = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        async with self._transport.stream(
            "GET", path(function, "instances", instance, "logs"), query=query
        ) as log:
            async for piece in log.pieces():
                *whole, rest = (rest + lines.decode(piece)).split("\n")
                for line in whole:
                    yield line

    # Anything else of the interface

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """JSON of a GET."""
        return (await self._transport.fetch("GET", path, query=query)).json()

    async def change(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """JSON of what a PUT, POST or DELETE answers; `body` is sent as JSON."""
        sent = None if body is None else json.dumps(body).encode()
        return (await self.send(method, path, body=sent)).json()

    async def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Status, headers and body. A POST gets an Idempotency-Key unless it has one."""
        key = {"Idempotency-Key": new_key()} if method == "POST" else {}
        return await self._transport.fetch(method, path, body=body, headers={**key, **(headers or {})})

    # How

    async def _post(
        self, function: str, event: Any, prefer: str, options: CallOptions, *, wait: float = 0.0
    ) -> Reply:
        return await self._transport.fetch(
            "POST", path(function, "invocations"), wait=wait, **_request(event, prefer, options)
        )

    async def _stream(
        self, function: str, event: Any, wait: int, options: CallOptions
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Content type and piece."""
        where = path(function, "invocations")
        # Silence says nothing here: a function may think for as long as it likes between two pieces.
        async with self._transport.stream("POST", where, **_request(event, f"wait={wait}", options)) as stream:
            job = self.job(function, stream.headers.get("Penstock-Invocation-Id", ""))
            if stream.answered and stream.status < 400:
                async with aclosing(stream.pieces()) as pieces:
                    async for piece in pieces:
                        yield stream.headers.get("Content-Type", ""), piece
                return
            if stream.answered:
                raise await job.failed(await stream.whole())
        answer = await job.result()
        yield answer.content_type, answer.content

    def _job_of(self, function: str, reply: Reply) -> AsyncJob:
        job_id = reply.headers.get("Penstock-Invocation-Id")
        if job_id is None:
            job_id = str(reply.json().get("id", ""))  # raises for what is no gateway
        record = None if reply.answered else cast(Record, reply.json())
        return AsyncJob(self._transport, function, job_id, record)


def _request(event: Any, prefer: str, options: CallOptions) -> dict[str, Any]:
    body, kind = encode(event, options.get("content_type"))
    return {"body": body, "headers": {"Content-Type": kind, "Prefer": prefer, **headers(options)}}
