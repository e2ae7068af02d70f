"""An invocation's events as Server-Sent Events: from any point on, until it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from gateway.context import Gateway
from gateway.observers import Observer
from penstock import views
from penstock.errors import StoreUnavailable
from penstock.events import Event, Place, sequence
from penstock.invocation import State
from penstock.store import PoolView
from penstock.store.events import Story

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_HEARTBEAT = 15.0
_PAUSE = 0.5
"""Seconds after the store could not be reached."""


async def tell(
    request: web.Request, gateway: Gateway, function: str, invocation_id: str, after: Place, *, on: bool = True
) -> web.StreamResponse:
    """The events of an invocation after a place, on this connection; `on`: also those that are to come."""
    response = web.StreamResponse(headers={**HEADERS, "Penstock-Invocation-Id": invocation_id})
    await response.prepare(request)
    async with aclosing(follow(gateway, function, invocation_id, after, on=on)) as following:
        async for event in following:
            await response.write(encode(event))
    await response.write_eof()
    return response


async def follow(
    gateway: Gateway, function: str, invocation_id: str, after: Place, *, on: bool = True
) -> AsyncGenerator[Event | None, None]:
    """Its events after a place, and unless `on` is false as they happen, until it has ended, its record is gone or
    this gateway stops. None: a heartbeat is due."""
    with gateway.observers.observe(function, invocation_id) as observer:
        watched = False
        told: tuple[int | None, str | None] = (None, None)
        while not gateway.observers.closed:
            observer.woken.clear()
            try:
                if not watched:
                    me = gateway.waiters.gateway
                    await gateway.store.queue.watch(function, invocation_id, me, everything=True)
                    watched = True
                story = await gateway.store.events.since(function, invocation_id, after)
                if story is None:
                    return
                ended = story.record.state.terminal
                for place, event in sequence(story.record, story.said, after, gap=story.gap):
                    last = ended and event.kind == story.record.state
                    yield await _last(gateway, story, event) if last else event
                    after = place
                if ended or not on:
                    return
                waits = (observer.position, observer.gist)
                if waits != told and observer.position is not None and story.record.state is State.QUEUED:
                    yield _position(story, observer.position, observer.pool)
                told = waits
            except StoreUnavailable:
                # It goes on where it was when the store is back; its client is none the wiser.
                await asyncio.sleep(_PAUSE)
                continue
            while not await _woken(observer):
                yield None


async def _woken(observer: Observer) -> bool:
    """False: nothing happened for as long as a client should go without a sign of life."""
    try:
        async with asyncio.timeout(_HEARTBEAT):
            await observer.woken.wait()
    except TimeoutError:
        return False
    return True


async def _last(gateway: Gateway, story: Story, event: Event) -> Event:
    """The last event says how it ended: the whole record, and the result unless that is long."""
    record = story.record
    data = views.invocation(record) | {"result": None}
    ending = await gateway.store.invocations.ending(record.function, record.id)
    if ending is not None and ending.response is not None and ending.response.blob is None:
        data["result"] = views.result(ending.response, ending.body)
    return Event(id=event.id, kind=event.kind, data=data)


def _position(story: Story, position: int, pool: PoolView | None) -> Event:
    """Where in the queue it waits, and why."""
    shown = views.invocation(story.record, position=position, pool=pool)
    return Event(
        id=None, kind="position", data={name: shown[name] for name in ("queue_position", "waiting_reason")}
    )


def encode(event: Event | None) -> bytes:
    """As the event stream format of HTML has it; data is one line of JSON."""
    if event is None:
        return b": heartbeat\n\n"
    data = event.data if isinstance(event.data, str) else json.dumps(event.data)
    name = f"id: {event.id}\n" if event.id is not None else ""
    return f"{name}event: {event.kind}\ndata: {data}\n\n".encode()
