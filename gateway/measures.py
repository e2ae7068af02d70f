"""What this gateway counts: requests by route and status, what it refused, and who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.pressure import Pressure
from gateway.waiters import Waiters
from penstock import clock
from penstock.errors import Overloaded, PenstockError, RequestError, StoreUnavailable
from penstock.listening import Listener
from penstock.series import Point
from penstock.store import Store
from penstock.telemetry import catalogue as the
from penstock.telemetry.metrics import Counter, Gauge, Histogram, Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"})
_LEFT = 499
"""The client was gone before it was answered."""
_PERIOD = 1.0
_MOST_FUNCTIONS = 1_000
"""Functions whose refusals of a second are told of."""


REFUSAL = web.RequestKey("refusal", PenstockError)
"""Of a request: the error that it was answered with."""
INVOKED = web.RequestKey("invoked", str)
"""Of a request: the function that it invokes."""


class Measures:
    def __init__(self, metrics: Metrics, store: Store, waiters: Waiters, pressure: Pressure) -> None:
        self._metrics = metrics
        self._store = store
        self._waiters = waiters
        self._pressure = pressure
        self._served: dict[tuple[str, str, int], Histogram] = {}
        self._bytes: dict[str, tuple[Counter, Counter]] = {}
        self._active = 0
        self._refused: dict[str, Point] = {}
        """What was refused of each function since it was last told."""
        metrics.ask(self._gauges)
        metrics.ask(self._redis)

    def watch(self, listener: Listener) -> None:
        """The connections that the requests come by."""
        turned_away = self._metrics.counter(the.TURNED_AWAY)

        async def connections() -> Iterable[Gauge]:
            turned_away.value = listener.turned_away
            return [Gauge(the.CONNECTIONS, (), listener.count)]

        self._metrics.ask(connections)

    def begin(self) -> float:
        """A request has come. Returns when, for `end`."""
        self._active += 1
        return clock.monotonic()

    def end(self, request: web.Request, response: web.StreamResponse | None, began: float) -> None:
        """It has been answered; None: the client was gone."""
        self._active -= 1
        route = _route(request)
        status = _LEFT if response is None else response.status
        key = (request.method, route, status)
        served = self._served.get(key)
        if served is None:
            method = request.method if request.method in _METHODS else "_OTHER"
            served = self._served[key] = self._metrics.histogram(the.HTTP_TIME, method, route, str(status))
        served.record(clock.monotonic() - began)
        error = request.get(REFUSAL)
        if error is not None:
            self._refuse(error, request.get(INVOKED))
        counters = self._bytes.get(route)
        if counters is None:
            received, sent = (self._metrics.counter(one, route) for one in (the.HTTP_RECEIVED, the.HTTP_SENT))
            counters = self._bytes[route] = received, sent
        counters[0].add(request.content.total_bytes)
        if response is not None:
            counters[1].add(_sent(response))

    def _refuse(self, error: PenstockError, function: str | None) -> None:
        """Nothing was done; `function` is the one that was to be invoked."""
        if isinstance(error, RequestError | Overloaded):
            self._count(error.code, function, _fields(error))

    def no_capacity(self, function: str) -> None:
        """A held call was given up, since there was no place for its function."""
        self._count("no_capacity", function, ("rt",))

    def _count(self, code: str, function: str | None, fields: Iterable[str]) -> None:
        self._metrics.counter(the.REFUSED, code).add()
        if function is not None and self._metrics.enabled:
            point = self._refused.setdefault(function, {})
            for name in ("n", *fields):
                point[name] = point.get(name, 0) + 1

    async def tell(self) -> None:
        """Loop: adds each second's refusals to the series of their functions."""
        while True:
            await asyncio.sleep(_PERIOD)
            refused, self._refused = self._refused, {}
            told = list(refused.items())[:_MOST_FUNCTIONS]
            await asyncio.gather(*(self._store.series.add(function, point) for function, point in told))

    async def _gauges(self) -> Iterable[Gauge]:
        return [Gauge(the.HTTP_ACTIVE, (), self._active), Gauge(the.HELD, (), self._waiters.count)]

    async def _redis(self) -> Iterable[Gauge]:
        known = ((the.REDIS_MEMORY, self._pressure.used), (the.REDIS_LIMIT, self._pressure.limit))
        return [Gauge(metric, (), value) for metric, value in known if value is not None]


def _fields(error: PenstockError) -> tuple[str, ...]:
    """What Function Compute counts it as, in the fields of a point."""
    if isinstance(error, StoreUnavailable):
        return ("se",)
    if error.status == 429:
        return ("ce", "ct")
    return ("rt",) if error.status == 503 else ("ce",)


def _route(request: web.Request) -> str:
    """The pattern that it matched, so that names in paths make no series."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _sent(response: web.StreamResponse) -> int:
    """Bytes of the body, as far as it is known."""
    if response.prepared:
        return response.body_length
    body: Any = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes | bytearray) else response.content_length or 0
