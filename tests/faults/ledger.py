"""The ledger of a fault test: what was acknowledged, what came of it, and how often it was run.

At the end of every test: nothing acknowledged is lost, each job has one visible result, which is its own and never
changes. Executions are counted in a file that the function itself writes, not by what Penstock says.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from tests.e2e.harness import Json
from tests.faults.deployment import Deployment


@dataclass(frozen=True)
class Refusal:
    at: float
    status: int
    """0: no answer at all."""
    retry_after: str | None
    code: str | None


@dataclass
class Ledger:
    stack: Deployment
    function: str = "work"
    acknowledged: dict[str, int] = field(default_factory=dict)
    """id -> n, the job's own number."""
    refused: list[Refusal] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _ended: dict[str, tuple[Json, int, bytes]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """Ids of which a second result was seen."""
    """How each was first seen to have ended: record, status and body of its result."""

    def number(self) -> int:
        return next(self._numbers)

    def submit(
        self,
        seconds: float = 0.0,
        *,
        headers: Mapping[str, str] | None = None,
        n: int | None = None,
        **more: object,
    ) -> str | None:
        """An async job; its id if it was acknowledged."""
        number = self.number() if n is None else n
        try:
            reply = requests.post(
                self.stack.path(self.function),
                json={"n": number, "seconds": seconds, **more},
                headers={"Prefer": "respond-async", **(headers or {})},
                timeout=30,
            )
        except requests.RequestException:
            self.refused.append(Refusal(time.time(), 0, None, None))
            return None
        if reply.status_code != 202:
            code = reply.json().get("code")
            self.refused.append(Refusal(time.time(), reply.status_code, reply.headers.get("Retry-After"), code))
            return None
        invocation: str = reply.json()["id"]
        self.acknowledged[invocation] = number
        return invocation

    def submits(self, jobs: int, seconds: float = 0.0, **more: object) -> list[str]:
        """Several, all of which must be acknowledged."""
        found = [self.submit(seconds, **more) for _ in range(jobs)]  # type: ignore[arg-type]
        assert None not in found, self.refused
        return [one for one in found if one is not None]

    @contextmanager
    def load(self, *, threads: int = 4, seconds: float = 0.02, pause: float = 0.02) -> Iterator[None]:
        """Submits from several threads for as long as the context lasts; `seconds` is the mean of each job's."""
        over = threading.Event()

        def client() -> None:
            while not over.wait(pause):
                self.submit(random.uniform(0, 2 * seconds))

        clients = [threading.Thread(target=client, name=f"client {i}") for i in range(threads)]
        for one in clients:
            one.start()
        try:
            yield
        finally:
            over.set()
            for one in clients:
                one.join()

    # What the function itself wrote

    def lines(self, what: str) -> list[tuple[int, int, float]]:
        """(n, attempt, time) of each start or end."""
        if not self.stack.ledger.exists():
            return []
        rows = (line.split() for line in self.stack.ledger.read_text().splitlines())
        return [(int(row[1]), int(row[2]), float(row[3])) for row in rows if row[0] == what]

    def executions(self) -> Counter[int]:
        """n -> how often it was begun."""
        return Counter(n for n, _, _ in self.lines("start"))

    def started(self) -> int:
        return len(self.lines("start"))

    # What Penstock says

    def look(self, invocation: str) -> tuple[Json, int, bytes] | None:
        """How it ended, if it has; fails if that is not how it was seen to have ended before."""
        http = _session()
        record = http.get(self.stack.path(self.function, invocation), timeout=15)
        assert record.status_code == 200, f"{invocation} is lost: {record.status_code} {record.text}"
        if record.json()["finished_at"] is None:
            return None
        result = http.get(f"{self.stack.path(self.function, invocation)}/result", timeout=15)
        now = (record.json(), result.status_code, result.content)
        before = self._ended.setdefault(invocation, now)
        if before != now:
            self.changed.add(invocation)
        assert before == now, f"{invocation} changed after its end: {before} -> {now}"
        return now

    def glance(self) -> int:
        """How many have ended; each is compared with how it was seen before."""
        with ThreadPoolExecutor(4) as threads:
            return sum(found is not None for found in threads.map(self.look, list(self.acknowledged)))

    def check(self, within: float = 30.0, *, once: bool = False, states: tuple[str, ...] = ("succeeded",)) -> None:
        """0 lost, 1 visible result each. `once`: and no job was begun twice."""
        deadline = time.monotonic() + within

        def settled(invocation: str) -> None:
            while (end := self.look(invocation)) is None:
                assert time.monotonic() < deadline, f"{invocation} has not ended: {self._record(invocation)}"
                time.sleep(0.1)
            again = self.look(invocation)
            assert again == end
            record, status, body = end
            assert record["state"] in states, record
            if record["state"] == "succeeded":
                answer = requests.models.complexjson.loads(body)
                assert status == 200
                assert answer["n"] == self.acknowledged[invocation], "another job's result"
                assert answer["attempt"] == record["attempt"], "the result is that of another run"

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(settled, list(self.acknowledged)))
        if once:
            assert {n: runs for n, runs in self.executions().items() if runs > 1} == {}, "run more than once"

    def _record(self, invocation: str) -> Json:
        record: Json = requests.get(self.stack.path(self.function, invocation), timeout=15).json()
        return record


_of_thread = threading.local()


def _session() -> requests.Session:
    """One for each thread: a connection of its own for each of 40,000 looks takes minutes."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    session: requests.Session = _of_thread.session
    return session
