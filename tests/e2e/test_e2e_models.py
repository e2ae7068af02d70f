"""Where weights come from (docs/models.md): with the code, from a read-only volume, from a cache that a function's
instances share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.harness import FUNCTIONS, Json, Stack, wait_until

Deploy = Callable[[Stack, str, Json], None]


@pytest.fixture
def deploy() -> Iterator[Deploy]:
    """For one test: its folder goes with it, and its instances hold places of others."""
    made: list[tuple[Stack, str]] = []

    def deploy(stack: Stack, name: str, spec: Json) -> None:
        made.append((stack, name))
        stack.deploy({name: spec})

    yield deploy
    for stack, name in made:
        assert stack.http.delete(f"{stack.url}/v1/functions/{name}", timeout=10).ok


def folder(tmp_path: Path) -> Path:
    """One that containers, which are nobody, may look into and write to."""
    made = tmp_path / "models"
    made.mkdir()
    for path in (made, tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o777)
    return made


def function(path: Path, **more: Any) -> Json:
    scaling = {"max": 2, "idle_timeout": "60s", **more.pop("scaling", {})}
    return {"path": str(path), "resources": {"memory": "256MiB"}, "scaling": scaling, **more}


def mounted(engine: str, models: Path, mode: str) -> Json:
    """What a spec says for containers; a process sees the folder as it is."""
    if engine == "docker":
        return {"volumes": [f"{models}:/models:{mode}"], "env": {"MODEL_DIR": "/models"}}
    return {"env": {"MODEL_DIR": str(models)}}


def asked(stack: Stack, name: str, body: bytes = b"") -> Json:
    reply = requests.post(stack.path(name), data=body, timeout=60)
    assert reply.status_code == 200, reply.text
    answer: Json = reply.json()
    return answer


def test_weights_beside_the_code_are_in_the_image(stack: Stack, tmp_path: Path, deploy: Deploy) -> None:
    code = shutil.copytree(FUNCTIONS / "models", tmp_path / "code")
    (code / "weights.bin").write_bytes(b"beside the code")
    deploy(stack, "models-image", function(code))
    if stack.engine == "docker":
        (code / "weights.bin").unlink()
    assert asked(stack, "models-image")["weights"] == "beside the code"


def test_weights_from_a_volume_cannot_be_written(stack: Stack, tmp_path: Path, deploy: Deploy) -> None:
    models = folder(tmp_path)
    (models / "weights.bin").write_bytes(b"from a volume")
    deploy(stack, "models-volume", function(FUNCTIONS / "models", **mounted(stack.engine, models, "ro")))
    answer = asked(stack, "models-volume")
    assert answer["weights"] == "from a volume"
    if stack.engine == "docker":  # a process is held by the rights of files alone
        assert answer["writes"] == "Read-only file system"
        assert not (models / "written").exists()


def test_a_volume_that_is_not_there_is_told(docker_stack: Stack, tmp_path: Path, deploy: Deploy) -> None:
    nowhere = tmp_path / "nowhere"
    stack, spec = docker_stack, function(FUNCTIONS / "models", **mounted("docker", nowhere, "ro"))
    deploy(stack, "models-nowhere", spec)
    reply = stack.call("models-nowhere")
    assert (reply.status_code, reply.json()["code"]) == (503, "start_failed"), reply.text
    assert str(nowhere) in reply.json()["detail"]
    assert not nowhere.exists(), "the engine has not made an empty one"


def test_a_cache_is_filled_once_for_all_instances(stack: Stack, tmp_path: Path, deploy: Deploy) -> None:
    cache = folder(tmp_path)
    spec = function(FUNCTIONS / "models", **mounted(stack.engine, cache, "rw"), provision={"target": 2})
    spec["env"]["FETCH"] = "1"
    deploy(stack, "models-cache", spec)
    wait_until(lambda: ready(stack, "models-cache") == 2, 30, "two instances, started at once, are ready")
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: asked(stack, "models-cache", b"0.5"), range(2)))
    assert {answer["weights"] for answer in answers} == {"fetched"}
    assert len({answer["instance"] for answer in answers}) == 2
    (by,) = (cache / "downloads").read_text().split()
    assert by in {answer["instance"] for answer in answers}
    assert not (cache / "weights.part").exists()


def ready(stack: Stack, name: str) -> int:
    shown = stack.http.get(f"{stack.url}/v1/functions/{name}/instances", timeout=5).json()["instances"]
    return sum(one["state"] == "idle" for one in shown)
