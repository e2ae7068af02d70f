"""From a started instance to one that may be called: its port, its health, its initialize hook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from penstock import clock
from penstock.function import Function, Hook
from workers.answer import ChannelError
from workers.channel import Channel, listens
from workers.contract import STATUS_PATH, hook_headers
from workers.engines import Endpoint, Engine
from workers.protocols.wire import NeverReady, Wire

_PORT_PROBE = 0.010
_PROBE = 0.020
"""Seconds between two looks, so that what is true is noticed within 25 ms; a look at a port costs little."""
_REQUEST_TIMEOUT = 1.0


class NotReady(Exception):
    """It will not become ready; the message says why."""


async def wait_until_ready(
    channel: Channel,
    engine: Engine,
    instance: str,
    endpoint: Endpoint,
    function: Function,
    on_listening: Callable[[], None],
    *,
    gpu: str | None = None,
) -> None:
    """Returns when the instance may be called. `gpu`: UUID of its card. Raises NotReady."""
    await _port(channel, endpoint, function)
    if not await engine.owns(instance, endpoint):
        raise NotReady(f"another process listens on port {endpoint.port}: the command must use $PORT")
    on_listening()
    wire = channel.wire(function)
    if (path := health_path(function, wire)) is not None:
        await _health(channel, endpoint, path, wire, function.spec.lifecycle.start_timeout)
    if function.spec.initialize is not None:
        headers = hook_headers(function, instance, "/initialize", channel.fc, gpu=gpu)
        await _initialize(channel, endpoint, function.spec.initialize, headers)


async def _port(channel: Channel, endpoint: Endpoint, function: Function) -> None:
    deadline = clock.monotonic() + function.spec.lifecycle.start_timeout
    while not await listens(endpoint):
        if clock.monotonic() > deadline:
            seconds = function.spec.lifecycle.start_timeout
            raise NotReady(f"nothing listens on port {endpoint.port} after {seconds:g} s")
        await asyncio.sleep(_PORT_PROBE)
    if function.spec.path is not None:
        # Its socket was open before its interpreter ran: only an answer says that it serves.
        try:
            await channel.ask(endpoint, "GET", STATUS_PATH, timeout=deadline - clock.monotonic())
        except ChannelError as error:
            raise NotReady(str(error)) from error


def health_path(function: Function, wire: Wire) -> str | None:
    """Where it says whether it may be called; None: nowhere."""
    own = function.spec.lifecycle.health
    return own.path if own is not None else wire.health


async def _health(channel: Channel, endpoint: Endpoint, path: str, wire: Wire, timeout: float) -> None:
    deadline = clock.monotonic() + timeout
    last = ""
    while clock.monotonic() < deadline:
        try:
            status, _, body = await channel.ask(endpoint, "GET", path, timeout=_REQUEST_TIMEOUT)
            if wire.healthy(status, body):
                return
            last = f"it answers {status} {body[:100].decode(errors='replace').strip()}".rstrip()
        except NeverReady as error:
            raise NotReady(str(error)) from error
        except ChannelError as error:
            last = str(error)
        await asyncio.sleep(_PROBE)
    raise NotReady(f"its health check {path} did not succeed within {timeout:g} s: {last}")


async def _initialize(
    channel: Channel, endpoint: Endpoint, hook: Hook, headers: Iterable[tuple[str, str]]
) -> None:
    deadline = clock.monotonic() + hook.timeout
    while True:
        left = deadline - clock.monotonic()
        try:
            status, error, body = await channel.ask(endpoint, "POST", hook.path, timeout=left, headers=headers)
        except ChannelError as failure:
            if clock.monotonic() >= deadline:
                message = f"initialize ({hook.path}) did not succeed within {hook.timeout:g} s"
                raise NotReady(message) from failure
            raise NotReady(f"initialize: {failure}") from failure
        if 200 <= status < 300:
            return
        if error is not None:
            raise NotReady(f"initialize raised {error}")
        if status not in (400, 404):
            text = body[:200].decode(errors="replace").strip()
            raise NotReady(f"initialize ({hook.path}) answered {status}: {text}")
        # The contract's own rule: the server may not have its routes yet.
        if clock.monotonic() + _PROBE > deadline:
            raise NotReady(f"initialize ({hook.path}) still answers {status} after {hook.timeout:g} s")
        await asyncio.sleep(_PROBE)
