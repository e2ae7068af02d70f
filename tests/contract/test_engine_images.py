"""Images of folders on a real Docker Engine: what they are, what a second build makes anew, and which ones go."""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import tarfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container
from docker.models.images import Image

from penstock.code import folder_digest
from penstock.function import Function, FunctionSpec
from tests.conftest import missing
from tests.e2e.harness import BASE_IMAGE, docker_answers, docker_client, remove_images, wait_until
from workers.engines import EngineError, Order
from workers.engines.builder import Built, Recipe
from workers.engines.docker import DockerEngine, build_image

HANDLER = """
import os
from word import WORD

def handler(event, context):
    return {"word": WORD, "user": os.getuid(), "answer": ANSWER}
"""


@pytest.fixture(scope="module", autouse=True)
def docker() -> None:
    if not docker_answers():
        missing(f"a Docker Engine with the image {BASE_IMAGE}")


@pytest.fixture
def mark() -> Iterator[str]:
    """A deployment of our own, whose images go when the test ends."""
    mark = secrets.token_hex(4)
    yield mark
    client = docker_client()
    packages = {one.labels["penstock.packages"] for one in ours(mark)}
    remove_images(mark)
    for tag in packages:
        with contextlib.suppress(APIError):  # a runtime that others stand on
            client.images.remove(str(image(tag).id))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A function that needs a package, which no other test has and no index is asked for."""
    wheels, folder = tmp_path / "wheels", tmp_path / "function"
    wheels.mkdir()
    folder.mkdir()
    with zipfile.ZipFile(wheels / "word-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("word.py", "WORD = 'wheel'\n")
        wheel.writestr("word-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: word\nVersion: 1\n")
        wheel.writestr("word-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("word-1.dist-info/RECORD", "")
    (folder / "requirements.txt").write_text(f"--no-index\n--find-links {wheels}\nword==1\n")
    answer(folder, 1)
    return folder


def answer(folder: Path, number: int) -> None:
    """Changes the handler."""
    (folder / "app.py").write_text(f"ANSWER = {number}\n{HANDLER}")


async def build(folder: Path, mark: str, **options: Any) -> Built:
    recipe = Recipe(
        name="worded",
        folder=folder,
        labels={"penstock.deployment": mark},
        environment={"PENSTOCK_HANDLER": "app:handler"},
    )
    said: list[str] = []
    return await build_image(recipe, **{"base_image": BASE_IMAGE, "network": None, "say": said.append, **options})


def image(tag: str) -> Image:
    return docker_client().images.get(tag)


def ours(mark: str) -> list[Image]:
    return list(docker_client().images.list(filters={"label": f"penstock.deployment={mark}"}))


def layers(tag: str) -> list[str]:
    found: list[str] = image(tag).attrs["RootFS"]["Layers"]
    return found


@contextlib.contextmanager
def running(tag: str) -> Iterator[Container]:
    """As a user runs it: `docker run`, and nothing of ours around it."""
    container = docker_client().containers.run(tag, detach=True)
    try:
        container.reload()
        yield container
    finally:
        container.remove(force=True, v=True)


def call(container: Container) -> Any:
    url = f"http://{container.attrs['NetworkSettings']['IPAddress']}:9000/invoke"

    def reply() -> requests.Response | None:
        with contextlib.suppress(requests.ConnectionError):
            return requests.post(url, data=b"x", timeout=10)
        return None

    return wait_until(reply, 20, f"it answers; it said {container.logs()!r}").json()


def health(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


async def test_an_image_runs_by_itself_as_nobody_and_says_that_it_is_well(folder: Path, mark: str) -> None:
    built = await build(folder, mark)
    labels = image(built.tag).labels
    assert (labels["penstock.function"], labels["penstock.python"]) == ("worded", "3.11")

    def look() -> None:
        with running(built.tag) as container:
            assert call(container) == {"word": "wheel", "user": 65534, "answer": 1}
            wait_until(lambda: health(container) == "healthy", 30, "it is healthy", every=0.2)

    await asyncio.to_thread(look)


async def test_one_that_does_not_serve_is_not_well(folder: Path, mark: str) -> None:
    built = await build(folder, mark)

    def look() -> None:
        container = docker_client().containers.run(
            built.tag,
            ["sleep", "60"],
            detach=True,
            healthcheck={"interval": 10**9, "retries": 1, "start_period": 10**6},  # the image's test, more often
        )
        try:
            wait_until(lambda: health(container) == "unhealthy", 30, "it is unhealthy", every=0.2)
        finally:
            container.remove(force=True, v=True)

    await asyncio.to_thread(look)


async def test_a_change_of_the_handler_leaves_the_layers_below_it(folder: Path, mark: str) -> None:
    first = await build(folder, mark)
    packages = image(first.tag).labels["penstock.packages"]
    made, below = image(packages).id, layers(packages)
    answer(folder, 2)
    said: list[str] = []
    second = await build(folder, mark, say=said.append)
    assert second.tag != first.tag
    assert image(packages).id == made
    assert [line.split()[0] for line in said if line.endswith("is there")] == ["runtime", "packages"]
    assert layers(first.tag)[: len(below)] == layers(second.tag)[: len(below)] == below
    assert len(below) == len(layers(second.tag)) - 1, "one layer is new: the folder"
    assert layers(first.tag)[-1] != layers(second.tag)[-1]
    answer(folder, 1)
    assert await build(folder, mark) == Built(tag=first.tag, python="3.11", made=False)


async def test_packages_of_debian_are_installed_for_a_function(folder: Path, mark: str) -> None:
    (folder / "apt.txt").write_text("hello  # says so\n")
    (folder / "requirements.txt").unlink()
    built = await build(folder, mark)
    said = await asyncio.to_thread(docker_client().containers.run, built.tag, ["hello"], remove=True)
    assert said == b"Hello, world!\n"


async def test_apt_without_a_network_is_explained(folder: Path, mark: str) -> None:
    (folder / "apt.txt").write_text("hello\n")
    with pytest.raises(EngineError, match=r"apt cannot reach its mirror .* none: .*--build-network"):
        await build(folder, mark, network="none")


async def test_a_requirement_that_is_nowhere_is_told_in_pips_words(folder: Path, mark: str) -> None:
    (folder / "requirements.txt").write_text("--no-index\nno-such-package-anywhere==1\n")
    with pytest.raises(EngineError, match="No matching distribution found for no-such-package-anywhere==1"):
        await build(folder, mark)


@pytest.fixture
async def empty_base() -> AsyncIterator[str]:
    """An image with nothing in it."""
    tag = f"penstock-contract/empty:{secrets.token_hex(4)}"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("etc"))
    repository, _, version = tag.partition(":")
    client = docker_client()
    await asyncio.to_thread(
        client.api.import_image_from_data, archive.getvalue(), repository=repository, tag=version
    )
    yield tag
    await asyncio.to_thread(client.images.remove, tag)


async def test_a_base_image_without_python_is_refused(folder: Path, mark: str, empty_base: str) -> None:
    with pytest.raises(EngineError, match=f"base image {empty_base} has no python3 .*--base"):
        await build(folder, mark, base_image=empty_base)


async def test_another_python_than_the_base_image_has_is_refused(folder: Path, mark: str) -> None:
    (folder / ".python-version").write_text("3.12\n")
    with pytest.raises(EngineError, match=r"worded wants Python 3\.12, and the base image .* has 3\.11"):
        await build(folder, mark)


# What a deploy makes, and removes


@pytest.fixture
async def engine(mark: str) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(deployment=mark, base_image=BASE_IMAGE)
    await engine.open()
    yield engine
    await engine.close(keep=False)


def revision(folder: Path, number: int, name: str = "worded") -> Function:
    answer(folder, number)
    spec = FunctionSpec(path=str(folder))
    return Function(name=name, spec=spec, revision=number, digest=folder_digest(folder), created_at=0)


async def deploy(engine: DockerEngine, function: Function) -> str:
    await engine.prepare(function)
    return engine._images[function.digest]


def are_there(*tags: str) -> list[bool]:
    found = []
    for tag in tags:
        try:
            found.append(bool(image(tag)))
        except ImageNotFound:
            found.append(False)
    return found


async def test_a_deploy_keeps_the_image_before_it_and_removes_older_ones(
    engine: DockerEngine, folder: Path, mark: str
) -> None:
    first, second = [await deploy(engine, revision(folder, number)) for number in (1, 2)]
    assert are_there(first, second) == [True, True]
    third = await deploy(engine, revision(folder, 3))
    assert are_there(first, second, third) == [False, True, True]
    assert await deploy(engine, revision(folder, 2)) == second
    fourth = await deploy(engine, revision(folder, 4))
    assert are_there(second, third, fourth) == [True, False, True], (
        "the one before it is what served, not what is newest"
    )
    assert {one.labels["penstock.deployment"] for one in ours(mark)} == {mark}


async def test_packages_go_with_the_last_image_on_them(engine: DockerEngine, folder: Path) -> None:
    first = await deploy(engine, revision(folder, 1))
    packages = image(first).labels["penstock.packages"]
    second = await deploy(engine, revision(folder, 2))
    requirements = folder / "requirements.txt"
    requirements.write_text(requirements.read_text() + "word>=1\n")
    await deploy(engine, revision(folder, 3))
    assert are_there(first, second, packages) == [False, True, True], "the second stands on them"
    await deploy(engine, revision(folder, 4))
    assert are_there(second, packages) == [False, False]


async def test_an_image_that_a_container_uses_stays(engine: DockerEngine, folder: Path) -> None:
    first = revision(folder, 1)
    used = await deploy(engine, first)
    await engine.start(Order(instance=f"worded-{secrets.token_hex(4)}", function=first, epoch=1))
    await deploy(engine, revision(folder, 2))
    await deploy(engine, revision(folder, 3))
    assert are_there(used) == [True]


async def test_nobody_elses_images_are_removed(engine: DockerEngine, folder: Path) -> None:
    other = secrets.token_hex(4)
    foreign = DockerEngine(deployment=other, base_image=BASE_IMAGE)
    await foreign.open()
    try:
        theirs = await deploy(foreign, revision(folder, 1))
        by_hand = (await build(folder, other)).tag
        own_name = f"penstock-contract/mine:{other}"
        first = revision(folder, 1)
        image(await deploy(engine, first)).tag(own_name)
        neighbour = await deploy(engine, revision(folder, 1, name="neighbour"))
        for number in (2, 3, 4):
            await deploy(engine, revision(folder, number))
        assert are_there(theirs, by_hand, own_name, neighbour) == [True, True, True, True]
    finally:
        await foreign.close(keep=False)
        remove_images(other)


async def test_after_a_restart_the_newest_of_the_old_ones_is_kept(
    engine: DockerEngine, folder: Path, mark: str
) -> None:
    first, second = [await deploy(engine, revision(folder, number)) for number in (1, 2)]
    later = DockerEngine(deployment=mark, base_image=BASE_IMAGE)
    await later.open()
    try:
        third = await deploy(later, revision(folder, 3))
        assert are_there(first, second, third) == [False, True, True]
    finally:
        await later.close(keep=False)
