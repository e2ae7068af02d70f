"""Puts the parts together, as the settings say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runtime.context import Context, FunctionInfo
from runtime.events import EventFunction
from runtime.function import Callee, LoadedFunction
from runtime.loader import Loaded, load
from runtime.progress import Reporter
from runtime.server import Application
from runtime.settings import Settings
from runtime.slots import Slot, Slots, Threads

if TYPE_CHECKING:
    from runtime.forks import Forks


def application(settings: Settings, forks: Forks | None = None) -> Application:
    """`forks`: where slots that are processes come from."""
    name, _, version = settings.function.partition("@")
    info = FunctionInfo(name=name, handler=settings.handler, memory=settings.memory, version=version)
    base = Context(function=info, logger=logging.getLogger(settings.function), reporter=Reporter())
    if settings.workers == "process":
        from runtime.processes import ProcessFunction

        assert forks is not None, "it was started before there was a loop"
        return Application(ProcessFunction(settings.concurrency, forks), base)
    slots = Slots([Slot(number) for number in range(settings.concurrency)])

    def loaded() -> Loaded:
        return load(settings.handler, settings.code, event=settings.event, batching=settings.batch_size > 0)

    def callee(found: Loaded) -> Callee:
        return _callee(found, settings, slots)

    return Application(LoadedFunction(loaded, callee, slots, base), base)


def _callee(found: Loaded, settings: Settings, slots: Threads) -> Callee:
    # What only some functions need is imported for them alone: imports are part of every cold start.
    if found.kind == "wsgi":
        from runtime.wsgi import WsgiFunction

        return WsgiFunction(found.app, slots, concurrency=settings.concurrency)
    if found.kind == "asgi":
        from runtime.asgi import AsgiFunction

        return AsgiFunction(found.app, slots)
    assert found.handler is not None, "of the kind event"
    if settings.batch_size > 0:
        from runtime.batcher import BatchFunction
        from runtime.batching import Policy

        policy = Policy(max_size=settings.batch_size, max_wait=settings.batch_wait)
        return BatchFunction(found.handler, slots, policy, batches=settings.concurrency)
    return EventFunction(found.handler, slots)
