"""Containers that stand by on a real engine: paused, woken as the instance that is wanted, gone with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.code import folder_digest
from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client, remove_images
from tests.unit.workers.waiting import until
from workers.channel import Channel
from workers.engines import Order
from workers.engines.docker import DockerEngine
from workers.readiness import wait_until_ready

FUNCTIONS = Path(__file__).parent.parent / "functions"


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    if not docker_answers():
        missing(f"a Docker Engine with the image {BASE_IMAGE}")
    deployment = secrets.token_hex(4)
    engine = DockerEngine(deployment=deployment, base_image=BASE_IMAGE)
    await engine.open()
    yield engine
    await engine.close(keep=False)
    remove_images(deployment)


@pytest.fixture
def echo() -> Function:
    path = FUNCTIONS / "echo"
    spec = FunctionSpec(path=str(path), scaling={"standby": 1})  # type: ignore[arg-type]
    return Function(name="echo", spec=spec, revision=1, digest=folder_digest(path), created_at=0)


def state(instance: str) -> str:
    status: str = docker_client().containers.get(f"penstock-{instance}").status
    return status


async def one_stands_by(engine: DockerEngine) -> None:
    async def there() -> bool:
        return engine.standbys() == {"echo": 1}

    await until(there, "one stands by", timeout=60.0)


async def test_one_is_paused_until_it_is_wanted_and_then_serves(
    engine: DockerEngine, echo: Function, tmp_path: Path
) -> None:
    await engine.prepare(echo)
    await one_stands_by(engine)
    instance = engine.standby(echo)
    assert instance is not None
    assert await asyncio.to_thread(state, instance) == "paused"
    assert engine.standby(echo) is None, "it is somebody's now"
    assert await engine.adoptable() == [], "what stands by is no instance yet, and no stray"
    assert await asyncio.to_thread(state, instance) == "paused"

    endpoint = await engine.start(Order(instance=instance, function=echo, epoch=1))
    channel = Channel(DirectoryBlobs(tmp_path), max_answer=1000)
    await wait_until_ready(channel, engine, instance, endpoint, echo, lambda: None)
    status, _, _ = await channel.ask(endpoint, "POST", "/invoke", timeout=10.0)
    await channel.close()
    assert status == 200
    assert [found.instance for found in await engine.adoptable()] == [instance]
    await one_stands_by(engine)


async def test_one_that_is_killed_is_replaced(engine: DockerEngine, echo: Function) -> None:
    await engine.prepare(echo)
    await one_stands_by(engine)
    (before,) = engine._standing_by
    await asyncio.to_thread(docker_client().containers.get(f"penstock-{before}").kill)

    async def another() -> bool:
        return bool(engine._standing_by) and before not in engine._standing_by

    await until(another, "another stands by", timeout=60.0)


async def test_none_outlives_the_engine_or_its_function(engine: DockerEngine, echo: Function) -> None:
    await engine.prepare(echo)
    await one_stands_by(engine)
    (instance,) = engine._standing_by
    engine.forget("echo")

    async def gone() -> bool:
        found = await asyncio.to_thread(docker_client().containers.list, all=True)
        return f"penstock-{instance}" not in [container.name for container in found]

    await until(gone, "it has gone with its function", timeout=30.0)
    await engine.prepare(echo)
    await one_stands_by(engine)
    (instance,) = engine._standing_by
    await engine.close(keep=True)
    await until(gone, "it has gone with its engine", timeout=30.0)
