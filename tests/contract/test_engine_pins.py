"""All instances of a revision run the image that its tag named at the deploy, on a real Docker Engine."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client
from workers.engines import EngineError, Order
from workers.engines.docker import DockerEngine


@pytest.fixture
def repository() -> Iterator[str]:
    """Of images that nobody else has."""
    if not docker_answers():
        missing(f"a Docker Engine with the image {BASE_IMAGE}")
    name = f"penstock-pins/{secrets.token_hex(4)}"
    yield name
    for image in docker_client().images.list(name):
        with contextlib.suppress(APIError):
            docker_client().images.remove(str(image.id), force=True)


@pytest.fixture
async def engine() -> AsyncIterator[DockerEngine]:
    made = DockerEngine(deployment=secrets.token_hex(4), base_image=BASE_IMAGE)
    await made.open()
    yield made
    await made.close(keep=False)


def tag(repository: str, word: str) -> str:
    """Makes an image of this content the one that the tag names; its id."""
    client = docker_client()
    container = client.containers.create(BASE_IMAGE, "true", labels={"word": word})
    image = container.commit(repository, "1", changes=f"LABEL word={word}")
    container.remove()
    return str(image.id)


def function(image: str, **fields: Any) -> Function:
    pinned = fields.pop("pinned", None)
    spec = FunctionSpec.model_validate({"image": image, "command": ["sleep", "60"], **fields})
    return Function(name="pinned", spec=spec, revision=1, digest="pinned", created_at=0, pinned=pinned)


async def running(engine: DockerEngine, one: Function) -> str:
    """Id of the image that an instance of it runs."""
    instance = f"pinned-{secrets.token_hex(3)}"
    await engine.start(Order(instance=instance, function=one, epoch=1))
    return str(docker_client().containers.get(f"penstock-{instance}").attrs["Image"])


async def test_a_tag_that_moves_changes_no_revision(engine: DockerEngine, repository: str) -> None:
    first = tag(repository, "first")
    one = function(f"{repository}:1")
    assert await engine.prepare(one) == first
    second = tag(repository, "second")
    assert second != first
    assert await running(engine, one) == first
    assert await engine.prepare(one.model_copy(update={"pinned": first})) == first, "so does the next leader"
    assert await running(engine, one) == first
    assert await engine.prepare(one) == second, "another revision takes what the tag names now"


async def test_what_is_gone_is_not_replaced_by_something_else(engine: DockerEngine, repository: str) -> None:
    first = tag(repository, "first")
    docker_client().images.remove(first, force=True)
    tag(repository, "second")
    with pytest.raises(EngineError, match=f"image {repository}:1 was {first[:19]}.*penstock deploy --refresh"):
        await engine.prepare(function(f"{repository}:1", pinned=first))


async def test_in_production_a_tag_is_refused(engine: DockerEngine, repository: str) -> None:
    identity = tag(repository, "first")
    strict = DockerEngine(deployment="strict", base_image=BASE_IMAGE, only_digests=True)
    strict._connection = engine._connection
    strict._store = engine._store
    with pytest.raises(EngineError, match="is a tag, which can be moved: in production push it to a registry"):
        await strict.prepare(function(f"{repository}:1"))
    assert await strict.prepare(function(f"{repository}:1", pinned=identity)) == identity


async def test_an_image_that_cannot_be_had_says_why(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="image nowhere/x:1 is not here, and its spec says pull: never"):
        await engine.prepare(function("nowhere/x:1", pull="never"))
    for policy in ("missing", "always"):
        with pytest.raises(EngineError, match=r"image 127.0.0.1:1/x:1 cannot be pulled: .*refused"):
            await engine.prepare(function("127.0.0.1:1/x:1", pull=policy))
    with pytest.raises(ImageNotFound):
        docker_client().images.get("127.0.0.1:1/x:1")
