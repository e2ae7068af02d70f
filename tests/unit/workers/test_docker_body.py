"""What is asked of the Docker Engine for an instance: exactly its card, and no more of a spec than is meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workers.samples import function
from workers.engines import Order
from workers.engines.docker import DockerEngine

CARD = "GPU-5e2f3c1a-0000-0000-0000-000000000001"


@pytest.fixture
def engine() -> DockerEngine:
    return DockerEngine(deployment="d", base_image="base")


def body(engine: DockerEngine, *, gpu: str | None = None, **fields: Any) -> dict[str, Any]:
    one = function(path=None, image="my/model", **fields)
    engine._images[one.digest] = "my/model"
    return engine._body(Order(instance="f-1", function=one, epoch=1, gpu=gpu))


def test_an_instance_gets_its_card_by_uuid_and_no_other(engine: DockerEngine) -> None:
    (request,) = body(engine, gpu=CARD)["device_requests"]
    assert request == {"Driver": "nvidia", "DeviceIDs": [CARD], "Capabilities": [["gpu"]]}
    assert body(engine, gpu=CARD)["labels"]["penstock.gpu"] == CARD, "the next leader knows where it is"


def test_without_a_gpu_it_gets_none(engine: DockerEngine) -> None:
    made = body(engine)
    assert made["device_requests"] is None
    assert "penstock.gpu" not in made["labels"]


def test_its_limits_and_folders_are_those_of_the_spec(engine: DockerEngine) -> None:
    resources = {"cpu": 1.5, "memory": "3GiB", "shm_size": "8GiB"}
    made = body(engine, resources=resources, volumes=("/srv/m:/models:ro", "/cache:/cache:rw", "/a:/a"))
    assert (made["nano_cpus"], made["mem_limit"], made["memswap_limit"]) == (1_500_000_000, 3 * 2**30, 3 * 2**30)
    assert made["shm_size"] == 8 * 2**30
    assert [(one["Source"], one["Target"], one["ReadOnly"], one["Type"]) for one in made["mounts"]] == [
        ("/srv/m", "/models", True, "bind"),
        ("/cache", "/cache", False, "bind"),
        ("/a", "/a", False, "bind"),
    ]
    assert made["pids_limit"] > 0


def test_what_an_order_adds_comes_above_the_spec(engine: DockerEngine) -> None:
    one = function(path=None, image="my/model", env={"A": "spec", "B": "spec"})
    engine._images[one.digest] = "my/model"
    made = engine._body(Order(instance="f-1", function=one, epoch=1, env={"A": "order"}))
    assert (made["environment"]["A"], made["environment"]["B"]) == ("order", "spec")


def test_a_run_without_a_server_is_marked_as_one(engine: DockerEngine) -> None:
    assert body(engine, web_server=False)["labels"]["penstock.once"] == "true"
    assert "penstock.once" not in body(engine)["labels"]


def test_its_entrypoint_and_user_are_its_images_own_unless_the_spec_says_otherwise(engine: DockerEngine) -> None:
    made = body(engine, user="")
    assert (made["entrypoint"], made["command"], made["user"]) == (None, None, "")
    made = body(engine, entrypoint=("python",), command=("app.py",))
    assert (made["entrypoint"], made["command"]) == (["python"], ["app.py"])
