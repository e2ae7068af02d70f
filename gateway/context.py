"""What every handler needs, constructed once in gateway/app.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.directory import Directory
from gateway.feeds import Feeds
from gateway.inner import InnerClient
from gateway.keyring import Keyring
from gateway.measures import Measures
from gateway.observers import Observers
from gateway.pressure import Pressure
from gateway.siblings import Siblings
from gateway.waiters import Waiters
from penstock.blobs import Blobs
from penstock.egress import Egress
from penstock.ids import IdMint
from penstock.settings import CostSettings, GatewaySettings
from penstock.store import Store
from penstock.tasks import Tasks
from penstock.telemetry.setup import Telemetry
from penstock.telemetry.traces import Traces


@dataclass(frozen=True, kw_only=True)
class Gateway:
    store: Store
    settings: GatewaySettings
    cost: CostSettings
    mint: IdMint
    blobs: Blobs
    directory: Directory
    keyring: Keyring
    waiters: Waiters
    observers: Observers
    feeds: Feeds
    inner: InnerClient
    pressure: Pressure
    measures: Measures
    siblings: Siblings
    telemetry: Telemetry
    egress: Egress
    """Where a URL that a client gives may lead."""
    tasks: Tasks

    @property
    def traces(self) -> Traces:
        return self.telemetry.traces


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
GATEWAY = web.AppKey("gateway", Gateway)


def function_name(request: web.Request) -> str:
    return request.match_info["function"]


def host(request: web.Request) -> str | None:
    """As the client names this gateway; None: a client of HTTP/1.0 that does not say. aiohttp would ask the
    system's resolver then, and everybody would wait for it."""
    return request.headers.get("Host")
