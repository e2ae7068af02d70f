"""The instances of one function, of its current revision and of older ones that still serve or drain."""

from __future__ import annotations

from penstock.function import Function
from penstock.invocation import Failure, FailureCode
from workers.coldstarts import ColdStarts
from workers.crashloop import CrashLoop
from workers.floor import Floor, FloorMemory
from workers.history import Memory
from workers.instances import Instance

_PAUSED = Failure(code=FailureCode.PAUSED, message="the function was paused by an operator before it was run")


class FunctionPool:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.instances: dict[str, Instance] = {}
        self.prepared = False
        self.problem: Failure | None = None
        """Why its latest revision could not be prepared; None: it was, or has not been tried."""
        self.deleted = False
        self.crash = CrashLoop()
        self.memory = Memory()
        self.coldstarts = ColdStarts()
        self.floor_memory = FloorMemory()
        self.floor: Floor | None = None
        """As it was last decided; None: not yet."""
        self.paused: int | None = None
        """When an operator paused it, in milliseconds since 1970; None: it is not paused."""
        self.warm = 0
        """Instances that somebody wants to have started, whatever the demand; 0 again once they are."""
        self.unqueued = True
        """Nothing waits for it."""
        self.had_instance = float("-inf")
        """Monotonic: when it was last seen with one."""

    def blocked(self) -> Failure | None:
        """Why calls should not wait for it; None: they may."""
        if self.paused is not None:
            # Those that waited already, or that a gateway took which had not heard of the pause yet.
            return _PAUSED
        if self.crash.open and not self.outdated():
            return self.crash.failure
        return None if self.prepared else self.problem

    @property
    def settled(self) -> bool:
        """Nothing of its own hinders it: what is decided will be done."""
        return self.prepared and self.crash.failure is None and self.paused is None

    def current(self) -> list[Instance]:
        """Instances of the current revision that serve or will."""
        digest = self.function.digest
        return [one for one in self._staying() if one.function.digest == digest and (one.serves or one.starting)]

    def outdated(self) -> list[Instance]:
        """Instances of older revisions that serve until those of the current one are ready."""
        digest = self.function.digest
        return [one for one in self._staying() if one.function.digest != digest and one.serves]

    def pick(self) -> Instance | None:
        """Where the next call goes: to the current revision if it has a slot, there to provisioned instances
        first; then to the fullest, then to the one that was idle for the shortest time, so that the others can
        reach their idle timeout."""
        free = [one for one in self.current() if one.has_slot] or [one for one in self.outdated() if one.has_slot]
        return max(free, key=lambda one: (one.provisioned, one.in_flight, one.idle_since), default=None)

    def provision(self, floor: int) -> None:
        """Marks as many as the floor asks for, the oldest first; marks stay where they are while it allows."""
        current = sorted(self.current(), key=lambda one: (not one.provisioned, not one.serves, one.started_at))
        for place, one in enumerate(current):
            one.provisioned = place < floor

    def _staying(self) -> list[Instance]:
        return [one for one in self.instances.values() if not one.leave.is_set()]
