"""GET /metrics: what this gateway counts, and under `penstock up` what the workers do, as one exposition."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.context import GATEWAY, Gateway
from gateway.siblings import read_all
from penstock import clock
from penstock.errors import InvalidRequest, StoreUnavailable
from penstock.series import FIGURES, HELD_MS, steps
from penstock.telemetry.exposition import CONTENT_TYPE, join, pair

_MINUTE_MS = 60_000


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET /metrics[?format=fc]."""
    gateway = request.app[GATEWAY]
    asked = request.query.get("format", "prometheus")
    if not gateway.telemetry.settings.enabled:
        raise web.HTTPNotFound(reason="telemetry.enabled is false: nothing is counted")
    if asked not in ("prometheus", "fc"):
        raise InvalidRequest(f"format={asked!r} is neither prometheus nor fc")
    text = await (_aliases(gateway) if asked == "fc" else exposition(gateway))
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


async def exposition(gateway: Gateway) -> str:
    """All that can be told here. What does not answer is not in it."""
    own, others, leader = await asyncio.gather(
        own_exposition(gateway), gateway.siblings.expositions(), _leader(gateway)
    )
    if not (others or leader):
        return own
    return join([own, *others, *([leader] if leader else [])])


async def own_exposition(gateway: Gateway) -> str:
    """Of this process; `process` tells it from others that share its port."""
    number = gateway.siblings.number
    return await gateway.telemetry.exposition(pair("process", str(number)) if number else "")


async def _leader(gateway: Gateway) -> str | None:
    """The leader's, if it runs on this machine and data-dir; elsewhere it has a listener of its own to be scraped,
    or two gateways would show the same series."""
    try:
        inner = await gateway.store.leadership.inner()
    except StoreUnavailable:
        return None
    if inner is None or not inner.metrics_path or not inner.address.startswith("unix:"):
        return None
    return await read_all(gateway.inner, inner.address, inner.metrics_path)


async def _aliases(gateway: Gateway) -> str:
    """Function Compute's metrics under their own names: of the last minute, as the product's one-minute series."""
    now, series = clock.now_ms(), gateway.store.series
    start = now - _MINUTE_MS
    functions = (await series.active(start - HELD_MS))[: gateway.telemetry.settings.max_functions]
    stored = await asyncio.gather(*(series.seconds(name, start - HELD_MS, now) for name in functions))
    points = [steps(one, start, now, 60, held_ms=HELD_MS)[0][1] for one in stored]
    text: list[str] = []
    for name, figure in sorted(FIGURES.items()):
        text.append(f"# HELP {name} In the last minute: {figure.means} ({figure.unit}).")
        text.append(f"# TYPE {name} gauge")
        for function, point in zip(functions, points, strict=True):
            if (value := figure.of(point)) is not None:
                text.append(f"{name}{{{pair('function', function)}}} {value}")
    return "".join(f"{line}\n" for line in text)
