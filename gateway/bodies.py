"""Bodies in and out: small ones in memory, large ones through the blob store, none longer than the limit."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from penstock import lambda_answer
from penstock.blobs import INLINE_LIMIT, Blobs
from penstock.errors import InvalidRequest, PayloadTooLarge
from penstock.invocation import Response

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_CHUNK = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Body:
    data: bytes
    """Empty when it is in the blob."""
    size: int
    blob: str | None
    digest: Hash
    """SHA-256."""


async def receive(request: web.Request, blobs: Blobs, name: str, *, limit: int) -> Body:
    """Reads a request's body to its end; on disk under `name` when it is large. Raises PayloadTooLarge."""
    if request.content_length is not None and request.content_length > limit:
        raise PayloadTooLarge(limit)
    head = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        head += chunk
        if len(head) > limit:
            raise PayloadTooLarge(limit)
        if len(head) > INLINE_LIMIT:
            return await _spool(request, bytes(head), blobs, name, limit)
    return Body(data=bytes(head), size=len(head), blob=None, digest=hashlib.sha256(head))


async def _spool(request: web.Request, head: bytes, blobs: Blobs, name: str, limit: int) -> Body:
    size, digest = len(head), hashlib.sha256(head)
    async with blobs.writer(name) as writer:
        await writer.write(head)
        async for chunk in request.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise PayloadTooLarge(limit)
            digest.update(chunk)
            await writer.write(chunk)
        await writer.commit()
    return Body(data=b"", size=size, blob=name, digest=digest)


async def keep(data: bytes, blobs: Blobs, name: str) -> Body:
    """A body that is in memory; on disk under `name` when it is large."""
    digest = hashlib.sha256(data)
    if len(data) <= INLINE_LIMIT:
        return Body(data=data, size=len(data), blob=None, digest=digest)
    async with blobs.writer(name) as writer:
        await writer.write(data)
        await writer.commit()
    return Body(data=b"", size=len(data), blob=name, digest=digest)


async def receive_object(request: web.Request, *, limit: int) -> dict[str, Any]:
    """The JSON object that a request's body is. Raises PayloadTooLarge, InvalidRequest."""
    if request.content_length is not None and request.content_length > limit:
        raise PayloadTooLarge(limit)
    whole = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        whole += chunk
        if len(whole) > limit:
            raise PayloadTooLarge(limit)
    try:
        # Parsing a long one takes a while, in which others are served.
        given = json.loads(whole) if len(whole) <= INLINE_LIMIT else await asyncio.to_thread(json.loads, whole)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body must be JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidRequest("the body must be a JSON object")
    return given


async def send(
    request: web.Request, response: Response, body: bytes, blobs: Blobs, extra: dict[str, str]
) -> web.StreamResponse:
    """The function's own answer, with `extra` headers of ours."""
    if response.lambda_style:
        whole = body if response.blob is None else await blobs.read(response.blob)
        response, body = lambda_answer.unwrap(response, whole)
    headers = CIMultiDict([*response.headers, *extra.items()])
    if response.blob is None:
        return web.Response(status=response.status, headers=headers, body=body)
    stream = web.StreamResponse(status=response.status, headers=headers)
    stream.content_length = response.size
    await stream.prepare(request)
    async for chunk in blobs.chunks(response.blob):
        await stream.write(chunk)
    return stream
