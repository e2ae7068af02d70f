"""The scripts accept exactly the transitions of penstock.invocation.MOVES, in every state, for every event.

A script finds its id through a set (the queue, the leases, the deadlines). Here the id is put into that set
whatever its state, so that it is the record's state alone which decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from penstock.invocation import MOVES, Event, Invocation, Kind, Outcome, State
from tests.unit.penstock.store.world import World


@dataclass(frozen=True, kw_only=True)
class Way:
    """One script through which an event can happen."""

    event: Event
    kind: Kind
    call: Callable[[World, Invocation], Awaitable[object]]
    states: frozenset[State] = frozenset(State)
    """Where this script serves the event; elsewhere another does."""


async def take(world: World, invocation: Invocation) -> None:
    await world.put("queued", invocation.id, 0)
    await world.take()


def finish(event: Event) -> Callable[[World, Invocation], Awaitable[object]]:
    async def call(world: World, invocation: Invocation) -> None:
        await world.finish(invocation, Outcome(event=event))

    return call


async def reject(world: World, invocation: Invocation) -> None:
    await world.put("calls", invocation.id, 0)
    await world.reject_held()


async def cancel(world: World, invocation: Invocation) -> None:
    await world.cancel(invocation.id)


async def expire(world: World, invocation: Invocation) -> None:
    await world.put("deadlines", invocation.id, 1)
    await world.sweep()


async def retry(world: World, invocation: Invocation) -> None:
    await world.retry(invocation)


async def release(world: World, invocation: Invocation) -> None:
    await world.release(invocation)


async def lose(world: World, invocation: Invocation) -> None:
    await world.put("running", invocation.id, 0)
    await world.sweep()


RUNNING = frozenset({State.RUNNING})
WAYS = (
    Way(event=Event.TAKE, kind="job", call=take),
    Way(event=Event.SUCCEED, kind="job", call=finish(Event.SUCCEED)),
    Way(event=Event.FAIL, kind="job", call=finish(Event.FAIL), states=RUNNING),
    Way(event=Event.FAIL, kind="call", call=lose, states=RUNNING),
    Way(event=Event.FAIL, kind="call", call=reject, states=frozenset({State.QUEUED})),
    Way(event=Event.TIME_OUT, kind="job", call=finish(Event.TIME_OUT)),
    Way(event=Event.CANCEL, kind="job", call=cancel),
    Way(event=Event.EXPIRE, kind="job", call=expire),
    Way(event=Event.RETRY, kind="job", call=retry),
    Way(event=Event.RELEASE, kind="job", call=release),
    Way(event=Event.LOSE, kind="job", call=lose),
)


async def arrive(world: World, state: State, kind: Kind) -> Invocation:
    """An invocation in this state, with the current token wherever it has run."""
    if state in (State.QUEUED, State.EXPIRED):
        invocation_id = await world.submit(kind=kind, max_age_ms=60_000)
        if state is State.EXPIRED:
            await world.later(61_000).sweep()
        return await world.get(invocation_id)
    run = await world.run(kind=kind)
    endings = {
        State.SUCCEEDED: Event.SUCCEED,
        State.FAILED: Event.FAIL,
        State.TIMED_OUT: Event.TIME_OUT,
        State.CANCELLED: Event.CANCEL,
    }
    if state in endings:
        await world.finish(run, Outcome(event=endings[state]))
    return run


def _name(way: Way) -> str:
    return f"{way.event}-{way.call.__name__}-{way.kind}"


@pytest.mark.parametrize("way", WAYS, ids=_name)
@pytest.mark.parametrize("state", State)
async def test_a_script_moves_a_record_as_the_table_says_or_not_at_all(
    world: World, state: State, way: Way
) -> None:
    invocation = await arrive(world, state, way.kind)
    assert await world.state(invocation.id) is state
    before = await world.record(invocation.id)

    await way.call(world, invocation)

    target = MOVES.get(state, {}).get(way.event)
    if target is not None and state in way.states:
        assert await world.state(invocation.id) is target
    else:
        assert await world.record(invocation.id) == before


def test_every_transition_of_the_table_has_a_script() -> None:
    allowed = {(state, event) for state, row in MOVES.items() for event in row}
    served = {(state, way.event) for way in WAYS for state in way.states}

    assert allowed <= served
