"""How calls get to instances: pushed to their server, asked for by them, or as a run of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from penstock.function import Function
from penstock.invocation import Invocation, Run
from workers.answer import Answer
from workers.engines import Order
from workers.instances import Instance
from workers.live import LiveRun


class Caller(Protocol):
    @property
    def stays(self) -> bool:
        """True if its instances run between calls, so that one which ends by itself has failed."""

    @property
    def adoptable(self) -> bool:
        """True if an instance that another leader started can be called."""

    async def start(self, instance: Instance, order: Order) -> None:
        """Makes ready for calls to an instance, and starts it unless its call does. Raises EngineError."""

    async def ready(self, instance: Instance, listening: Callable[[], None]) -> None:
        """Returns when it may be called; `listening` hears when it answers at all. Raises NotReady."""

    async def watch(self, instance: Instance) -> None:
        """Looks after one that serves. Raises NotReady, EngineError when it no longer may be called."""

    async def call(self, instance: Instance, run: Run, live: LiveRun) -> Answer:
        """Runs one invocation on an instance; no time limit of its own. A long answer is handed to `live` as it
        comes. Raises NotSent, Busy, Lost, Malformed."""

    async def lets_go(self, instance: Instance, invocation: Invocation) -> bool:
        """After a call that was given up, or whose connection broke: True as soon as the instance no longer runs
        it; False if it still does after 2 s, or nobody can tell."""

    def leave(self, instance: Instance) -> None:
        """No call follows: it is about to be stopped."""


@dataclass(frozen=True, kw_only=True)
class Callers:
    push: Caller
    pull: Caller
    once: Caller

    def of(self, function: Function) -> Caller:
        if not function.spec.web_server:
            return self.once
        return self.pull if function.spec.protocol == "runpod" else self.push
