"""What each function's pool looks like, written by the leader for gateways to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from penstock import keys
from penstock.errors import Stale
from penstock.instance import InstanceState, InstanceView
from penstock.store.connection import Connection
from penstock.store.known import known


@dataclass(frozen=True, kw_only=True)
class FloorView:
    """What a provision config comes to."""

    target: int
    """Instances that should be provisioned now."""
    reason: str
    error: str | None
    """Why there are fewer, or why a policy cannot see; None: nothing is wrong."""
    active: Sequence[str]
    """Names of the scheduled action and the policies that act."""
    pending: Sequence[str]
    """Names of those that will."""
    expired: Sequence[str]
    """Names of those that did."""


@dataclass(frozen=True, kw_only=True)
class PoolView:
    instances: Sequence[InstanceView]
    desired: int | None
    """Instances that the autoscaler wants; None: it has not decided yet."""
    reason: str
    """Why it wants that many, or why it cannot have them."""
    blocked: str | None = None
    """Why there is no place for the instances that it should have; None: there is, or it has all."""
    failure: str | None = None
    """Why its current revision does not start, again and again; None: it does, or has not been tried."""
    settled: bool = True
    """True if nothing hinders the decision: what is enqueued now will be acted on."""
    drain_rate: float | None
    """Calls that the pool ends per second when all its slots are busy; None: not known yet."""
    floor: FloorView | None = None
    """None: it has not been decided yet."""
    cold_starts: Mapping[str, Any] = field(default_factory=dict)
    """How often, how likely, and milliseconds by stage; empty: nothing is known yet."""

    @property
    def serving(self) -> int:
        """Instances that take calls."""
        return sum(one.state in _SERVING for one in self.instances)

    def replacing(self, revision: int) -> bool:
        """Older revisions than this one still take calls."""
        return any(one.state in _SERVING and one.revision < revision for one in self.instances)


_SERVING = (InstanceState.IDLE, InstanceState.BUSY)

EMPTY = PoolView(
    instances=(),
    desired=None,
    reason="no workers process has looked at it yet: nobody called it, or none runs",
    settled=False,
    drain_rate=None,
)


class Pools:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def show(self, function: str, view: PoolView, *, epoch: int) -> None:
        """Replaces what is shown. Raises Stale for a deposed leader."""
        fields: list[str] = ["decision", json.dumps(_decision(view))]
        for instance in view.instances:
            fields += [instance.id, json.dumps(asdict(instance))]
        reply = await self._connection.script("show", [keys.instances(function)], epoch, *fields)
        if reply == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")

    async def remember(self, function: str, learnt: Mapping[str, Any]) -> None:
        """Keeps what was learnt about a function for whoever leads next."""
        await self._connection.command("HSET", keys.memory(function), "learnt", json.dumps(learnt))

    async def recall(self, function: str) -> Mapping[str, Any] | None:
        """What was learnt about a function; None: nothing yet."""
        stored: bytes | None = await self._connection.command("HGET", keys.memory(function), "learnt")
        return json.loads(stored) if stored else None

    async def show_gpus(self, cards: Sequence[Mapping[str, Any]], *, epoch: int) -> None:
        """Replaces what is shown of the cards. Raises Stale for a deposed leader."""
        if await self._connection.script("show_gpus", [], epoch, json.dumps(cards)) == b"stale":
            raise Stale(f"epoch {epoch} no longer leads")

    async def gpus(self) -> list[dict[str, Any]]:
        """The cards as the leader last showed them."""
        stored: bytes | None = await self._connection.command("GET", keys.GPUS)
        cards: list[dict[str, Any]] = json.loads(stored) if stored else []
        return cards

    async def get(self, function: str) -> PoolView:
        """What the leader last showed."""
        stored: Mapping[bytes, bytes] = await self._connection.command("HGETALL", keys.instances(function))
        if not stored:
            return EMPTY
        instances = [_instance(json.loads(value)) for name, value in stored.items() if name != b"decision"]
        decision = json.loads(stored[b"decision"])
        floor = decision.pop("floor")
        return PoolView(
            instances=sorted(instances, key=lambda instance: instance.started_at),
            floor=FloorView(**known(FloorView, floor)) if floor else None,
            **known(PoolView, decision),
        )


def _decision(view: PoolView) -> dict[str, Any]:
    return {
        "desired": view.desired,
        "reason": view.reason,
        "settled": view.settled,
        "blocked": view.blocked,
        "failure": view.failure,
        "drain_rate": view.drain_rate,
        "floor": asdict(view.floor) if view.floor else None,
        "cold_starts": view.cold_starts,
    }


def _instance(fields: dict[str, Any]) -> InstanceView:
    return InstanceView(**{**known(InstanceView, fields), "state": InstanceState(fields["state"])})
