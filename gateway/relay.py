"""An answer that still comes, on its way to a held client: each piece at once, at the client's own pace."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDict

from gateway.inner import BrokenOff, InnerClient, NotThere
from gateway.waiters import News
from penstock.invocation import Ending, Opening

log = logging.getLogger(__name__)


async def relay(
    request: web.Request, inner: InnerClient, opening: Opening, extra: Mapping[str, str], ending: News
) -> web.StreamResponse | None:
    """The function's own answer with `extra` headers of ours; None if it cannot be read along. One that breaks off
    breaks off for the client, too, who would else take a part for the whole; so does one whose run has an `ending`
    without an answer, since nobody may be left who could break it off."""
    answer = web.StreamResponse(
        status=opening.response.status, headers=CIMultiDict([*opening.response.headers, *extra.items()])
    )
    if opening.length is not None:
        answer.content_length = opening.length
    try:
        async with inner.read(opening.address, opening.path) as pieces:
            await answer.prepare(request)
            ending.add_done_callback(lambda ended: _break_off(request) if _lost(ended) else None)
            async for piece in pieces:
                await answer.write(piece)
    except NotThere as error:
        log.info("an answer is not read along, it is sent at its end: %s", error)
        return None
    except BrokenOff:
        _break_off(request)
        return answer
    await answer.write_eof()
    return answer


def _lost(ended: News) -> bool:
    """It ended, and no answer came of it."""
    found = None if ended.cancelled() else ended.result()
    return isinstance(found, Ending) and found.response is None


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
