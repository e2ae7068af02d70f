"""The scripts against a small model of them: whatever is called, in whatever order, twice or too late.

The model is a dictionary, and its rules are those of penstock/invocation.py. After each call the state of
every invocation, the sets that hold it and the figures of a sweep must be the model's. Calls are repeated at
once, as after a lost reply, and much later, as by a worker that was paused.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from penstock import keys
from penstock.batch import FILL_MS, Seal
from penstock.errors import BatchSealed, QueueFull, Stale
from penstock.invocation import BANDS, DEAD_STATES, Event, Invocation, Kind, Member, Outcome, State, move
from penstock.store import LEASE_MS, Sweep
from tests.conftest import RedisServer
from tests.unit.penstock.store.world import MINT, SETS, World, open_world

# No sum of steps comes closer than 3 s to a delay, an age or the lease of 10 s: a slow machine changes nothing.
STEPS_MS = (7_000, 63_000, 3_598_000)
DELAYS_MS = (0, 24_000)
AGES_MS = (101_000, 86_397_000)
ENDINGS = (Event.SUCCEED, Event.FAIL, Event.TIME_OUT)


@dataclass(kw_only=True)
class Shadow:
    """What the model knows of one invocation. Times are milliseconds since the start."""

    kind: Kind
    order: tuple[int, int, str]
    """Band, tag and id: who is taken first."""
    age: int
    expires: int
    attempts: int
    callback: bool
    place: str | None
    """queued, delayed or running; None: passed over as too old to be taken, or ended."""
    until: int = 0
    """When its delay or its lease runs out."""
    state: State = State.QUEUED
    token: int = 0
    deferrals: int = 0
    epoch: int = 0
    """Of the leader that took it last."""
    batch: str | None = None

    def go(self, event: Event, place: str | None = None, until: int = 0) -> None:
        self.state = move(self.state, event)
        self.place, self.until = place, until

    def sets(self) -> set[str]:
        """The sets that hold it."""
        sets = {self.place} if self.place else set()
        sets |= {"deadlines"} if self.state is State.QUEUED else set()
        sets |= {"calls"} if self.kind == "call" and self.place == "queued" else set()
        sets |= {"jobs"} if self.kind == "job" else set()
        return sets


@dataclass(kw_only=True)
class ShadowBatch:
    """What the model knows of a batch. Times are milliseconds since the start."""

    until: int
    """When it is abandoned, unless it was sealed."""
    sealed: Seal | None = None


class Scripts(RuleBasedStateMachine):
    """The store, driven as its callers drive it, and as they do when things go wrong."""

    ids = Bundle("ids")
    runs = Bundle("runs")
    opened = Bundle("opened")

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.resources = AsyncExitStack()
        self.world: World = self.wait(self.resources.enter_async_context(open_world(url, "modelled")))
        self.started = time.monotonic()
        self.now = 0
        self.leader = "leader-1"
        self.shadows: dict[str, Shadow] = {}
        self.batches: dict[str, ShadowBatch] = {}
        self.takes: dict[str, tuple[str, str, int]] = {}
        """Nonce, id and token of each slot's last take."""
        self.submits = 0
        self.virtual: dict[int, int] = {}
        """Virtual time of each band."""
        self.last: dict[tuple[int, str], int] = {}
        """Tag of each party's last in each band."""
        self.seen: dict[str, tuple[State, int]] = {}
        """State and token that Redis last had, whatever the model says."""

    def wait(self, work: Any) -> Any:
        """What a coroutine returns."""
        return self.runner.run(work)

    def teardown(self) -> None:
        self.wait(self.world.redis.flushall())
        self.wait(self.resources.aclose())
        self.runner.close()

    def waiting(self, *, kind: Kind | None = None, place: str) -> int:
        return sum(shadow.place == place and kind in (None, shadow.kind) for shadow in self.shadows.values())

    def current(self, run: Invocation) -> Shadow | None:
        """What runs with this token; None if it is an old one."""
        shadow = self.shadows[run.id]
        return shadow if shadow.state is State.RUNNING and shadow.token == run.token else None

    # Rules: each does in the model what the script must have done, and compares what it returned.

    @rule(
        target=ids,
        kind=st.sampled_from(["job", "call"]),
        priority=st.sampled_from(list(BANDS)),
        delay_ms=st.sampled_from(DELAYS_MS),
        max_age_ms=st.sampled_from(AGES_MS),
        attempts=st.integers(1, 3),
        callback=st.booleans(),
        depth=st.sampled_from([3, 100]),
        party=st.sampled_from([None, "a", "b"]),
        twice=st.booleans(),
    )
    def submit(
        self,
        kind: Kind,
        priority: str,
        delay_ms: int,
        max_age_ms: int,
        attempts: int,
        callback: bool,
        depth: int,
        party: str | None,
        twice: bool,
    ) -> Any:
        submission = self.world.submission(
            kind=kind,
            priority=priority,
            delay_ms=delay_ms,
            max_age_ms=max_age_ms,
            attempts=attempts,
            callback="https://example.com" if callback else None,
            party=party,
        )
        waits = self.waiting(kind=kind, place="queued")
        if kind == "job":
            waits += self.waiting(place="delayed")
        if waits >= depth:
            with pytest.raises(QueueFull):
                self.wait(self.world.store.queue.submit(submission, depth=depth))
            return multiple()

        ahead = self.waiting(place="queued")
        order = (BANDS[priority], self.tag(BANDS[priority], party), submission.id)
        assert self.wait(self.world.store.queue.submit(submission, depth=depth)).ahead == ahead
        if twice:
            assert self.wait(self.world.store.queue.submit(submission, depth=depth)).ahead == 0
        self.shadows[submission.id] = Shadow(
            kind=kind,
            order=order,
            age=max_age_ms,
            expires=self.now + delay_ms + max_age_ms,
            attempts=attempts,
            callback=callback,
            place="delayed" if delay_ms else "queued",
            until=self.now + delay_ms,
        )
        return submission.id

    def tag(self, band: int, party: str | None) -> int:
        """Where the next one stands: behind all; or where its band's head does, or behind its party's last."""
        self.submits += 1
        if party is None:
            return self.submits
        heads = [one.order[1] for one in self.shadows.values() if one.place == "queued" and one.order[0] == band]
        virtual = max(self.virtual.get(band, 0), min(heads)) if heads else self.submits
        tag = max(virtual, self.last.get((band, party), 0) + 1)
        self.virtual[band], self.last[band, party] = virtual, tag
        return tag

    @rule(target=opened)
    def open_batch(self) -> str:
        batch = MINT.new_batch("modelled")
        options: Any = {"lines": 1, "callback": "https://example.com", "key": None}
        self.wait(self.world.store.batches.open("modelled", batch, **options))
        self.batches[batch] = ShadowBatch(until=self.now + FILL_MS)
        return batch

    @rule(target=ids, batch=opened, attempts=st.integers(1, 3), delay_ms=st.sampled_from(DELAYS_MS))
    def submit_to_batch(self, batch: str, attempts: int, delay_ms: int) -> Any:
        index = sum(shadow.batch == batch for shadow in self.shadows.values())
        submission = self.world.submission(
            id=MINT.member("modelled", batch, index),
            member=Member(batch=batch, index=index),
            attempts=attempts,
            delay_ms=delay_ms,
        )
        submit = self.world.store.queue.submit(submission, depth=1_000)
        if self.batches[batch].sealed:
            with pytest.raises(BatchSealed):
                self.wait(submit)
            return multiple()
        assert self.wait(submit).ahead == self.waiting(place="queued")
        self.shadows[submission.id] = Shadow(
            kind="job",
            order=(BANDS["normal"], self.tag(BANDS["normal"], None), submission.id),
            age=submission.max_age_ms,
            expires=self.now + delay_ms + submission.max_age_ms,
            attempts=attempts,
            callback=False,
            place="delayed" if delay_ms else "queued",
            until=self.now + delay_ms,
            batch=batch,
        )
        return submission.id

    @rule(batch=opened, why=st.sampled_from([Seal.SUBMITTED, Seal.CANCELLED]), twice=st.booleans())
    def seal(self, batch: str, why: Seal, twice: bool) -> None:
        shadow = self.batches[batch]
        shadow.sealed = shadow.sealed or why
        for _ in range(1 + twice):
            assert self.wait(self.world.store.batches.seal("modelled", batch, why)) is shadow.sealed

    @rule(invocation_id=ids)
    def submit_again(self, invocation_id: str) -> None:
        again = self.world.submission(id=invocation_id)
        assert self.wait(self.world.store.queue.submit(again, depth=1)).ahead == 0

    @rule(target=runs, slot=st.sampled_from(["a", "b"]), twice=st.booleans())
    def take(self, slot: str, twice: bool) -> Any:
        number = int(self.takes[slot][0]) + 1 if slot in self.takes else 0
        return self.take_as(slot, str(number), twice)

    @rule(target=runs, slot=st.sampled_from(["a", "b"]))
    def take_again(self, slot: str) -> Any:
        nonce, invocation_id, token = self.takes.get(slot, ("0", "", 0))
        shadow = self.shadows.get(invocation_id)
        if shadow is None or shadow.state is not State.RUNNING or shadow.token != token:
            return self.take_as(slot, nonce, twice=False)
        run = self.wait(self.world.take(slot, nonce))
        assert (run.invocation.id, run.invocation.token) == (invocation_id, token)
        return multiple()

    def take_as(self, slot: str, nonce: str, twice: bool) -> Any:
        expected = self.pop()
        run = self.wait(self.world.take(slot, nonce))
        if expected is None:
            assert run is None
            return multiple()
        shadow = self.shadows[expected]
        shadow.go(Event.TAKE, "running", self.now + LEASE_MS)
        shadow.token += 1
        shadow.epoch = self.world.epoch
        self.takes[slot] = (nonce, expected, shadow.token)
        assert (run.invocation.id, run.invocation.token) == (expected, shadow.token)
        assert run.invocation.attempt == shadow.token - shadow.deferrals
        if twice:
            assert self.wait(self.world.take(slot, nonce)) == run
        return run.invocation

    def pop(self) -> str | None:
        """The id that is next; those before it that are too old are passed over."""
        ready = [name for name, shadow in self.shadows.items() if shadow.place == "queued"]
        for name in sorted(ready, key=lambda name: self.shadows[name].order):
            if self.shadows[name].expires > self.now:
                return name
            self.shadows[name].place = None
        return None

    @rule(some=st.lists(runs, min_size=1, max_size=3, unique_by=lambda run: run.id))
    def renew(self, some: list[Invocation]) -> None:
        stale = []
        for run in some:
            if shadow := self.current(run):
                shadow.until = self.now + LEASE_MS
            else:
                stale.append(run.id)
        assert self.wait(self.world.renew(*some)) == stale

    @rule(run=runs, event=st.sampled_from(ENDINGS), twice=st.booleans())
    def finish(self, run: Invocation, event: Event, twice: bool) -> None:
        first = self.current(run)
        if first:
            first.go(event)
        shadow = self.shadows[run.id]
        known = shadow.token == run.token and shadow.state.terminal
        ended: list[tuple[State, bool]] = []
        for said in (event, Event.FAIL) if twice else (event,):
            finish = self.world.store.queue.finish(
                run.function, run.id, run.token, Outcome(event=said), told=lambda *end: ended.append(end)
            )
            assert self.wait(finish) == (shadow.state if known else None)
        dead = shadow.kind == "job" and shadow.state in DEAD_STATES
        assert ended == ([(shadow.state, dead)] if first else []), "it is told once, by the call that ended it"

    @rule(run=runs, delay_ms=st.sampled_from(DELAYS_MS), twice=st.booleans())
    def retry(self, run: Invocation, delay_ms: int, twice: bool) -> None:
        shadow = self.current(run)
        if shadow:
            shadow.go(Event.RETRY, "delayed", self.now + delay_ms)
            shadow.expires = self.now + delay_ms + shadow.age
        assert self.wait(self.world.retry(run, delay_ms=delay_ms)) == bool(shadow)
        if twice:
            assert not self.wait(self.world.retry(run))

    @rule(run=runs, twice=st.booleans())
    def release(self, run: Invocation, twice: bool) -> None:
        shadow = self.current(run)
        if shadow:
            shadow.go(Event.RELEASE, "queued")
            shadow.expires = self.now + shadow.age
            shadow.deferrals += 1
        assert self.wait(self.world.release(run)) == bool(shadow)
        if twice:
            assert not self.wait(self.world.release(run))

    @rule(invocation_id=ids, only_queued=st.booleans(), twice=st.booleans())
    def cancel(self, invocation_id: str, only_queued: bool, twice: bool) -> None:
        shadow = self.shadows[invocation_id]
        before = shadow.state
        done = before is State.QUEUED or (before is State.RUNNING and not only_queued)
        if done:
            shadow.go(Event.CANCEL)
        assert self.wait(self.world.cancel(invocation_id, only_queued=only_queued)) == (done, before)
        if twice:
            again = self.wait(self.world.cancel(invocation_id, only_queued=only_queued))
            assert again == (False, shadow.state)

    @rule(invocation_id=ids)
    def detach(self, invocation_id: str) -> None:
        shadow = self.shadows[invocation_id]
        if not shadow.state.terminal:
            shadow.kind = "job"
        assert self.wait(self.world.store.queue.detach("modelled", invocation_id)) is shadow.state

    @rule()
    def reject_held(self) -> None:
        held = [shadow for shadow in self.shadows.values() if "calls" in shadow.sets()]
        for shadow in held:
            shadow.go(Event.FAIL)
        assert self.wait(self.world.reject_held()) == len(held)

    @rule(requeue=st.booleans(), twice=st.booleans())
    def sweep(self, requeue: bool, twice: bool) -> None:
        for _ in range(1 + twice):
            expected = self.swept(requeue)
            found = self.wait(self.world.sweep(requeue=requeue))
            assert (found.oldest_ms is None) == (found.queued == 0)
            assert replace(found, oldest_ms=None) == expected

    def swept(self, requeue: bool) -> Sweep:
        """Does in the model what a sweep does, and counts as it does."""
        expired = requeued = failed = dead = 0
        for shadow in self.shadows.values():
            if shadow.state is State.QUEUED and shadow.expires <= self.now:
                shadow.go(Event.EXPIRE)
                expired += 1
                dead += shadow.kind == "job"
            elif shadow.place == "delayed" and shadow.until <= self.now:
                shadow.place = "queued"
            elif shadow.place == "running" and shadow.until <= (self.now if requeue else 0):
                again = shadow.kind == "job" and shadow.token - shadow.deferrals < shadow.attempts
                shadow.go(*((Event.LOSE, "queued") if again else (Event.FAIL,)))
                shadow.expires = self.now + shadow.age
                requeued, failed = requeued + again, failed + (not again)
                dead += shadow.kind == "job" and not again
        for batch in self.batches.values():
            if batch.until <= self.now:
                batch.sealed = batch.sealed or Seal.ABANDONED
        return Sweep(
            queued=self.waiting(place="queued"),
            held=self.waiting(kind="call", place="queued"),
            running=self.waiting(place="running"),
            delayed=self.waiting(place="delayed"),
            oldest_ms=None,
            expired=expired,
            requeued=requeued,
            failed=failed,
            arrived=len(self.shadows),
            dead=dead,
        )

    @rule(step_ms=st.sampled_from(STEPS_MS))
    def advance(self, step_ms: int) -> None:
        self.now += step_ms
        # What the calls so far have really taken is taken off, so that the two clocks do not drift apart.
        real_ms = int((time.monotonic() - self.started) * 1000)
        self.wait(self.world.store.close())
        self.world = self.world.later(self.now - real_ms)

    @rule(seen_dying=st.booleans())
    def another_leads(self, seen_dying: bool) -> None:
        leadership = self.world.store.leadership
        if seen_dying:
            mine = [
                shadow
                for shadow in self.shadows.values()
                if shadow.place == "running" and shadow.epoch == self.world.epoch
            ]
            for shadow in mine:
                shadow.until = 0
            assert self.wait(leadership.bury(self.leader)) == len(mine)
        else:
            assert self.wait(leadership.resign(self.leader)) == self.world.epoch
        deposed = self.world
        self.leader = f"leader-{deposed.epoch + 1}"
        self.world = replace(deposed, epoch=self.wait(leadership.lead(self.leader)))
        assert self.world.epoch == deposed.epoch + 1
        for refused in (deposed.take(), deposed.sweep()):
            with pytest.raises(Stale):
                self.wait(refused)

    # Invariants: what Redis holds after each rule.

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        records, sets, active, outbox = self.wait(self.read())
        owed = {member for member in outbox if not member.endswith(" batch")}
        assert outbox - owed == {f"modelled {name} batch" for name in self.batches if self.has_ended(name)}

        assert set(records) == set(self.shadows)
        for name, shadow in self.shadows.items():
            assert records[name] == (shadow.state, shadow.token, shadow.deferrals, shadow.kind)
            assert {label for label, members in sets.items() if name in members} == shadow.sets()
        ready = [name for name, shadow in self.shadows.items() if shadow.place == "queued"]
        assert sets["queued"] == sorted(ready, key=lambda name: self.shadows[name].order)
        assert sum(map(len, sets.values())) == sum(len(shadow.sets()) for shadow in self.shadows.values())
        ended = {name for name, shadow in self.shadows.items() if shadow.state.terminal and shadow.callback}
        assert owed == {f"modelled {name} completed" for name in ended}
        sealed = all(batch.sealed for batch in self.batches.values())
        if not sealed or not all(shadow.state.terminal for shadow in self.shadows.values()):
            assert active == ["modelled"], "a function with work is never forgotten"

        for name, (state, token, _, _) in records.items():
            before, token_before = self.seen.get(name, (state, token))
            assert not before.terminal or (state, token) == (before, token_before)
            assert token >= token_before
            self.seen[name] = (state, token)

    @invariant()
    def batches_count_what_the_model_counts(self) -> None:
        for name, batch in self.batches.items():
            found = self.wait(
                self.world.store.batches.get("modelled", name, lambda one: self.shadows[one].batch == name)  # noqa: B023
            )
            states = [shadow.state for shadow in self.shadows.values() if shadow.batch == name]
            assert found.counts == {state: states.count(state) for state in State}
            assert (found.accepted, found.seal) == (len(states), batch.sealed)
            assert (found.finished_at is not None) == self.has_ended(name)

    def has_ended(self, name: str) -> bool:
        jobs = [shadow for shadow in self.shadows.values() if shadow.batch == name]
        return self.batches[name].sealed is not None and all(shadow.state.terminal for shadow in jobs)

    async def read(self) -> tuple[dict[str, tuple[State, int, int, str]], dict[str, list[str]], Any, Any]:
        """All that the scripts keep, in one round trip."""
        names = list(self.shadows)
        async with self.world.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(keys.record("modelled", name), "state", "token", "deferrals", "kind")
            for key in SETS.values():
                pipe.zrange(key("modelled"), 0, -1)
            pipe.zrange(keys.ACTIVE, 0, -1)
            pipe.zrange(keys.OUTBOX, 0, -1)
            replies = await pipe.execute()
        records = {
            name: (State(state), int(token or 0), int(deferrals or 0), kind or "job")
            for name, (state, token, deferrals, kind) in zip(names, replies, strict=False)
        }
        *members, active, owed = replies[len(names) :]
        return records, dict(zip(SETS, members, strict=True)), active, set(owed)


@pytest.mark.timeout(600)  # finding the shortest way to a failure takes minutes
@pytest.mark.parametrize("examples", [100, pytest.param(2_000, marks=pytest.mark.long)])
def test_the_scripts_do_what_the_model_does(redis_server: RedisServer, examples: int) -> None:
    redis_server.cli("FLUSHALL")
    run_machine(
        lambda: Scripts(redis_server.url),
        settings=settings(
            max_examples=examples, stateful_step_count=50, deadline=None, report_multiple_bugs=False
        ),
    )
