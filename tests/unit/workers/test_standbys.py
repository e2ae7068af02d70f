"""How many containers stand by, of which revision, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import function
from tests.unit.workers.waiting import until
from workers.engines import EngineError
from workers.engines.standbys import Standbys


@dataclass
class Yard:
    """What an engine does for them."""

    made: list[str] = field(default_factory=list)
    there: dict[str, str] = field(default_factory=dict)
    """Instance -> digest of its revision."""
    fails: bool = False

    def __post_init__(self) -> None:
        self.standbys = Standbys(self.make, self.discard, cap=3, keep=600.0)

    async def make(self, what: object, instance: str) -> None:
        self.made.append(instance)
        if self.fails:
            raise EngineError("no space left on device")
        self.there[instance] = what.digest  # type: ignore[attr-defined]

    async def discard(self, instance: str) -> None:
        del self.there[instance]

    async def has(self, *digests: str) -> None:
        async def so() -> bool:
            return sorted(self.there.values()) == sorted(digests)

        await until(so, f"{digests} stand by")


@pytest.fixture
async def yard(hand: Hand) -> AsyncIterator[Yard]:
    yard = Yard()
    running = asyncio.create_task(yard.standbys.run())
    yield yard
    running.cancel()


async def test_as_many_as_the_spec_says_stand_by(yard: Yard) -> None:
    yard.standbys.want(function(path="/srv/echo", digest="a", scaling={"standby": 2}))
    await yard.has("a", "a")
    assert yard.standbys.counts() == {"echo": 2}


async def test_one_that_is_claimed_is_nobody_elses_and_another_is_made(yard: Yard) -> None:
    echo = function(path="/srv/echo", digest="a", scaling={"standby": 1})
    yard.standbys.want(echo)
    await yard.has("a")
    claimed = yard.standbys.claim(echo)
    assert claimed in yard.there
    assert yard.standbys.claim(echo) is None
    yard.standbys.used("echo")
    await yard.has("a", "a")
    assert yard.standbys.claim(echo) not in (None, claimed)


async def test_a_new_revision_replaces_them(yard: Yard) -> None:
    old = function(path="/srv/echo", digest="a", scaling={"standby": 1})
    yard.standbys.want(old)
    await yard.has("a")
    yard.standbys.want(function(path="/srv/echo", digest="b", scaling={"standby": 1}))
    await yard.has("b")
    assert yard.standbys.claim(old) is None


async def test_without_a_wish_and_without_its_function_none_stands_by(yard: Yard) -> None:
    echo = function(path="/srv/echo", digest="a", scaling={"standby": 1})
    yard.standbys.want(echo)
    await yard.has("a")
    yard.standbys.want(function(path="/srv/echo", digest="b"))
    await yard.has()
    yard.standbys.want(echo)
    await yard.has("a")
    yard.standbys.forget("echo")
    await yard.has()


async def test_there_are_never_more_than_the_cap(yard: Yard) -> None:
    yard.standbys.want(function("one", path="/srv/echo", digest="a", scaling={"standby": 2}))
    yard.standbys.want(function("two", path="/srv/echo", digest="b", scaling={"standby": 2}))
    await yard.has("a", "a", "b")
    yard.standbys.forget("one")
    await yard.has("b", "b")


async def test_those_of_a_function_that_nobody_calls_go_until_somebody_does(yard: Yard, hand: Hand) -> None:
    yard.standbys.want(function(path="/srv/echo", digest="a", scaling={"standby": 1}))
    await yard.has("a")
    hand.now += 601.0
    await yard.has()
    yard.standbys.used("echo")
    await yard.has("a")


async def test_one_that_died_is_replaced(yard: Yard) -> None:
    yard.standbys.want(function(path="/srv/echo", digest="a", scaling={"standby": 1}))
    await yard.has("a")
    (dead,) = yard.there
    del yard.there[dead]
    yard.standbys.lost(dead)
    await yard.has("a")
    assert dead not in yard.there


async def test_after_a_failure_it_waits_a_minute(yard: Yard, hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    yard.fails = True
    yard.standbys.want(function(path="/srv/echo", digest="a", scaling={"standby": 1}))

    async def failed() -> bool:
        return len(yard.made) == 1

    await until(failed, "it has tried")
    yard.fails = False
    yard.standbys.used("echo")
    assert "no standby of echo: no space left on device" in caplog.text
    hand.now += 59.0
    yard.standbys.used("echo")
    await asyncio.sleep(0)
    assert len(yard.made) == 1
    hand.now += 2.0
    yard.standbys.used("echo")
    await yard.has("a")


async def test_closing_removes_them_all(yard: Yard) -> None:
    yard.standbys.want(function(path="/srv/echo", digest="a", scaling={"standby": 2}))
    await yard.has("a", "a")
    await yard.standbys.close()
    assert yard.there == {}
