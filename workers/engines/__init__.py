"""What the pool asks of whatever runs containers: one small interface, one file per engine.

An engine knows nothing of queues or demand. It starts, stops, lists and follows instances; another engine
(Swarm, Kubernetes) is one more file that passes tests/contract.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock.errors import PenstockError
from penstock.function import Function


class EngineError(PenstockError):
    """The engine could not do it; the message is in its own words, fit for a user."""

    code = "start_failed"


@dataclass(frozen=True)
class Endpoint:
    """Where an instance is reached from the workers process."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """An instance to be started."""

    instance: str
    function: Function
    epoch: int
    """Of the leader that orders it; stays on it as a label."""
    gpu: str | None = None
    """UUID of the card that it gets; None: it gets none, and sees none."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of its environment, beside what its spec says and above it."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How an instance that is run once has ended."""

    exit_code: int | None
    """None: it is not known, or it has not ended."""
    output: bytes
    """What it wrote to its standard output."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An instance that runs already, as a new leader finds it."""

    instance: str
    function: str
    digest: str
    """Of the revision that it runs."""
    endpoint: Endpoint
    started_at: int
    """Milliseconds since 1970."""
    gpu: str | None = None
    """UUID of its card; None: it has none."""


class Engine(Protocol):
    @property
    def uses_images(self) -> bool:
        """False: functions are local processes, and `image` functions cannot run."""

    def hosts(self) -> Collection[str]:
        """Addresses of this machine under which instances reach it; known once the engine is open."""

    def host_for(self, function: Function) -> str:
        """The one of these for instances of this function."""

    def listen(self, hear: Callable[[str, bytes, float], None]) -> None:
        """Has `hear(instance, output, unix seconds)` called, in the event loop, with all that instances write; and
        with nothing for each that begins."""

    async def open(self) -> None:
        """Makes the engine ready and removes what earlier processes left in no usable state."""

    async def prepare(self, function: Function) -> str | None:
        """Makes what every instance of this revision needs (environment or image), once. Returns what its `image`
        is by content, the same for all of them; None if it has none. Raises EngineError."""

    async def start(self, order: Order) -> Endpoint:
        """Starts an instance; it may not listen yet when this returns. Raises EngineError and leaves nothing."""

    async def run(self, order: Order, event: bytes, *, limit: int) -> Ran:
        """Starts an instance without a server, gives it the event on standard input, and waits for its end, but
        not for one that writes more than `limit` bytes to its standard output. What is left is for `stop`.
        Raises EngineError."""

    def standby(self, function: Function) -> str | None:
        """Id of an instance that was made ahead, which `start` has only to wake: whoever asks must start it. None
        if there is none."""

    def standbys(self) -> Mapping[str, int]:
        """How many of these there are, by function."""

    def forget(self, name: str) -> None:
        """A function is no longer deployed."""

    async def stop(self, instance: str, *, grace: float) -> None:
        """SIGTERM, `grace` seconds, SIGKILL, and no trace. One that is gone already is no error."""

    async def exited(self, instance: str) -> int | None:
        """Waits until the instance has ended; its exit code, None if that is not known. At once for one that has
        ended a short while ago."""

    async def adoptable(self) -> Sequence[Found]:
        """Instances of this deployment that run although this process did not start them."""

    async def log_tail(self, instance: str) -> str:
        """The last lines that it wrote, 4 KiB at most; also for one that has just ended."""

    async def owns(self, instance: str, endpoint: Endpoint) -> bool:
        """True if it is the instance, and not a stranger, that listens at the endpoint."""

    async def close(self, *, keep: bool) -> None:
        """Ends all instances, or leaves them for adoption if `keep` and the engine can."""
