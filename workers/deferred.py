"""arq: what is durable and deferred but not hot. It carries; what it carries is true elsewhere, in Redis.

Its worker polls and exits when Redis goes away, so it is not on the path of an invocation and runs under
supervision.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func

from penstock.errors import StoreUnavailable
from penstock.store import REDIS_ERRORS

log = logging.getLogger(__name__)

_REPEATS = 1_000
_POLL = 0.25
"""Seconds; the first try of a callback is due within 1 s of the end."""


def _serialize(value: dict[str, Any]) -> bytes:
    return json.dumps(value, default=str).encode()


def _deserialize(value: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(value)
    return loaded


class Deferred:
    """One named function that arq runs, and the way to have it run."""

    def __init__(
        self,
        url: str,
        queue: str,
        name: str,
        work: Callable[..., Awaitable[None]],
        *,
        timeout: float,
        at_once: int,
    ) -> None:
        """`queue`: its key, another one for each function. `timeout`: seconds of one run. Short: after a crash arq
        keeps a job locked for as long. `at_once`: runs at a time."""
        self._settings = RedisSettings.from_dsn(url)
        self._settings.conn_retries = 0
        self._queue = queue
        self._name = name
        self._work = work
        self._timeout = timeout
        self._at_once = at_once
        self._pool: ArqRedis | None = None

    async def run(self) -> None:
        """Loop: an arq worker; ends with StoreUnavailable when Redis goes away."""

        async def carry(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
            await self._work(*args)

        worker = Worker(
            # A run that a crash cut short is repeated: how often it is tried is not arq's to say.
            functions=[func(carry, name=self._name, timeout=self._timeout, max_tries=_REPEATS, keep_result=0)],
            keep_result=0,
            queue_name=self._queue,
            redis_settings=self._settings,
            handle_signals=False,
            max_jobs=self._at_once,
            poll_delay=_POLL,
            job_serializer=_serialize,
            job_deserializer=_deserialize,
            log_results=False,
        )
        try:
            await worker.async_run()
        except REDIS_ERRORS as error:
            raise StoreUnavailable(f"arq: {error}") from error
        finally:
            # Saying goodbye to a Redis that is gone fails too, and would hide why it ended.
            with contextlib.suppress(*REDIS_ERRORS):
                await worker.close()

    async def put(self, key: str, *args: Any, at_ms: int | None = None) -> None:
        """Has it run soon, or at a time (milliseconds since 1970); the same key is not put twice while it waits.
        Raises StoreUnavailable."""
        at = None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, tz=UTC)
        try:
            if self._pool is None:
                self._pool = await create_pool(
                    self._settings,
                    job_serializer=_serialize,
                    job_deserializer=_deserialize,
                    default_queue_name=self._queue,
                )
            await self._pool.enqueue_job(self._name, *args, _job_id=key, _defer_until=at)
        except REDIS_ERRORS as error:
            raise StoreUnavailable(f"arq: {error}") from error

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
