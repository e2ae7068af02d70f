"""The provisioned floors of all functions: feeds what `floor` decides on, each second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from penstock import clock
from penstock.provision import ProvisionConfig
from workers.cards import Card
from workers.floor import Floor, Reading, floor, observe
from workers.function_pool import FunctionPool
from workers.instances import Instance
from workers.rooms import Rooms

_NONE = ProvisionConfig()


class Floors:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._put: Mapping[str, ProvisionConfig] = {}
        self._readings: dict[str, Mapping[str, Reading]] = {}

    def put(self, configs: Mapping[str, ProvisionConfig]) -> None:
        """The configs that were put over the API; each comes before that of its function's spec."""
        self._put = configs

    def config(self, pool: FunctionPool) -> ProvisionConfig:
        if not pool.function.spec.web_server:
            return _NONE  # nor what was put before it became one of which nothing can be kept warm
        return self._put.get(pool.function.name) or pool.function.spec.provision or _NONE

    def configured(self, pool: FunctionPool) -> bool:
        return self.config(pool) is not _NONE

    def observe(self, pool: FunctionPool, queued: int, running: int) -> None:
        """Once a second: what its policies read now."""
        if not self.configured(pool):
            return
        config = self.config(pool)
        readings = self._readings[pool.function.name] = self._read(pool, queued + running)
        observe(config, readings, pool.floor_memory, clock.now_ms() / 1000)

    def of(self, pool: FunctionPool) -> Floor:
        """How many instances it should have whatever the demand, and why."""
        config, minimum = self.config(pool), pool.function.spec.scaling.min
        return floor(
            config, minimum, self._readings.get(pool.function.name, {}), pool.floor_memory, clock.now_ms() / 1000
        )

    def _read(self, pool: FunctionPool, demand: int) -> Mapping[str, Reading]:
        provisioned = [one for one in pool.current() if one.provisioned and one.serves]
        slots = pool.function.spec.slots
        busy = sum(one.in_flight for one in provisioned) / (len(provisioned) * slots) if provisioned else None
        return {
            "ProvisionedConcurrencyUtilization": Reading(
                value=busy, work=demand / slots, problem="no provisioned instance is ready"
            ),
            "GPUSmUtilization": self._most(provisioned, lambda card: card.sm),
            "GPUMemoryUtilization": self._most(provisioned, _memory_share),
            "GPUDecoderUtilization": self._most(provisioned, lambda card: card.decoder),
            "GPUEncoderUtilization": self._most(provisioned, lambda card: card.encoder),
            "CPUUtilization": Reading(value=None, problem="the CPU of instances is not measured"),
        }

    def _most(self, instances: Iterable[Instance], figure: Callable[[Card], float | None]) -> Reading:
        """The largest over the cards of these instances; unknown on one of them is unknown."""
        cards = [self._rooms.cards.get(one.card or "") for one in instances]
        values = [None if card is None or card.problem else figure(card) for card in cards]
        known = [value for value in values if value is not None]
        if not cards:
            return Reading(value=None, problem="no provisioned instance is ready")
        if len(known) < len(values):
            return Reading(value=None, problem="the GPU does not show it")
        return Reading(value=max(known))


def _memory_share(card: Card) -> float | None:
    return None if card.free is None or not card.memory else 1 - card.free / card.memory
