"""What the pool relies on, run on every engine: one suite, no engine knows that it is tested."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.code import folder_digest
from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, remove_images
from workers.channel import Channel, listens
from workers.engines import Endpoint, Engine, EngineError, Order
from workers.engines.docker import DockerEngine
from workers.engines.process import ProcessEngine
from workers.readiness import wait_until_ready

FUNCTIONS = Path(__file__).parent.parent / "functions"


@pytest.fixture(params=["process", "docker"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    deployment = secrets.token_hex(4)
    made: Engine
    if request.param == "docker":
        if not docker_answers():
            missing(f"a Docker Engine with the image {BASE_IMAGE}")
        made = DockerEngine(deployment=deployment, base_image=BASE_IMAGE)
    else:
        made = ProcessEngine(data_dir=tmp_path, deployment=deployment)
    await made.open()
    yield made
    await made.close(keep=False)
    if made.uses_images:
        await asyncio.to_thread(remove_images, deployment)


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Channel]:
    channel = Channel(DirectoryBlobs(tmp_path / "blobs"), max_answer=2**20)
    yield channel
    await channel.close()


def function(name: str, **fields: Any) -> Function:
    path = FUNCTIONS / name
    spec = FunctionSpec(path=str(path), **fields)
    digest = folder_digest(path) + json.dumps(fields, sort_keys=True)
    return Function(name=name, spec=spec, revision=1, digest=digest, created_at=0)


class Running:
    """One started instance, ready to be asked."""

    def __init__(self, engine: Engine, channel: Channel, order: Order, endpoint: Endpoint) -> None:
        self.engine, self.channel, self.endpoint = engine, channel, endpoint
        self.id = order.instance

    async def ask(self, body: bytes = b"", timeout: float = 10.0) -> bytes:
        url = f"http://{self.endpoint.host}:{self.endpoint.port}/invoke"
        async with self.channel._reusing.post(url, data=body) as reply:
            return await asyncio.wait_for(reply.read(), timeout)


async def start(engine: Engine, channel: Channel, wanted: Function) -> Running:
    await engine.prepare(wanted)
    order = Order(instance=f"{wanted.name}-{secrets.token_hex(3)}", function=wanted, epoch=7)
    endpoint = await engine.start(order)
    await asyncio.wait_for(wait_until_ready(channel, engine, order.instance, endpoint, wanted, lambda: None), 30)
    return Running(engine, channel, order, endpoint)


async def test_a_started_instance_serves_where_the_engine_says(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("echo"))
    assert await running.ask(b"hello") == b"hello"
    assert await engine.owns(running.id, running.endpoint)


async def test_instances_of_one_function_have_endpoints_of_their_own(engine: Engine, channel: Channel) -> None:
    one, other = [await start(engine, channel, function("echo")) for _ in range(2)]
    assert one.endpoint != other.endpoint
    await engine.stop(one.id, grace=5)
    assert await other.ask(b"still here") == b"still here"


async def test_a_stopped_instance_is_gone(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("echo"))
    ended = asyncio.create_task(engine.exited(running.id))
    await engine.stop(running.id, grace=5)
    await asyncio.wait_for(ended, 5)
    assert not await listens(running.endpoint)
    assert [found.instance for found in await engine.adoptable()] == []


async def test_stopping_what_is_gone_is_no_error(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("echo"))
    await engine.stop(running.id, grace=5)
    await engine.stop(running.id, grace=5)
    await engine.stop("never-was", grace=5)


async def test_one_that_ignores_sigterm_is_killed_after_the_grace(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("stubborn"))
    began = asyncio.get_running_loop().time()
    await engine.stop(running.id, grace=1)
    assert asyncio.get_running_loop().time() - began >= 1
    assert not await listens(running.endpoint)


async def test_an_end_by_itself_is_told_with_its_exit_code_and_log(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("exits"))
    ended = asyncio.create_task(engine.exited(running.id))
    with pytest.raises(Exception):  # noqa: B017 - whichever way the connection breaks
        await running.ask(b"")
    assert await asyncio.wait_for(ended, 10) == 3
    assert "about to exit" in await engine.log_tail(running.id)
    await engine.stop(running.id, grace=0)


async def test_what_it_writes_can_be_read_while_it_runs(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("hungry"))
    await running.ask(b"1")
    assert "taking 1 MiB" in await engine.log_tail(running.id)


async def test_memory_is_bounded(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("hungry", resources={"memory": "128MiB"}))
    ended = asyncio.create_task(engine.exited(running.id))
    with pytest.raises(Exception):  # noqa: B017 - whichever way the connection breaks
        # More than the limit and for long enough: a process is looked at once a second.
        while True:
            await running.ask(b"100")
    assert await asyncio.wait_for(ended, 10) != 0


async def test_a_function_is_told_no_secret_of_ours(
    engine: Engine, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET", "for-nobody")
    monkeypatch.setenv("PENSTOCK_REDIS__URL", "redis://nowhere")
    running = await start(engine, channel, function("probe", event="json"))
    seen = json.loads(await running.ask(b"{}"))["environment"]
    assert "PENSTOCK_HANDLER" in seen
    assert {"PENSTOCK_SECRET", "PENSTOCK_REDIS__URL"}.isdisjoint(seen)


async def test_the_spec_environment_reaches_it(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("probe", event="json", env={"GREETING": "hello"}))
    assert "GREETING" in json.loads(await running.ask(b"{}"))["environment"]


async def test_a_folder_that_is_not_there_cannot_be_prepared(engine: Engine) -> None:
    spec = FunctionSpec(path="/nowhere/at/all")
    gone = Function(name="gone", spec=spec, revision=1, digest="gone", created_at=0)
    with pytest.raises(EngineError, match="not a folder"):
        await engine.prepare(gone)


async def test_what_the_engine_cannot_run_is_refused_with_what_to_do(engine: Engine) -> None:
    spec = FunctionSpec(command=("true",)) if engine.uses_images else FunctionSpec(image="some/image:1")
    strange = Function(name="strange", spec=spec, revision=1, digest="strange", created_at=0)
    with pytest.raises(EngineError, match=r"--engine (docker|process)"):
        await engine.prepare(strange)


async def test_a_start_that_fails_leaves_nothing(engine: Engine) -> None:
    command = ("/no/such/program",)
    spec = FunctionSpec(image=BASE_IMAGE, command=command) if engine.uses_images else FunctionSpec(command=command)
    broken = Function(name="broken", spec=spec, revision=1, digest="broken-command", created_at=0)
    await engine.prepare(broken)
    said = await failure(engine, Order(instance="broken-1", function=broken, epoch=1))
    assert "no such" in said.lower()
    await engine.stop("broken-1", grace=0)
    assert [found.instance for found in await engine.adoptable()] == []


async def failure(engine: Engine, order: Order) -> str:
    """What an engine says of a program that is not there: at once, or, where another process starts it, as the end
    of an instance that has just been started."""
    try:
        await engine.start(order)
    except EngineError as error:
        return str(error)
    assert await asyncio.wait_for(engine.exited(order.instance), 10) == 127
    return await engine.log_tail(order.instance)


async def test_a_new_leader_finds_containers_and_no_processes(engine: Engine, channel: Channel) -> None:
    running = await start(engine, channel, function("echo"))
    found = await engine.adoptable()
    if engine.uses_images:
        assert [(one.instance, one.function, one.endpoint) for one in found] == [
            (running.id, "echo", running.endpoint)
        ]
    else:
        assert list(found) == []
