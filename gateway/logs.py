"""What an instance writes: its last lines, and each as it comes."""

from __future__ import annotations

from aiohttp import web

from gateway import names
from gateway.context import GATEWAY
from gateway.inner import BrokenOff, NotThere
from gateway.results import flag
from penstock.errors import InstanceNotFound, InvalidRequest, NoLeader

_TAIL, _MOST = 100, 10_000


async def logs(request: web.Request) -> web.StreamResponse:
    """GET …/instances/{instance}/logs?tail=N&follow=true: lines of text."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    instance, tail = request.match_info["instance"], _tail(request)
    follow = flag(request, "follow", default=False)
    inner = await gateway.store.leadership.inner()
    if inner is None:
        raise NoLeader("no workers process leads, and logs are with it: start one with `penstock workers`")
    path = (
        inner.logs_path.replace("{instance}", instance)
        + f"?tail={tail}&function={function.name}"
        + ("&follow=true" if follow else "")
    )
    answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache"})
    try:
        async with gateway.inner.read(inner.address, path) as pieces:
            await answer.prepare(request)
            async for piece in pieces:
                await answer.write(piece)
    except NotThere as error:
        if error.reached:
            raise InstanceNotFound(instance) from error
        raise NoLeader(f"the workers process that has the log does not answer: {error}") from error
    except BrokenOff:
        pass  # the leader went: a log has no end that could be mistaken for another
    await answer.write_eof()
    return answer


def _tail(request: web.Request) -> int:
    text = request.query.get("tail", str(_TAIL))
    if not (text.isascii() and text.isdigit()) or int(text[:9]) > _MOST:
        raise InvalidRequest(f"tail={text!r} is not a number of lines from 0 to {_MOST}")
    return int(text)
