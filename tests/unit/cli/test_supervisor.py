"""The processes of `penstock up`: started again when they die, and never left behind. Also what it keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from penstock.cli.embedded import lock
from penstock.cli.supervisor import Child
from penstock.cli.up import _secret_file
from penstock.errors import ConfigurationError
from tests.unit.workers.waiting import until, until_now

SLEEP = ("sleep", "1000")
MakeChild = Callable[..., Child]


@pytest.fixture
async def child() -> AsyncIterator[MakeChild]:
    """`child(command, …)`: started, supervised, and gone after the test."""
    made: list[Child] = []
    watching: list[asyncio.Task[None]] = []

    def child(*command: str, **options: object) -> Child:
        one = Child("child", lambda: command, dict(os.environ), **options)  # type: ignore[arg-type]
        one.start()
        made.append(one)
        watching.append(asyncio.create_task(one.supervise()))
        return one

    yield child
    for task in watching:
        task.cancel()
    for one in made:
        one.signal(signal.SIGKILL)


def pid(child: Child) -> int:
    assert child._process is not None
    return child._process.pid


def alive(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_it_runs_and_is_stopped(child: MakeChild) -> None:
    one = child(*SLEEP)
    assert one.exit_code is None
    await asyncio.wait_for(one.stop(), 5)
    assert one.exit_code == -signal.SIGTERM
    assert not alive(pid(one))


async def test_it_is_started_again_when_it_dies(child: MakeChild, caplog: pytest.LogCaptureFixture) -> None:
    one = child(*SLEEP)
    first = pid(one)
    os.kill(first, signal.SIGKILL)

    async def again() -> bool:
        return pid(one) != first and one.exit_code is None

    await until(again, "it runs again")
    assert caplog.messages == ["child died with exit code -9; starting it again"]


async def test_what_it_left_is_looked_after_before_it_is_started_again(child: MakeChild) -> None:
    seen: list[tuple[int | None, int]] = []

    async def bury() -> None:
        seen.append((one.exit_code, pid(one)))

    one = child(*SLEEP, on_death=bury)
    first = pid(one)
    os.kill(first, signal.SIGKILL)

    async def again() -> bool:
        return pid(one) != first

    await until(again, "it runs again")
    assert seen == [(-9, first)]


async def test_one_that_dies_again_and_again_is_started_after_longer_and_longer_pauses(child: MakeChild) -> None:
    loop = asyncio.get_running_loop()
    deaths: list[float] = []

    async def note() -> None:
        deaths.append(loop.time())

    child("false", on_death=note)

    async def four() -> bool:
        return len(deaths) >= 4

    await until(four, "it died four times")
    first, second, third = (later - earlier for earlier, later in pairwise(deaths[:4]))
    assert first >= 0.1
    assert second >= 0.2
    assert third >= 0.4


async def test_one_that_is_stopped_is_not_started_again(child: MakeChild) -> None:
    one = child(*SLEEP)
    first = pid(one)
    await one.stop()
    await asyncio.sleep(0.3)  # longer than the first pause
    assert pid(one) == first


async def test_one_that_is_stopped_while_it_waits_for_its_next_start_stays_stopped(child: MakeChild) -> None:
    died = asyncio.Event()

    async def note() -> None:
        died.set()

    one = child(*SLEEP, on_death=note)
    first = pid(one)
    os.kill(first, signal.SIGKILL)
    await died.wait()
    await asyncio.wait_for(one.stop(), 5)
    await asyncio.sleep(0.3)  # longer than the first pause
    assert pid(one) == first, "it was started again after it was stopped"


async def test_ctrl_c_reaches_only_who_supervises(child: MakeChild) -> None:
    one = child(*SLEEP)
    assert os.getpgid(pid(one)) != os.getpgid(0)
    assert os.getsid(pid(one)) == os.getsid(0)


async def test_a_signal_reaches_its_whole_group(child: MakeChild, tmp_path: Path) -> None:
    one = child("sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")

    async def written() -> str:
        file = tmp_path / "pid"
        return file.read_text().strip() if file.exists() else ""

    grandchild = int(await until(written, "the grandchild runs"))
    one.signal(signal.SIGTERM)

    async def gone() -> bool:
        return not alive(grandchild)

    await until(gone, "the grandchild is gone")


def test_it_dies_with_who_supervises(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from pathlib import Path
from penstock.cli.supervisor import Child

async def main():
    child = Child("child", lambda: {SLEEP!r}, dict(os.environ))
    child.start()
    Path({str(tmp_path / "pid")!r}).write_text(str(child._process.pid))
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    supervisor = subprocess.Popen([sys.executable, "-c", code])
    file = tmp_path / "pid"
    child = int(until_now(lambda: file.exists() and file.read_text(), "the child runs"))
    assert alive(child)
    supervisor.kill()
    supervisor.wait()
    until_now(lambda: not alive(child), "the child is gone too")


# What `penstock up` keeps in its data-dir.


def test_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    assert _secret_file(file, "first") == "first"
    assert _secret_file(file, "second") == "first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_a_crash_left_empty_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()  # made, and the power went before it was written
    assert _secret_file(tmp_path / "secret", "fresh") == "fresh"


def test_two_never_share_a_data_dir(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(ConfigurationError, match="another `penstock up` uses"):
        lock(tmp_path)
    with lock(tmp_path):
        pass
