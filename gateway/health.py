"""Whether this gateway lives (/healthz), and whether what is deployed can be invoked (/readyz)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from gateway.access import Caller
from gateway.auth import CALLER
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock.errors import StoreUnavailable


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: 200 as long as this process serves."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200 when the deployed functions can be invoked; otherwise 503 and all that is wrong.
    `degraded` is what does not stop calls but breaks a promise."""
    store = request.app[GATEWAY].store
    problems: list[str] = []
    degraded: list[str] = []
    try:
        if refusal := await store.refusal():
            problems.append(refusal)
        _, epoch, leads = await store.leadership.current()
        if not leads:
            gone = "the last one is gone" if epoch else "none was ever started"
            problems.append(f"no workers process leads: {gone} (start `penstock workers`)")
        problems += _unready(request[CALLER], await store.catalog.unready())
        degraded = await store.durability()
    except StoreUnavailable as error:
        problems.append(str(error))
    body = {"ready": not problems, "problems": problems, "degraded": degraded}
    return json_response(body, status=503 if problems else 200)


def _unready(caller: Caller, functions: Mapping[str, str]) -> list[str]:
    """Names and errors are for those who see every function; a probe needs neither."""
    if caller.operates:
        return [f"function {name}: {why}" for name, why in functions.items()]
    return [f"{len(functions)} functions cannot be invoked: ask with an operator's API key"] if functions else []
