"""Runs as they go on, and the names under which the inner listener finds them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.blobs import Blobs
from penstock.errors import StoreUnavailable
from penstock.function import Function
from penstock.invocation import Invocation, Opening, Response
from penstock.store import Store
from workers.instances import Instance
from workers.narrator import Narrator
from workers.recording import Recording
from workers.tracing import UNTRACED, RunTrace
from workers.verdict import RunFacts

log = logging.getLogger(__name__)

_LINGERS = 2.0
"""Seconds that an answer can still be read after its run."""
_REMEMBERED = 4
"""Runs of an instance that a line of its log may still belong to."""
_INSTANCES = 256
"""How many are remembered so; those that ran a call longest ago are forgotten first."""
_CLOCK_STEP = 0.005
"""Seconds by which the engine's time of a line may be late."""


@dataclass(frozen=True)
class Shared:
    """What all live runs of a process use."""

    store: Store
    blobs: Blobs
    address: str
    """Where gateways read along: unix:/path or http://host:port."""
    reached: Callable[[Function], str]
    """Where instances of a function reach this process: http://host:port."""
    key: bytes
    """Signs the right to read one run, and to report its progress."""


class LiveRun:
    def __init__(
        self,
        shared: Shared,
        function: Function,
        invocation: Invocation,
        *,
        facts: Callable[[], RunFacts],
        final: Callable[[Response], bool],
        trace: RunTrace = UNTRACED,
    ) -> None:
        """`final`: no other run follows an answer that begins like this, so that a client may have it."""
        self._shared = shared
        self._function = function
        self._ran = facts
        self._final = final
        self.invocation = invocation
        self.trace = trace
        self.narrator = Narrator(shared.store, invocation, trace.ids)
        self.recording: Recording | None = None
        self.began = time.time()
        self.ended: float | None = None
        """Unix seconds; None: it goes on."""

    def facts(self) -> Mapping[str, object]:
        """What lines of our own log say of it."""
        one = self.invocation
        named = {"function": one.function, "invocation": one.id, "attempt": one.attempt, "instance": one.instance}
        return {**named, **self.trace.ids}

    @property
    def progress_url(self) -> str:
        """Where its instance reports how far it is."""
        return f"{self._shared.reached(self._function)}{self._path}/progress"

    @property
    def _path(self) -> str:
        """At the inner listener, with the right to use it."""
        one = self.invocation
        name = f"{one.function}/{one.id}/{one.token}"
        return f"/runs/{name}/{sign(self._shared.key, name)}"

    async def answers(self, response: Response, length: int | None) -> Recording:
        """A long or open-ended answer begins. `length` in bytes, None if the function did not say."""
        one, shared = self.invocation, self._shared
        told = self._final(response) and not response.lambda_style
        relayed = told and one.kind == "call"
        name = f"{one.function}/{one.id}.answer.{one.token}"
        recording = Recording(shared.blobs, name, awaited=relayed, durable=one.kind == "job")
        self.recording = recording  # before anybody is told: a reader may be here sooner than the store's reply
        # Who polls an open-ended answer of a job reads its events, and wants to know what kind of answer it is.
        begun = told and (relayed or length is None) and await self._open(response, length)
        if relayed and not begun:
            recording.expect_nobody()
        return recording

    async def _open(self, response: Response, length: int | None) -> bool:
        """Tells the gateways that wait; False if they cannot be told, and find the whole answer at its end."""
        one, facts = self.invocation, self._ran()
        opening = Opening(
            response=response,
            length=length,
            timeline={stage: ms for stage, ms in facts.timeline.items() if stage != "running"},
            cold_start=facts.cold_start,
            address=self._shared.address,
            path=self._path + "/answer",
        )
        try:
            return await self._shared.store.queue.open(one.function, one.id, one.token, opening)
        except StoreUnavailable as error:
            log.warning("%s/%s: its answer is not read along: %s", one.function, one.id, error)
            return False


class LiveRuns:
    """Those of this process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._runs: dict[tuple[str, str, int], LiveRun] = {}
        self._of_instance: dict[str, deque[LiveRun]] = {}

    def begin(self, run: LiveRun, instance: Instance) -> None:
        """It begins on an instance, whose log is the run's own if it runs one call at a time."""
        one = run.invocation
        self._runs[one.function, one.id, one.token] = run
        if instance.function.spec.slots == 1:
            runs = self._of_instance.pop(instance.id, None) or deque(maxlen=_REMEMBERED)
            runs.append(run)
            self._of_instance[instance.id] = runs  # the latest stands last
            if len(self._of_instance) > _INSTANCES:
                del self._of_instance[next(iter(self._of_instance))]

    def end(self, run: LiveRun) -> None:
        """Its outcome is written, or no longer ours to write."""
        run.ended = time.time()
        if run.recording is not None:
            run.recording.end()
        if run.recording is not None and run.recording.awaited:
            # A short run is over before its reader comes.
            asyncio.get_running_loop().call_later(_LINGERS, self._forget, run)
        else:
            self._forget(run)

    def _forget(self, run: LiveRun) -> None:
        one = run.invocation
        del self._runs[one.function, one.id, one.token]
        run.recording = None  # lines of its log may still come, and find the run

    def find(self, function: str, invocation_id: str, token: int, signature: str) -> LiveRun | None:
        """None if there is none, or if the signature is not that of this run."""
        expected = sign(self._key, f"{function}/{invocation_id}/{token}")
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            return None
        return self._runs.get((function, invocation_id, token))

    def heard(self, instance: str, line: str, at: float) -> None:
        """An instance wrote a line, at this Unix time."""
        for run in reversed(self._of_instance.get(instance, ())):
            if run.began <= at + _CLOCK_STEP:
                if run.ended is None or at <= run.ended + _CLOCK_STEP:
                    run.narrator.line(line)
                return


def new_key() -> bytes:
    """Another one for each leader: what the last one gave out is void."""
    return secrets.token_bytes(32)


def sign(key: bytes, name: str) -> str:
    """What gives the right to use what goes by this name."""
    return hmac.digest(key, name.encode(), hashlib.sha256).hex()[:32]
