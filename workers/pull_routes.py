"""Where RunPod's worker images ask for jobs and post what comes of them: routes of the inner listener.

The SDK posts JSON under the content type of a form, and asks for several jobs at a time in a batch. What it says
about a job that nobody waits for any more is taken and dropped: it would only say it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from penstock.errors import StoreUnavailable
from workers.mailbox import Job, Mailbox
from workers.protocols import runpod
from workers.pull import Pull

_CLOSED_PAUSE = 0.2
"""Seconds that a worker which is about to be stopped is kept waiting, so that it does not ask in a circle."""


class _TooLong(Exception):
    """It is more than a worker may post."""


class PullRoutes:
    def __init__(self, pull: Pull, *, longest: int) -> None:
        """`longest`: bytes of what a worker posts, at most."""
        self._pull = pull
        self._longest = longest

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        box = "/pull/{instance}/{signature}"
        return (
            web.get(box + "/job-take/{worker}", self._take),
            web.get(box + "/job-take-batch/{worker}", self._take_batch),
            web.get(box + "/job-stop/{worker}", self._stop),
            web.post(box + "/job-done/{job}", self._done),
            web.post(box + "/job-stream/{job}", self._stream),
            web.get(box + "/ping", self._ping),
        )

    async def _take(self, request: web.Request) -> web.StreamResponse:
        return await self._hand_out(request, 1, batch=False)

    async def _take_batch(self, request: web.Request) -> web.StreamResponse:
        return await self._hand_out(request, int(request.query.get("batch_size", "1")), batch=True)

    async def _hand_out(self, request: web.Request, count: int, *, batch: bool) -> web.StreamResponse:
        box = self._box(request)
        jobs = await box.take(count, self._pull.hold)
        if not jobs:
            await asyncio.sleep(_CLOSED_PAUSE)
            return web.Response(status=204)
        response = web.json_response([job.body for job in jobs] if batch else jobs[0].body)
        try:
            await response.prepare(request)
            await response.write_eof()
        except BaseException:
            box.give_back(jobs)
            raise
        return response

    async def _stop(self, request: web.Request) -> web.Response:
        stops = await self._box(request).stops(self._pull.hold)
        return web.json_response({"jobsToStop": stops}) if stops else web.Response(status=204)

    async def _done(self, request: web.Request) -> web.Response:
        box, name = self._box(request), request.match_info["job"]
        job = box.find(name)
        try:
            said = runpod.done(await self._body(request))
        except (ValueError, RecursionError) as error:
            return web.json_response({"detail": f"this is no outcome of a job: {error}"}, status=400)
        except _TooLong:
            said = None
        if isinstance(said, runpod.Progress):
            return await _report(job, said)
        if job is not None and said is None:
            job.too_long()
        elif job is not None and said is not None:
            job.end(said)
        box.ended(name)
        return web.json_response({})

    async def _stream(self, request: web.Request) -> web.Response:
        job = self._box(request).find(request.match_info["job"])
        try:
            line = runpod.streamed(await self._body(request))
        except (ValueError, RecursionError) as error:
            return web.json_response({"detail": f"this is no output of a job: {error}"}, status=400)
        except _TooLong:
            line = None
        if job is not None and line is None:
            job.too_long()
        elif job is not None and line is not None:
            await job.stream(line)
        return web.json_response({})

    async def _ping(self, request: web.Request) -> web.Response:
        self._box(request).pinged(request.query.get("job_id", "").split(","))
        return web.json_response({})

    def _box(self, request: web.Request) -> Mailbox:
        named = request.match_info
        box = self._pull.mailbox(named["instance"], named["signature"])
        if box is None:
            raise web.HTTPNotFound(text="there is no such worker")
        return box

    async def _body(self, request: web.Request) -> bytes:
        """The listener's own limit is for reports of progress."""
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > self._longest:
                raise _TooLong
        return bytes(body)


async def _report(job: Job | None, progress: runpod.Progress) -> web.Response:
    try:
        if job is not None:
            await job.live.narrator.report([progress.report])
    except StoreUnavailable as error:
        return web.json_response({"detail": f"{error}; report it again"}, status=503)
    return web.json_response({})
