"""A function that attacks, in one container, beside one that wants to be served meanwhile."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.blobs import DirectoryBlobs
from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client, remove_images
from workers.channel import Channel
from workers.engines import Order
from workers.engines.docker import DockerEngine
from workers.readiness import wait_until_ready

FUNCTIONS = Path(__file__).parent.parent / "functions"
MEMORY = 384 * 2**20


class Cell:
    """One started instance."""

    def __init__(self, instance: str, host: str, port: int) -> None:
        self.instance, self.host = instance, host
        self._url = f"http://{host}:{port}/invoke"

    async def ask(self, **event: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.post(self._url, json=event) as reply:
            said = await reply.read()
            assert reply.status == 200, said
            return json.loads(said)


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    if not docker_answers():
        missing(f"a Docker Engine with the image {BASE_IMAGE}")
    deployment = secrets.token_hex(4)
    engine = DockerEngine(deployment=deployment, base_image=BASE_IMAGE)
    await engine.open()
    yield engine
    await engine.close(keep=False)
    await asyncio.to_thread(remove_images, deployment)


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Channel]:
    channel = Channel(DirectoryBlobs(tmp_path / "blobs"), max_answer=2**20)
    yield channel
    await channel.close()


async def start(engine: DockerEngine, channel: Channel, name: str) -> Cell:
    fields = {"path": str(FUNCTIONS / "abusive"), "event": "json", "concurrency": 2}
    spec = FunctionSpec.model_validate({**fields, "resources": {"memory": MEMORY, "cpu": 1}})
    one = Function(name=name, spec=spec, revision=1, digest=name, created_at=0)
    await engine.prepare(one)
    order = Order(instance=f"{name}-{secrets.token_hex(3)}", function=one, epoch=1)
    at = await engine.start(order)
    await asyncio.wait_for(wait_until_ready(channel, engine, order.instance, at, one, lambda: None), 60)
    return Cell(order.instance, at.host, at.port)


async def test_an_attack_is_refused_and_nobody_else_notices(engine: DockerEngine, channel: Channel) -> None:
    attacker, neighbour = await start(engine, channel, "attacker"), await start(engine, channel, "neighbour")
    await no_way_out(attacker)
    await nobody_is_reached(engine, attacker, neighbour)
    await its_share_and_no_more(attacker)
    await served(neighbour, beside=bombs(attacker))
    await served(neighbour, beside=chatters(engine, attacker))
    await served(neighbour, beside=hogs(engine, attacker))


async def no_way_out(attacker: Cell) -> None:
    escapes: dict[str, str] = await attacker.ask(do="escape")
    assert {name: how for name, how in escapes.items() if how not in REFUSALS} == {}
    uids = await attacker.ask(do="setuid_program")
    limits = await attacker.ask(do="limits")
    assert limits["setuid bit of su"], "it would be root's"
    assert uids == ["65534"] * 4
    assert (limits["files"], limits["core"]) == (16_384, 0)


REFUSALS = {
    *("Operation not permitted", "Permission denied", "Read-only file system", "No such file or directory"),
    *("Is a directory",),
}


async def nobody_is_reached(engine: DockerEngine, attacker: Cell, neighbour: Cell) -> None:
    (bridge,) = {engine.host_for(one) for one in (_named("attacker"), _named("neighbour"))}
    with socket.create_server(("127.0.0.1", 0)) as local:
        port = local.getsockname()[1]
        places = [
            (neighbour.host, 9000),
            (bridge, port),
            ("127.0.0.1", port),
            ("1.1.1.1", 443),
            ("169.254.169.254", 80),
            ("::1", port),
        ]
        seen: dict[str, str] = await attacker.ask(do="connect", **{"with": [*places, (attacker.host, 9000)]})
    assert seen.pop(attacker.host) == "done", "it can connect"
    assert len(seen) == len(places)
    assert "done" not in seen.values(), seen


def _named(name: str) -> Function:
    spec = FunctionSpec(path=str(FUNCTIONS / "abusive"))
    return Function(name=name, spec=spec, revision=1, digest=name, created_at=0)


async def its_share_and_no_more(attacker: Cell) -> None:
    for path, room in {"/tmp/full": MEMORY // 2, "/dev/shm/full": 64 * 2**20}.items():
        written, why = await attacker.ask(do="fill", **{"with": [path]})
        assert why == "No space left on device"
        assert room // 2 < written <= room


async def bombs(attacker: Cell) -> None:
    children, why = await attacker.ask(do="fork_bomb", **{"with": [1.5]})
    assert why in ("Resource temporarily unavailable", "Cannot allocate memory")
    assert 20 < children < 512


async def chatters(engine: DockerEngine, attacker: Cell) -> None:
    wrote = await attacker.ask(do="chatter", **{"with": [2.0]})
    assert wrote > 2**20
    container = docker_client().containers.get(f"penstock-{attacker.instance}")
    path = Path(container.attrs["LogPath"])
    kept = sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))
    assert 0 < kept < 32 * 2**20, "however much it wrote"


async def hogs(engine: DockerEngine, attacker: Cell) -> None:
    with pytest.raises(aiohttp.ClientError):
        await attacker.ask(do="hog")
    assert await asyncio.wait_for(engine.exited(attacker.instance), 20) in (137, None)


async def served(neighbour: Cell, *, beside: Any) -> None:
    """It answers all the time that the other one attacks."""
    attack = asyncio.create_task(beside)
    answers = 0
    try:
        while not attack.done():
            async with asyncio.timeout(10):
                await neighbour.ask(do="limits")
            answers += 1
            await asyncio.sleep(0.05)
    finally:
        await attack
    assert answers > 2
