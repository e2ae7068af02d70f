"""Events and answers that are needed whole before anything of them is passed on."""

from __future__ import annotations

import json
from dataclasses import replace

from penstock.blobs import Blobs
from penstock.invocation import Response, Run
from workers.answer import Answer, Malformed
from workers.live import LiveRun
from workers.protocols.wire import BadEvent, Said
from workers.recording import INLINE


async def event(run: Run, blobs: Blobs) -> bytes:
    """Raises Malformed."""
    blob = run.invocation.request.blob
    try:
        return run.body if blob is None else await blobs.read(blob)
    except OSError as error:
        raise Malformed(f"the request's body is not in the blob folder any more: {error}") from error


async def answer(said: Said, live: LiveRun) -> Answer:
    """A long one goes into a blob, as if it had come bit by bit."""
    headers = (("Content-Type", said.content_type),)
    response = Response(status=said.status, headers=headers, size=len(said.body))
    if len(said.body) <= INLINE or said.error is not None:
        return Answer(response=response, body=said.body, error=said.error)
    recording = await live.answers(response, len(said.body))
    try:
        await recording.write(said.body)
        _, blob = await recording.finish()
    except BaseException:
        await recording.abandon()
        raise
    return Answer(response=replace(response, blob=blob), body=b"", error=None)


def refusal(error: BadEvent) -> Answer:
    """What our own runtime would answer, too."""
    body = json.dumps({"errorType": "InvalidEvent", "errorMessage": str(error)}).encode()
    headers = (("Content-Type", "application/json"),)
    return Answer(response=Response(status=400, headers=headers, size=len(body)), body=body, error=None)
