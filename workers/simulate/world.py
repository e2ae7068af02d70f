"""The machine in virtual time: queues, instances with their cold starts, cards, and calls that run.

It does what it is told: a `Controller` starts and drains instances, and hears of what happens. Dispatch is the
same for every policy (first come first served, then the rule of `FunctionPool.pick`): policies alone differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from workers.placement import Board, Room
from workers.simulate.trace import CARD_MEMORY, Profile, Request, Workload

TICK = 1.0
"""Seconds between two looks of the controller, and between two samples."""
_PATIENCE = 4 * 3600.0
"""Seconds after the last request for which work may still go on; what has not ended then never will."""


class Call:
    """One request from its arrival to its end."""

    __slots__ = ("arrived", "ended", "kills", "request", "started")

    def __init__(self, request: Request, arrived: float) -> None:
        self.request = request
        self.arrived = arrived
        self.started: float | None = None
        """When its latest run began; None: it waits."""
        self.ended: float | None = None
        """None: it has not."""
        self.kills = 0
        """Runs of it that ended because their instance went; each began again from the start."""


class Instance:
    """One instance from the decision to start it until it is gone."""

    def __init__(self, name: str, pool: Pool, card: str, share: float, born: float) -> None:
        self.id = name
        self.pool = pool
        self.card = card
        self.share = share
        """Of its card, 0 to 1."""
        self.born = born
        self.ready: float | None = None
        """Since when it serves; None: it starts."""
        self.gone: float | None = None
        """None: it is there."""
        self.idle_since = born
        self.leaving = False
        """It gets no calls any more."""
        self.provisioned = False
        """The floor keeps it."""
        self.taken = 0
        """Calls that it has begun."""
        self.calls: dict[Call, None] = {}
        """That run, the oldest first."""

    @property
    def starting(self) -> bool:
        return self.ready is None

    @property
    def has_slot(self) -> bool:
        return self.ready is not None and len(self.calls) < self.pool.profile.concurrency


class Pool:
    """One function: its queue and its instances."""

    def __init__(self, function: str, profile: Profile) -> None:
        self.function = function
        self.profile = profile
        self.waiting: deque[Call] = deque()
        self.instances: dict[str, Instance] = {}
        """That are there, also those that leave."""
        self.arrived = 0
        """Requests so far."""
        self.running: dict[Call, None] = {}
        self.held_waiting = 0
        self.held_running = 0

    @property
    def demand(self) -> int:
        return len(self.waiting) + len(self.running)

    def current(self) -> list[Instance]:
        """Instances that serve or will."""
        return [one for one in self.instances.values() if not one.leaving]

    def pick(self) -> Instance | None:
        """Where the next call goes."""
        free = (one for one in self.instances.values() if not one.leaving and one.has_slot)
        return max(free, key=lambda one: (one.provisioned, len(one.calls), one.idle_since), default=None)


class Controller:
    """Who decides. Each method may start and drain instances; none needs to be there."""

    name = "nobody"

    def look(self, world: World) -> None:
        """Called each second."""

    def arrived(self, world: World, pool: Pool) -> None:
        """A request has arrived, and runs already if there was a slot."""

    def taken(self, world: World, pool: Pool, call: Call) -> None:
        """A call has left the queue for an instance."""

    def ended(self, world: World, pool: Pool, call: Call) -> None:
        """A call has ended, and its slot may be in use again."""

    def ready(self, world: World, instance: Instance) -> None:
        """An instance serves."""

    def gone(self, world: World, instance: Instance) -> None:
        """An instance is gone, and its place is free."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    ready: int
    starting: int
    queued: int


class World:
    def __init__(self, workload: Workload, controller: Controller) -> None:
        self.now = 0.0
        self.workload = workload
        self.board = Board(
            Room(card=f"gpu{number}", total=CARD_MEMORY, free=CARD_MEMORY) for number in range(workload.cards)
        )
        self.pools = {name: Pool(name, profile) for name, profile in workload.profiles.items()}
        self.calls: list[Call] = []
        """All so far, by arrival."""
        self.instances: list[Instance] = []
        """All that were ever started."""
        self.samples: list[Sample] = []
        self._controller = controller
        self._requests: Iterator[Request] = iter(workload.requests)
        self._more = True
        self._open = 0
        """Calls that have not ended."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._names = count(1)

    def run(self) -> None:
        """Until every request has ended and the instances are back at the floor."""
        self._feed()
        self._enter_clients()
        self._tick()
        while self._events:
            self.now, _, act = heappop(self._events)
            act()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heappush(self._events, (self.now + seconds, next(self._order), act))

    def start(self, pool: Pool, card: str) -> Instance:
        """Starts one on a card that has room for it."""
        name = f"{pool.function}-{next(self._names)}"
        share = self.board.reserve(name, pool.profile.need, card).amount / self.board.rooms[card].total
        instance = pool.instances[name] = Instance(name, pool, card, share, self.now)
        self.instances.append(instance)
        self.later(pool.profile.cold_start, lambda: self._ready(instance))
        return instance

    def drain(self, instance: Instance, grace: float | None = None) -> None:
        """It gets no new calls and goes when its last one has ended; after `grace` seconds in any case."""
        if instance.leaving:
            return
        instance.leaving = True
        if not instance.calls:
            self._remove(instance)
        elif grace is not None:
            self.later(grace, lambda: self._kill(instance))

    def _feed(self) -> None:
        """Lets the next request of the trace come at its time."""
        request = next(self._requests, None)
        if request is None:
            self._more = False
            return

        def come() -> None:
            self._feed()
            self._arrive(request)

        self.later(request.at - self.now, come)

    def _enter_clients(self) -> None:
        clients = self.workload.clients
        for _ in range(clients.count if clients else 0):
            self._ask_again()

    def _ask_again(self) -> None:
        clients = self.workload.clients
        if clients is not None and self.now < self.workload.length:
            self._arrive(Request(at=self.now, function=clients.function, duration=clients.duration, held=True))

    def _arrive(self, request: Request) -> None:
        pool, call = self.pools[request.function], Call(request, self.now)
        self.calls.append(call)
        self._open += 1
        pool.arrived += 1
        pool.held_waiting += request.held
        pool.waiting.append(call)
        self._pump(pool)
        self._controller.arrived(self, pool)

    def _pump(self, pool: Pool) -> None:
        """Brings what waits to free slots."""
        while pool.waiting and (instance := pool.pick()) is not None:
            call = pool.waiting.popleft()
            call.started = self.now
            pool.held_waiting -= call.request.held
            pool.held_running += call.request.held
            pool.running[call] = instance.calls[call] = None
            instance.taken += 1
            self._schedule_end(instance, call)
            self._controller.taken(self, pool, call)

    def _schedule_end(self, instance: Instance, call: Call) -> None:
        run = call.kills
        self.later(call.request.duration, lambda: self._end(instance, call, run))

    def _end(self, instance: Instance, call: Call, run: int) -> None:
        if call.kills != run:
            return  # that run was killed
        pool = instance.pool
        call.ended = self.now
        self._open -= 1
        self._vacate(instance, call)
        if not instance.calls:
            instance.idle_since = self.now
            if instance.leaving:
                self._remove(instance)
        self._pump(pool)
        self._controller.ended(self, pool, call)
        if self.workload.clients is not None:
            self._ask_again()

    def _vacate(self, instance: Instance, call: Call) -> None:
        pool = instance.pool
        del instance.calls[call], pool.running[call]
        pool.held_running -= call.request.held

    def _ready(self, instance: Instance) -> None:
        if instance.leaving:
            return
        instance.ready = instance.idle_since = self.now
        self._pump(instance.pool)
        self._controller.ready(self, instance)

    def _kill(self, instance: Instance) -> None:
        """What still runs there goes back to the head of the queue, to be run from its start."""
        if instance.gone is not None:
            return
        pool = instance.pool
        for call in reversed(list(instance.calls)):
            self._vacate(instance, call)
            call.kills += 1
            call.started = None
            pool.held_waiting += call.request.held
            pool.waiting.appendleft(call)
        self._remove(instance)
        self._pump(pool)

    def _remove(self, instance: Instance) -> None:
        instance.gone = self.now
        del instance.pool.instances[instance.id]
        self.board.release(instance.id)
        self._controller.gone(self, instance)

    def _tick(self) -> None:
        self._controller.look(self)
        self._sample()
        if not self._settled():
            self.later(TICK, self._tick)

    def _sample(self) -> None:
        there = [one for pool in self.pools.values() for one in pool.instances.values()]
        starting = sum(one.starting for one in there)
        queued = sum(len(pool.waiting) for pool in self.pools.values())
        self.samples.append(Sample(self.now, len(there) - starting, starting, queued))

    def _settled(self) -> bool:
        if self._more or self.now < self.workload.length:
            return False
        kept = all(len(pool.instances) <= pool.profile.floor for pool in self.pools.values())
        return (kept and not self._open) or self.now > self.workload.length + _PATIENCE
