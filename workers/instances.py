"""One instance as the pool sees it: its state, the time it spent in each stage, and its slots."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from penstock import clock
from penstock.function import Function
from penstock.instance import InstanceState, InstanceView, check_move
from penstock.tracecontext import TraceContext
from workers.engines import Endpoint
from workers.odometer import Odometer


def new_id(function: Function) -> str:
    """Also the name of a container, which holds no @."""
    return f"{function.name.replace('@', '-v')}-{secrets.token_hex(4)}"


class Instance:
    def __init__(self, function: Function, *, identity: str | None = None, started_at: int | None = None) -> None:
        self.id = identity or new_id(function)
        self.function = function
        self.state = InstanceState.PENDING
        self.endpoint: Endpoint | None = None
        self.started_at = clock.now_ms() if started_at is None else started_at
        self.timeline: dict[str, float] = {}
        """Milliseconds by stage of its start."""
        self.ready_since: float | None = None
        """Monotonic; None: it is not ready yet, or was adopted ready."""
        self.idle_since = clock.monotonic()
        self.taken = 0
        """Calls dispatched to it so far."""
        self.adopted = False
        self.ready_before = False
        """It was adopted, and had been ready for the last leader."""
        self.provisioned = False
        """True: the floor keeps it, whatever the demand."""
        self.card: str | None = None
        """What it has its place on; None: it needs none."""
        self.suspect = False
        """A connection to it broke: it gets no calls until it has answered again."""
        self.stuck: set[int] = set()
        """Slots whose call was given up, and which it has not let go of."""
        self.spent = False
        """It runs no call after the one that it has."""
        self.refusals = 0
        """Calls in a row that it had no room for."""
        self.reason = "demand"
        self.trace: TraceContext | None = None
        """Of its start; None: that is not over, or not traced."""
        self.leave = asyncio.Event()
        """Set when it shall end; it ends when its last call has."""
        self.quiet = asyncio.Event()
        """Set while no slot is in use."""
        self.quiet.set()
        self._stage: str = self.state
        self.odometer = Odometer(clock.monotonic())
        self._entered = clock.monotonic()
        self._runs: set[int] = set()
        """Slots with a call; one that only looks for a call has none."""
        self._slots = set(range(function.spec.slots))

    @property
    def in_flight(self) -> int:
        return self.function.spec.slots - len(self._slots)

    @property
    def runs(self) -> int:
        """Calls that it runs."""
        return len(self._runs)

    @property
    def serves(self) -> bool:
        return self.state in (InstanceState.IDLE, InstanceState.BUSY)

    @property
    def starting(self) -> bool:
        return self.state in (InstanceState.PENDING, InstanceState.STARTING, InstanceState.INITIALIZING)

    @property
    def has_slot(self) -> bool:
        return self.serves and not self.suspect and bool(self._slots)

    def move(self, state: InstanceState) -> None:
        """Raises ValueError for a move that the states do not allow."""
        check_move(self.state, state)
        if self.starting:
            self.timeline[self._stage] = self.in_stage_ms()
        self.state, self._stage, self._entered = state, state, clock.monotonic()
        if state is InstanceState.IDLE:
            self.idle_since = self._entered

    def stage(self, name: str) -> None:
        """What remains of its state is a stage of its own in the timeline."""
        self.timeline[self._stage] = self.in_stage_ms()
        self._stage, self._entered = name, clock.monotonic()

    def became_ready(self) -> None:
        self.move(InstanceState.IDLE)
        self.ready_since = clock.monotonic()
        self.odometer.ready(self.ready_since)

    def end(self) -> None:
        """It is gone."""
        self.state = InstanceState.GONE
        self.odometer.gone(clock.monotonic())

    def in_stage_ms(self) -> float:
        """Milliseconds since it entered its stage."""
        return (clock.monotonic() - self._entered) * 1000

    def occupy(self) -> int:
        """Takes a free slot; `has_slot` must be true."""
        slot = self._slots.pop()
        self.quiet.clear()
        if self.state is InstanceState.IDLE:
            self.move(InstanceState.BUSY)
        return slot

    def begin(self, slot: int) -> None:
        """The slot found a call to run."""
        self.taken += 1
        self._runs.add(slot)
        self.odometer.began(clock.monotonic())

    def vacate(self, slot: int) -> None:
        self._slots.add(slot)
        if slot in self._runs:
            self._runs.discard(slot)
            self.odometer.ended(clock.monotonic())
        if self.in_flight == 0:
            self.quiet.set()
            if self.state is InstanceState.BUSY:
                self.move(InstanceState.IDLE)

    def facts(self) -> Mapping[str, object]:
        """What lines of our own log say of it."""
        return {"function": self.function.name, "instance": self.id}

    def idle_for(self) -> float:
        """Seconds since its last call."""
        return clock.monotonic() - self.idle_since

    def residence(self) -> float:
        """Seconds since it was ready; 0 while it starts."""
        if self.starting:
            return 0.0
        return (clock.now_ms() - self.started_at) / 1000 - sum(self.timeline.values()) / 1000

    def view(self) -> InstanceView:
        timeline = dict(self.timeline)
        if self.starting:
            timeline[self._stage] = self.in_stage_ms()
        # A slot that only looks for a call finds one or is free in a moment: nobody would be told of either.
        looks = self.state is InstanceState.BUSY and not self.runs
        return InstanceView(
            id=self.id,
            state=InstanceState.IDLE if looks else self.state,
            revision=self.function.revision,
            in_flight=self.runs,
            started_at=self.started_at,
            timeline={stage: round(ms, 1) for stage, ms in timeline.items()},
            reason=self.reason,
            provisioned=self.provisioned,
            gpu=self.card if self.function.spec.resources.gpu else None,
        )
