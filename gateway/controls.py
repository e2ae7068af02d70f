"""What operators do over HTTP: pause and resume a function or a card, warm a function up, look at the cards."""

from __future__ import annotations

import json

from aiohttp import web

from gateway import names
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock.errors import InvalidRequest
from penstock.function import NOTHING_WARM

_MOST_WARM = 1_000


async def pause(request: web.Request) -> web.Response:
    """POST /v1/functions/{function}/pause: its instances end once they are idle, its jobs wait."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    await gateway.store.controls.pause("function", function.name)
    return json_response({"function": function.name, "paused": True})


async def resume(request: web.Request) -> web.Response:
    """POST /v1/functions/{function}/resume."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    await gateway.store.controls.resume("function", function.name)
    return json_response({"function": function.name, "paused": False})


async def warm_up(request: web.Request) -> web.Response:
    """POST /v1/functions/{function}/warmup, with {"instances": N}: 202; they stay for the idle timeout."""
    gateway = request.app[GATEWAY]
    function = await names.asked(request)
    if not function.spec.web_server:
        raise InvalidRequest(NOTHING_WARM)
    instances = _instances(await request.read())
    await gateway.store.controls.warm_up(function.name, instances)
    return json_response({"function": function.name, "instances": instances}, status=202)


async def gpus(request: web.Request) -> web.Response:
    """GET /v1/gpus: the cards, what is reserved on each, and what keeps one from being used."""
    return json_response({"gpus": await request.app[GATEWAY].store.pools.gpus()})


async def pause_gpu(request: web.Request) -> web.Response:
    """POST /v1/gpus/{gpu}/pause: its instances end once they are idle, and nothing is started there: it is lent
    to whoever else wants it."""
    name = await _gpu(request)
    await request.app[GATEWAY].store.controls.pause("gpu", name)
    return json_response({"gpu": name, "paused": True})


async def resume_gpu(request: web.Request) -> web.Response:
    """POST /v1/gpus/{gpu}/resume."""
    name = await _gpu(request)
    await request.app[GATEWAY].store.controls.resume("gpu", name)
    return json_response({"gpu": name, "paused": False})


async def _gpu(request: web.Request) -> str:
    """By its UUID, or by the beginning of it if no other begins so. Raises InvalidRequest."""
    asked = request.match_info["gpu"]
    known = [str(card["uuid"]) for card in await request.app[GATEWAY].store.pools.gpus()]
    found = [uuid for uuid in known if uuid.startswith(asked)]
    if asked in found or len(found) == 1:
        return asked if asked in found else found[0]
    raise InvalidRequest(f"{asked!r} names {len(found)} of the GPUs; there are {', '.join(known) or 'none'}")


def _instances(body: bytes) -> int:
    if not body.strip():
        return 1
    try:
        instances = json.loads(body)["instances"]
    except (ValueError, KeyError, TypeError, RecursionError):
        instances = None
    if not isinstance(instances, int) or isinstance(instances, bool) or not 1 <= instances <= _MOST_WARM:
        raise InvalidRequest(f'the body must be empty, for one, or {{"instances": 1 to {_MOST_WARM}}}')
    return instances
