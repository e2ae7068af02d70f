"""A run for each call: the event on standard input and in the environment, the exit code as outcome."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.invocation import Request
from penstock.store import Store
from penstock.tracecontext import TraceContext
from tests.unit.workers.samples import function, live_run, run
from tests.unit.workers.waiting import until
from workers.answer import Answer, Malformed, NotSent
from workers.engines import EngineError, Order
from workers.engines.process import ProcessEngine
from workers.instances import Instance
from workers.once import EVENT, Once, variable

LIMIT = 300_000


@pytest.mark.parametrize("event", [b"", b"text", "żółw".encode(), b'{"a": 1}', b"x" * 100_000])
def test_an_event_that_is_text_and_fits_is_a_variable(event: bytes) -> None:
    assert variable(event) == {EVENT: event.decode()}


def test_the_longest_variable_that_linux_takes() -> None:
    longest = b"x" * (128 * 1024 - len(EVENT) - 2)
    assert EVENT in variable(longest)
    assert variable(longest + b"x") == {}


@pytest.mark.parametrize("event", [b"\xff", b"a\0b"])
def test_an_event_that_no_variable_can_hold_is_none(event: bytes) -> None:
    assert variable(event) == {}


class Runs:
    """Calls of one shell script, each as the pool and the dispatcher make it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.engine = ProcessEngine(data_dir=folder, deployment="tests of once")
        self.blobs = DirectoryBlobs(folder / "blobs")
        self.once = Once(self.engine, self.blobs, self._guard, max_answer=LIMIT)
        self.store = store
        self.instance: Instance | None = None

    async def call(self, command: list[str], event: bytes = b"", **changes: object) -> Answer:
        one = run(event, **changes)
        self.instance = Instance(function(command=command, web_server=False))
        await self.once.start(
            self.instance, Order(instance=self.instance.id, function=self.instance.function, epoch=1)
        )
        live = live_run(self.store, self.blobs, self.instance.function, one)
        return await self.once.call(self.instance, one, live)

    async def _guard(self) -> None:
        pass


@pytest.fixture
async def runs(store: Store, tmp_path: Path) -> AsyncIterator[Runs]:
    runs = Runs(store, tmp_path)
    yield runs
    await runs.engine.close(keep=False)


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


async def test_what_it_writes_is_the_answer_and_what_it_complains_of_the_log(runs: Runs) -> None:
    answer = await runs.call(sh("echo so it goes >&2; cat"), b"\x00event\xff")
    assert (answer.response.status, answer.body, answer.error) == (200, b"\x00event\xff", None)
    assert runs.instance is not None
    assert runs.instance.spent
    assert "so it goes" in await runs.engine.log_tail(runs.instance.id)


async def test_a_long_answer_is_a_blob(runs: Runs) -> None:
    answer = await runs.call(sh("head -c 200000 /dev/zero"))
    assert (answer.body, answer.response.size) == (b"", 200_000)
    assert answer.response.blob is not None
    assert await runs.blobs.read(answer.response.blob) == bytes(200_000)


async def test_a_large_event_comes_from_its_blob_and_need_not_be_read(runs: Runs) -> None:
    async with runs.blobs.writer("echo/1.request") as blob:
        await blob.write(b"x" * 3_000_000)
        await blob.commit()
    stored = Request(size=3_000_000, blob="echo/1.request")
    assert (await runs.call(sh("wc -c"), request=stored)).body.strip() == b"3000000"
    assert (await runs.call(sh("true"), request=stored)).body == b""
    with pytest.raises(Malformed, match="not in the blob folder"):
        await runs.call(sh("true"), request=Request(size=1, blob="echo/gone.request"))


async def test_its_environment_tells_of_the_call(runs: Runs) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    answer = await runs.call([sys.executable, "-c", code], b"event", token=2)
    seen = json.loads(answer.body)
    assert seen[EVENT] == "event"
    assert seen["PENSTOCK_ATTEMPT"] == "2"
    assert seen["PENSTOCK_PROGRESS_URL"].endswith("/progress")


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", -9)])
async def test_another_exit_code_than_0_is_the_functions_error(runs: Runs, script: str, code: int) -> None:
    answer = await runs.call(sh(f"echo part; {script}"))
    assert answer.error == f"Exit: the run ended with exit code {code}"


async def test_more_than_the_limit_is_no_answer_and_its_run_is_ended(runs: Runs) -> None:
    with pytest.raises(Malformed, match=f"longer than {LIMIT} bytes"):
        await runs.call(["yes"])
    assert runs.instance is not None
    assert await runs.once.lets_go(runs.instance, run().invocation)
    assert await runs.engine.exited(runs.instance.id) is not None


async def test_what_it_leaves_behind_goes_with_it(runs: Runs, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    answer = await runs.call(sh(f"sleep 300 & echo $! > {shlex.quote(str(pid))}; echo done"))
    assert answer.body == b"done\n"
    state = Path(f"/proc/{pid.read_text().strip()}/stat")

    async def gone() -> bool:
        return not state.exists() or " Z " in state.read_text()

    await until(gone, "what it left behind is dead")


async def test_a_program_that_cannot_be_started_fails_its_instance(runs: Runs) -> None:
    with pytest.raises(NotSent, match="cannot run /no/such/program"):
        await runs.call(["/no/such/program"])
    assert runs.instance is not None
    with pytest.raises(EngineError, match="cannot run"):
        await runs.once.watch(runs.instance)


async def test_a_run_is_told_which_trace_it_belongs_to(runs: Runs) -> None:
    script = ["sh", "-c", 'printf "%s|%s" "$TRACEPARENT" "$TRACESTATE"']
    told = await runs.call(
        script, trace=TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 0, "a=1")
    )
    assert told.body == b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00|a=1"
    assert (await runs.call(script)).body == b"|"
