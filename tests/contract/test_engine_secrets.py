"""Secrets reach an instance, on every engine, and nobody else on the way."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.blobs import DirectoryBlobs
from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client, remove_images
from workers.channel import Channel
from workers.engines import Engine, EngineError, Order
from workers.engines.docker import DockerEngine
from workers.engines.process import ProcessEngine
from workers.readiness import wait_until_ready

VALUE = "hf_hunter2-ü"
HANDLER = """
import json, os, sys
IMPORTED = os.environ.get("HF_TOKEN")

def attempt(do, *args):
    if os.environ["HOST"] == "127.0.0.1":
        return "it is a process of the machine, and its files are the machine's"
    try:
        do(*args)
    except OSError as error:
        return type(error).__name__
    return "done"

def handler(event, context):
    file = os.environ["HF_TOKEN_FILE"]
    return {
        "imported": IMPORTED,
        "file": open(file).read(),
        "raw": open(os.environ["RAW_FILE"], "rb").read().hex(),
        "raw_variable": "RAW" in os.environ,
        "initial": open("/proc/self/environ").read(),
        "command": open("/proc/self/cmdline").read(),
        "lengthen": attempt(open, file, "a"),
        "change": attempt(os.chmod, file, 0o666),
        "another": attempt(open, os.path.join(os.path.dirname(file), "x"), "w"),
    }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the secrets."""
    made = tmp_path / "secrets"
    made.mkdir(mode=0o700)
    for name, value in {"HF_TOKEN": f"{VALUE}\n".encode(), "RAW": b"\0\xff"}.items():
        (made / name).write_bytes(value)
        (made / name).chmod(0o600)
    return made


@pytest.fixture(params=["process", "docker"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> AsyncIterator[Engine]:
    deployment = secrets.token_hex(4)
    made: Engine
    if request.param == "docker":
        if not docker_answers():
            missing(f"a Docker Engine with the image {BASE_IMAGE}")
        made = DockerEngine(deployment=deployment, base_image=BASE_IMAGE, secrets=folder)
    else:
        made = ProcessEngine(data_dir=tmp_path, deployment=deployment, secrets=folder)
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


def keeper(tmp_path: Path, **fields: Any) -> Function:
    code = tmp_path / "keeper"
    code.mkdir(exist_ok=True)
    (code / "app.py").write_text(HANDLER)
    spec = FunctionSpec.model_validate({"path": str(code), "secrets": ["HF_TOKEN", "RAW"], **fields})
    return Function(name="keeper", spec=spec, revision=1, digest="keeper", created_at=0)


async def start(engine: Engine, channel: Channel, one: Function) -> tuple[str, dict[str, Any]]:
    await engine.prepare(one)
    order = Order(instance=f"{one.name}-{secrets.token_hex(3)}", function=one, epoch=1)
    endpoint = await engine.start(order)
    await asyncio.wait_for(wait_until_ready(channel, engine, order.instance, endpoint, one, lambda: None), 30)
    async with channel._reusing.post(f"http://{endpoint.host}:{endpoint.port}/invoke") as reply:
        return order.instance, json.loads(await reply.read())


async def test_a_handler_finds_them_as_files_and_as_variables(
    engine: Engine, channel: Channel, tmp_path: Path
) -> None:
    _, seen = await start(engine, channel, keeper(tmp_path))
    assert seen["imported"] == VALUE, "before the handler is imported, without the newline of the file"
    assert seen["file"] == f"{VALUE}\n", "as it is"
    assert (seen["raw"], seen["raw_variable"]) == ("00ff", False), "what is no text is a file only"
    assert "hunter" not in seen["initial"] + seen["command"]


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
async def test_a_container_tells_none_and_cannot_change_it(
    engine: Engine, channel: Channel, tmp_path: Path
) -> None:
    instance, seen = await start(engine, channel, keeper(tmp_path))
    refused = {"PermissionError", "OSError"}
    assert {seen["lengthen"], seen["change"], seen["another"]} <= refused, seen
    container = docker_client().containers.get(f"penstock-{instance}")
    assert "hunter" not in json.dumps(container.attrs, ensure_ascii=False)
    (volume,) = [one["Name"] for one in container.attrs["Mounts"]]
    await engine.stop(instance, grace=0)
    assert volume not in [one.name for one in docker_client().volumes.list()], "it goes with its container"


async def test_a_changed_secret_is_that_of_the_next_instance(
    engine: Engine, channel: Channel, tmp_path: Path, folder: Path
) -> None:
    await start(engine, channel, keeper(tmp_path))
    (folder / "HF_TOKEN").write_text("another")
    _, seen = await start(engine, channel, keeper(tmp_path))
    assert seen["imported"] == seen["file"] == "another"


async def test_one_that_is_missing_or_open_to_all_stops_the_deploy(
    engine: Engine, tmp_path: Path, folder: Path
) -> None:
    (folder / "RAW").chmod(0o644)
    with pytest.raises(EngineError, match=f"secret RAW: everybody .* may read .*: chmod 600 {folder}/RAW"):
        await engine.prepare(keeper(tmp_path))
    (folder / "RAW").unlink()
    with pytest.raises(EngineError, match=f"secret RAW is not in {folder}: put it there with .penstock secrets"):
        await engine.prepare(keeper(tmp_path))


async def test_a_command_finds_text_in_its_environment(tmp_path: Path, folder: Path) -> None:
    engine = ProcessEngine(data_dir=tmp_path, deployment=secrets.token_hex(4), secrets=folder)
    await engine.open()
    script = "import os; print(os.environ['HF_TOKEN'], 'RAW' in os.environ, os.environ['RAW_FILE'], end='')"
    fields = {"command": [sys.executable, "-c", script], "web_server": False, "secrets": ["HF_TOKEN", "RAW"]}
    one = Function(name="once", spec=FunctionSpec.model_validate(fields), revision=1, digest="once", created_at=0)
    await engine.prepare(one)
    ran = await engine.run(Order(instance="once-1", function=one, epoch=1), b"", limit=1000)
    await engine.close(keep=False)
    assert ran.output.decode() == f"{VALUE} False {folder / 'RAW'}"
