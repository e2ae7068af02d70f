"""Instances that are forked: like ones that were started anew, and gone with whoever forked them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.unit.workers.samples import function
from tests.unit.workers.waiting import until
from workers.engines import Endpoint, EngineError, Order
from workers.engines.process import ProcessEngine

HANDLER = """
import json, os, random, sys, threading

def handler(event, context):
    command = json.loads(event)
    if "exit" in command:
        os._exit(command["exit"])
    if "segfault" in command:
        import ctypes
        ctypes.string_at(0)
    numpy = sys.modules.get("numpy")
    return {
        "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "folder": os.getcwd(),
        "random": random.random(), "modules": sorted(sys.modules), "environment": dict(os.environ),
        "numpy": float(numpy.random.random()) if numpy else None,
    }
"""
LOADING = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""

Start = Callable[..., Awaitable[Endpoint]]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ProcessEngine]:
    engine = ProcessEngine(data_dir=tmp_path / "data", deployment=f"fork-{os.getpid()}")
    await engine.open()
    yield engine
    await engine.close(keep=False)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text(HANDLER)
    return folder


@pytest.fixture
def start(engine: ProcessEngine, code: Path) -> Start:
    """`await start("echo-1", preload=[…])`: where an instance of such a function serves."""

    async def start(instance: str, *, gpu: str | None = None, **spec: Any) -> Endpoint:
        made = function(path=str(code), handler="app:handler", **spec)
        await engine.prepare(made)
        return await engine.start(Order(instance=instance, function=made, epoch=1, gpu=gpu))

    return start


async def ask(endpoint: Endpoint, **command: Any) -> dict[str, Any]:
    """What its handler says. Raises aiohttp.ClientError if it ends instead."""
    url = f"http://{endpoint.host}:{endpoint.port}/invoke"
    async with aiohttp.ClientSession() as session, session.post(url, data=json.dumps(command).encode()) as reply:
        assert reply.status == 200, await reply.text()
        said: dict[str, Any] = await reply.json(content_type=None)
        return said


async def end(endpoint: Endpoint, **command: Any) -> None:
    with suppress(aiohttp.ClientError):
        await ask(endpoint, **command)


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def environment(pid: int) -> dict[str, str]:
    """As the system shows it."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs)


async def test_forks_of_one_parent_share_nothing_that_must_differ(start: Start) -> None:
    first = await ask(await start("echo-1", preload=["numpy"]))
    second = await ask(await start("echo-2", preload=["numpy"]))
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["pid"] != second["pid"]
    assert (first["group"], second["group"]) == (first["pid"], second["pid"]), "each can be killed as one"
    assert first["random"] != second["random"]
    assert first["numpy"] is not None, "it was preloaded: the handler does not import it"
    assert first["numpy"] != second["numpy"]


async def test_functions_without_preload_share_one_fork_server(start: Start, code: Path) -> None:
    said = [await ask(await start(f"echo-{n}", env={"WHO": str(n)})) for n in range(3)]
    assert len({one["parent"] for one in said}) == 1
    assert [one["environment"]["WHO"] for one in said] == ["0", "1", "2"]
    assert {one["folder"] for one in said} == {str(code)}


async def test_its_environment_is_its_own_also_as_the_system_shows_it(start: Start) -> None:
    said = await ask(await start("echo-1", gpu="GPU-1", env={"TOKEN": "t" * 3000}))
    own = said["environment"]
    assert (own["CUDA_VISIBLE_DEVICES"], own["PENSTOCK_INSTANCE"], own["TOKEN"]) == ("GPU-1", "echo-1", "t" * 3000)
    assert "PENSTOCK_ZYGOTE" not in own
    assert environment(said["pid"]) == own


async def test_what_the_interpreter_reads_as_it_starts_is_not_forked(start: Start) -> None:
    plain, forked = await start("echo-1", env={"PYTHONHASHSEED": "7"}), await start("echo-2")
    assert (await ask(plain))["parent"] == os.getpid()
    assert (await ask(forked))["parent"] != os.getpid()


async def test_an_end_is_told_with_its_code(engine: ProcessEngine, start: Start) -> None:
    await end(await start("echo-1"), exit=7)
    assert await engine.exited("echo-1") == 7
    await end(await start("echo-2"), segfault=True)
    assert await engine.exited("echo-2") == -signal.SIGSEGV
    assert "Segmentation fault" in await engine.log_tail("echo-2")


async def test_a_fork_server_that_dies_takes_its_forks_along_and_the_next_start_makes_another(
    engine: ProcessEngine, start: Start
) -> None:
    first = await ask(await start("echo-1"))
    os.kill(first["parent"], signal.SIGKILL)
    assert await engine.exited("echo-1") == -signal.SIGKILL
    await until(lambda: _answer(not alive(first["pid"])), "its fork has gone with it")
    second = await ask(await start("echo-2"))
    assert second["parent"] != first["parent"]


async def test_closing_the_engine_leaves_no_process(engine: ProcessEngine, start: Start) -> None:
    said = await ask(await start("echo-1"))
    await engine.close(keep=False)
    await until(lambda: _answer(not alive(said["pid"]) and not alive(said["parent"])), "both have gone")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("no_such_module", None, "preload no_such_module: ModuleNotFoundError: No module named 'no_such_module'"),
        ("breaks", "raise ValueError('not today')", "preload breaks: ValueError: not today"),
        ("threads", LOADING, "preload threads: it starts threads, which a fork would lose"),
    ],
)
async def test_what_cannot_be_preloaded_is_said_at_deploy(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, error: str
) -> None:
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(EngineError, match=re.escape(error)):
        await start("echo-1", preload=[name])


async def test_many_at_once(start: Start) -> None:
    endpoints = await asyncio.gather(*(start(f"echo-{n}") for n in range(12)))
    pids = {(await ask(endpoint))["pid"] for endpoint in endpoints}
    assert len(pids) == 12


async def _answer(value: bool) -> bool:
    return value
