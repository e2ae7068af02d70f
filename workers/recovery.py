"""Whether an instance has let go of a call that was aborted, or whose connection broke."""

from __future__ import annotations

import asyncio

from penstock import clock
from penstock.invocation import Invocation
from workers.answer import ChannelError
from workers.channel import Channel, listens
from workers.instances import Instance
from workers.pool import running_on

_GRACE = 2.0
"""Seconds that it has for that."""
_POLL = 0.1
_TIMEOUT = 1.0


async def lets_go(channel: Channel, instance: Instance, invocation: Invocation) -> bool:
    """True as soon as it has; False if it has not in 2 s, or nobody can tell."""
    assert instance.endpoint is not None, "it serves"
    deadline = clock.monotonic() + _GRACE
    try:
        if instance.function.spec.path is not None:
            while invocation.id in await running_on(channel, instance):
                if clock.monotonic() > deadline:
                    return False
                await asyncio.sleep(_POLL)
            return True
        if (path := channel.wire(instance.function).cancel(invocation)) is not None:
            await channel.ask(instance.endpoint, "POST", path, timeout=_TIMEOUT)
            return instance.function.spec.slots == 1 and await _free(channel, instance, deadline)
    except ChannelError:
        return False  # it does not answer: as stuck as one that says so
    # Any other server must be thought to go on with a call that was aborted, and to have let go of one whose
    # connection it closed itself, if it still listens.
    return instance.suspect and await listens(instance.endpoint)


async def _free(channel: Channel, instance: Instance, deadline: float) -> bool:
    """Until the only slot of a server is free, by its own word."""
    assert instance.endpoint is not None, "it serves"
    wire = channel.wire(instance.function)
    assert wire.health is not None, "who can cancel can tell"
    while clock.monotonic() < deadline:
        status, _, body = await channel.ask(instance.endpoint, "GET", wire.health, timeout=_TIMEOUT)
        if wire.free(status, body):
            return True
        await asyncio.sleep(_POLL)
    return False
