"""The same client for code without an event loop, or within a running one, such as a notebook's: each method hands
over to that of penstock.client.aio, in a thread of its own."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from penstock.client.aio import LONGEST_HOLD, AsyncClient
from penstock.client.answer import Answer
from penstock.client.events import Event
from penstock.client.job import LONGEST_WAIT, AsyncJob
from penstock.client.options import CallOptions
from penstock.client.portal import Portal
from penstock.client.record import Record


class Job:
    """An AsyncJob without an event loop."""

    def __init__(self, portal: Portal, job: AsyncJob) -> None:
        self._portal = portal
        self._job = job

    def __repr__(self) -> str:
        return repr(self._job)

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def function(self) -> str:
        return self._job.function

    def status(self) -> Record:
        """The record as it is now."""
        return self._portal.run(self._job.status())

    def result(self, timeout: float | None = None) -> Answer:
        """What the function answered, once it has; waits for `timeout` seconds at most, None: for as long as it
        takes. Raises Timeout, and JobFailed if it ended without success."""
        return self._portal.run(self._job.result(timeout))

    def events(self, last_event_id: str | None = None, *, follow: bool = True) -> Iterator[Event]:
        """All that happened to it after the event of that id and, unless `follow` is false, happens until it has
        ended."""
        return self._portal.iterate(self._job.events(last_event_id, follow=follow))

    def logs(self, *, follow: bool = True) -> Iterator[str]:
        """The lines that its instance wrote for it and, unless `follow` is false, writes until it has ended."""
        return self._portal.iterate(self._job.logs(follow=follow))

    def cancel(self) -> Record:
        """Ends it, whether it waits or runs. Raises Conflict if it has ended otherwise."""
        return self._portal.run(self._job.cancel())

    def retry(self) -> Job:
        """Runs it again as a new job, once it has ended."""
        return Job(self._portal, self._portal.run(self._job.retry()))


class Client:
    """A gateway's client, of any thread. `with` closes it, or `client.close()`, or the end of the process.

    Unless they say otherwise, methods raise ApiError for what the gateway refuses and Unreachable if none answers.
    Every call carries an Idempotency-Key, so that a connection that breaks never runs a function twice.
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout: float = 30.0, retries: int = 5
    ) -> None:
        """As AsyncClient: `url` None is that of the environment's PENSTOCK_URL, else http://127.0.0.1:8080."""
        self._client = AsyncClient(url, api_key=api_key, timeout=timeout, retries=retries)
        self._portal = Portal()
        # Also when nobody refers to it any more, and at the end of the process.
        self._finalize = weakref.finalize(self, _close, self._portal, self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._client.url

    def close(self) -> None:
        """Ends its thread and closes its connections; it cannot be used again."""
        self._finalize()

    # Calling

    def invoke(
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
        return self._portal.run(self._client.invoke(function, event, wait=wait, timeout=timeout, **options))

    def stream(
        self, function: str, event: Any = b"", *, wait: int = LONGEST_HOLD, **options: Unpack[CallOptions]
    ) -> Iterator[bytes]:
        """Calls a function and gives its answer piece by piece as it comes."""
        return self._portal.iterate(self._client.stream(function, event, wait=wait, **options))

    def stream_text(
        self, function: str, event: Any = b"", *, wait: int = LONGEST_HOLD, **options: Unpack[CallOptions]
    ) -> Iterator[str]:
        """The same as text; no character is cut."""
        return self._portal.iterate(self._client.stream_text(function, event, wait=wait, **options))

    def submit(self, function: str, event: Any = b"", **options: Unpack[CallOptions]) -> Job:
        """Submits an async job; returns when it is written down."""
        return Job(self._portal, self._portal.run(self._client.submit(function, event, **options)))

    def submit_batch(
        self, function: str, events: Iterable[Any] | bytes, **options: Unpack[CallOptions]
    ) -> dict[str, Any]:
        """Submits up to 10,000 async jobs at once, each with an event that JSON can express, or lines of JSON that
        are bytes already: the `batch`, and of each in `items` its id, or the error with which it was refused."""
        return self._portal.run(self._client.submit_batch(function, events, **options))

    def job(self, function: str, job_id: str) -> Job:
        """The handle of a job again; nobody is asked."""
        return Job(self._portal, self._client.job(function, job_id))

    @overload
    def map(
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
    def map(
        self,
        function: str,
        items: Iterable[Any],
        *,
        concurrency: int = ...,
        progress: bool | None = ...,
        return_exceptions: bool,
        **options: Unpack[CallOptions],
    ) -> list[Answer | Exception]: ...

    def map(
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
        return self._portal.run(
            self._client.map(
                function,
                items,
                concurrency=concurrency,
                progress=progress,
                return_exceptions=return_exceptions,
                **options,
            )
        )

    # Looking

    def functions(self) -> list[dict[str, Any]]:
        """The deployed functions: name, revision, spec, instances, decision."""
        return self._portal.run(self._client.functions())

    def instances(self, function: str) -> dict[str, Any]:
        """A function's `instances`, and the last `decision` about them."""
        return self._portal.run(self._client.instances(function))

    def triggers(self, function: str) -> list[dict[str, Any]]:
        """What calls a function beside clients, what each trigger has done and when it is next due."""
        return self._portal.run(self._client.triggers(function))

    def jobs(
        self, function: str, *, state: str | None = None, batch: str | None = None, limit: int | None = None
    ) -> Iterator[Record]:
        """A function's async jobs, newest first, or those of a batch; `limit`: that many at most, None: all."""
        return self._portal.iterate(self._client.jobs(function, state=state, batch=batch, limit=limit))

    def logs(self, function: str, instance: str, *, tail: int = 100, follow: bool = False) -> Iterator[str]:
        """The last `tail` lines of an instance; with `follow` then each as it is written."""
        return self._portal.iterate(self._client.logs(function, instance, tail=tail, follow=follow))

    # Anything else of the interface

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """JSON of a GET."""
        return self._portal.run(self._client.get(path, **query))

    def change(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """JSON of what a PUT, POST or DELETE answers; `body` is sent as JSON."""
        return self._portal.run(self._client.change(method, path, body))


def _close(portal: Portal, client: AsyncClient) -> None:
    portal.close(client.close())
