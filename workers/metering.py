"""Reads the instances' odometers each second, and adds what was used to the store every ten.

What has not been written when the process is killed is lost, ten seconds at most; nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from penstock import clock
from penstock.errors import PenstockError
from penstock.instance import InstanceState
from penstock.store import Store
from workers.instances import Instance
from workers.meter import Entry, Meter, Rate, Reading, rate
from workers.pool import Pool, need_of

log = logging.getLogger(__name__)

_PERIOD = 1.0
_WRITES_APART = 10.0


class Metering:
    def __init__(
        self, store: Store, pool: Pool, standbys: Callable[[], Mapping[str, int]] = dict, *, epoch: int
    ) -> None:
        """`standbys`: containers that stand by, by function."""
        self._standbys = standbys
        self._store = store
        self._pool = pool
        self._epoch = epoch
        self._meter = Meter()
        self._known: dict[str, tuple[Instance, Rate]] = {}
        """Instances, and those that have gone since the last tick."""
        self._owed: list[tuple[int, Entry]] = []
        """Batches that Redis has not said to have."""
        self._batches = 0
        self._ticked = clock.monotonic()
        self._written = clock.monotonic()

    def changed(self, function: str) -> None:
        """Notes the instances of a function: one may come and go between two ticks."""
        pool = self._pool.functions.get(function)
        for instance in pool.instances.values() if pool else ():
            if instance.id not in self._known:
                self._known[instance.id] = instance, self._rate(instance)

    def tick(self) -> None:
        now = clock.monotonic()
        for function, count in self._standbys().items():
            self._meter.stood_by(clock.now_ms() / 1000, function, count * (now - self._ticked))
        self._ticked = now
        for function in self._pool.functions:
            self.changed(function)
        if not self._known:
            return
        # One that has gone is read until its last call is seen to have ended.
        over = [name for name, (one, _) in self._known.items() if one.state is InstanceState.GONE and not one.runs]
        self._meter.tick(clock.now_ms() / 1000, [_read(*one) for one in self._known.values()])
        for name in over:
            del self._known[name]

    async def run(self) -> None:
        """Loop."""
        while True:
            self.tick()
            if clock.monotonic() - self._written >= _WRITES_APART:
                await self.write()
            await asyncio.sleep(_PERIOD)

    async def write(self) -> None:
        """Adds what is new. A batch whose reply was lost is sent again under its number, and counts once."""
        await self._send()
        for entry in self._meter.take():
            self._batches += 1
            self._owed.append((self._batches, entry))
        await self._send()
        self._written = clock.monotonic()

    async def _send(self) -> None:
        while self._owed:
            number, entry = self._owed[0]
            await self._store.meters.add(
                entry.function, entry.day, entry.usage, epoch=self._epoch, batch=f"{self._epoch}-{number}"
            )
            del self._owed[0]

    async def close(self) -> None:
        """Writes what is left, once the loop has ended and the instances with it."""
        self.tick()
        try:
            await self.write()
        except PenstockError as error:
            log.warning("what was used in the last seconds is not metered: %s", error)

    def _rate(self, instance: Instance) -> Rate:
        made = self._pool.board.reservations.get(instance.id)
        room = self._pool.board.rooms.get(made.card) if made else None
        memory = instance.function.spec.resources.memory
        return rate(need_of(instance.function), made, room.total if room else None, memory)


def _read(instance: Instance, held: Rate) -> Reading:
    now, odometer = clock.monotonic(), instance.odometer
    return Reading(
        instance=instance.id,
        function=instance.function.name,
        provisioned=instance.provisioned,
        rate=held,
        lived=odometer.lived(now),
        starting=0.0 if instance.adopted else odometer.starting(now),
        busy=odometer.busy(now),
        calls=odometer.calls,
    )
