"""Calls that instances ask for: RunPod's worker images. Each instance has a mailbox at the inner listener.

A ping keeps nothing alive: a run is leased, timed and cancelled like any other. It only tells which jobs a worker
has let go of.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from penstock.blobs import Blobs
from penstock.function import Function
from penstock.invocation import Invocation, Response, Run
from workers import whole
from workers.answer import Answer
from workers.engines import Engine, Order
from workers.instances import Instance
from workers.live import LiveRun, sign
from workers.mailbox import Job, Mailbox
from workers.protocols import runpod
from workers.protocols.runpod import Done
from workers.protocols.wire import BadEvent, Said
from workers.readiness import NotReady

_GRACE = 2.0
"""Seconds that a worker has to let go of a job."""
_WATCH_PERIOD = 3.0
_SILENT = 60.0
"""Seconds without a question after which a worker that runs nothing is lost; its SDK asks each second."""


class Pull:
    stays = True
    adoptable = False  # it asks its last leader, under addresses that were made for it

    def __init__(
        self,
        engine: Engine,
        blobs: Blobs,
        reached: Callable[[Function], str],
        key: bytes,
        *,
        max_answer: int,
        hold: float = 60.0,
    ) -> None:
        """`reached`: where instances of a function reach the inner listener. `key` signs the right to a mailbox.
        `max_answer`: bytes. `hold`: seconds that a worker is kept waiting for a job; its SDK gives up after 90."""
        self._engine = engine
        self._blobs = blobs
        self._reached = reached
        self._key = key
        self._max_answer = max_answer
        self.hold = hold
        self._boxes: dict[str, Mailbox] = {}

    def mailbox(self, instance: str, signature: str) -> Mailbox | None:
        """None if there is none, or if the signature is not that of this instance."""
        if not hmac.compare_digest(self._sign(instance).encode(), signature.encode()):
            return None
        return self._boxes.get(instance)

    async def start(self, instance: Instance, order: Order) -> None:
        self._boxes[instance.id] = Mailbox()
        signature = self._sign(instance.id)
        url = f"{self._reached(instance.function)}/pull/{instance.id}/{signature}"
        told = runpod.environment(url, instance.id, signature)
        instance.endpoint = await self._engine.start(replace(order, env=told))

    async def ready(self, instance: Instance, listening: Callable[[], None]) -> None:
        seconds = instance.function.spec.lifecycle.start_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._boxes[instance.id].asked.wait()
        except TimeoutError:
            message = f"it did not ask for a job within {seconds:g} s: does it call runpod.serverless.start?"
            raise NotReady(message) from None
        listening()

    async def watch(self, instance: Instance) -> None:
        box = self._boxes[instance.id]
        while not box.silent(_SILENT):  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(_WATCH_PERIOD)
        raise NotReady(f"it runs nothing and has not asked for a job for {_SILENT:g} s")

    async def call(self, instance: Instance, run: Run, live: LiveRun) -> Answer:
        event = await whole.event(run, self._blobs)
        try:
            body = runpod.job(runpod.job_id(run.invocation), event)
        except BadEvent as error:
            return whole.refusal(error)
        job, box = Job(body, live, longest=self._max_answer), self._boxes[instance.id]
        box.put(job)
        try:
            done = await self._done(instance, job)
            instance.spent = instance.spent or done.last
            return replace(await _answer(job, done), first_byte=job.first_byte)
        finally:
            box.drop(job)

    async def lets_go(self, instance: Instance, invocation: Invocation) -> bool:
        box = self._boxes.get(instance.id)
        return box is None or await box.until_gone(runpod.job_id(invocation), _GRACE)

    def leave(self, instance: Instance) -> None:
        box = self._boxes.pop(instance.id, None)
        if box is not None:
            box.close()

    async def _done(self, instance: Instance, job: Job) -> Done:
        waiting: asyncio.Future[Any] = job.done
        ended: asyncio.Future[Any] = asyncio.create_task(self._engine.exited(instance.id))
        try:
            await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
            if not job.done.done():
                job.lost()
            return job.done.result()
        except BaseException:
            await job.abandon()
            raise
        finally:
            ended.cancel()

    def _sign(self, instance: str) -> str:
        return sign(self._key, f"mailbox of {instance}")


async def _answer(job: Job, done: Done) -> Answer:
    if done.error is not None:
        await job.abandon()
        return Answer(response=Response(status=500), body=b"", error=done.error)
    if job.recording is not None:
        response, body = await job.streamed()
        return Answer(response=response, body=body, error=None)
    return await whole.answer(Said(status=200, body=done.output, content_type="application/json"), job.live)
