"""What is built and what is there already, with an engine that only remembers what it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from workers.engines import EngineError
from workers.engines.builder import Builder, Recipe


@dataclass(frozen=True)
class Asked:
    tag: str
    labels: Mapping[str, str]
    network: str


class Remembering:
    """An engine whose base images all have Python 3.11, and a runtime image for each."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.asked: list[Asked] = []
        self.fails: str | None = None
        self._there: dict[str, Mapping[str, str]] = {}

    async def fetch(self, image: str) -> str:
        self.fetched.append(image)
        return f"sha256:{image}"

    async def labels(self, tag: str) -> Mapping[str, str] | None:
        return {"penstock.python": "3.11"} if tag.startswith("penstock/runtime:") else self._there.get(tag)

    async def python(self, image: str) -> str:
        raise AssertionError("its runtime image says so")

    async def build(
        self, tag: str, context: bytes, *, arguments: Mapping[str, str], labels: Mapping[str, str], network: str
    ) -> None:
        self.asked.append(Asked(tag, labels, network))
        if self.fails is not None:
            raise EngineError(self.fails)
        self._there[tag] = labels

    def kinds(self) -> list[str]:
        """Of what was built since this was asked last."""
        built = [one.labels["penstock.image"] for one in self.asked]
        self.asked.clear()
        return built


@pytest.fixture
def engine() -> Remembering:
    return Remembering()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "app.py").write_text("def handler(event, context): return event\n")
    (tmp_path / "apt.txt").write_text("ffmpeg\n")
    return Recipe(name="f", folder=tmp_path)


async def build(engine: Remembering, recipe: Recipe, **options: str) -> str:
    return (await Builder(engine, **{"base_image": "base", **options}).build(recipe)).tag


async def test_the_same_folder_is_built_once(engine: Remembering, recipe: Recipe) -> None:
    first = await Builder(engine, base_image="base").build(recipe)
    assert (first.made, first.python, engine.kinds()) == (True, "3.11", ["packages", "function"])
    assert first.tag.startswith("penstock/function-f:")
    again = await Builder(engine, base_image="base").build(recipe)
    assert (again.made, again.tag, engine.kinds()) == (False, first.tag, [])


async def test_a_change_of_the_handler_leaves_the_packages(engine: Remembering, recipe: Recipe) -> None:
    first = await build(engine, recipe)
    engine.asked.clear()
    (recipe.folder / "app.py").write_text("def handler(event, context): return 2\n")
    assert await build(engine, recipe) != first
    assert engine.kinds() == ["function"]


async def test_whatever_goes_into_an_image_names_it(engine: Remembering, recipe: Recipe) -> None:
    tags = [
        await build(engine, recipe),
        await build(engine, recipe, base_image="other"),
        await build(engine, replace(recipe, name="g")),
        await build(engine, replace(recipe, labels={"penstock.deployment": "d"})),
        await build(engine, replace(recipe, environment={"PENSTOCK_HANDLER": "app:other"})),
    ]
    (recipe.folder / "apt.txt").write_text("ffmpeg\nlibgl1\n")
    tags.append(await build(engine, recipe))
    assert len({tag.rpartition(":")[2] for tag in tags}) == len(tags)


async def test_a_folder_without_packages_stands_on_the_runtime(engine: Remembering, recipe: Recipe) -> None:
    (recipe.folder / "apt.txt").write_text("# none\n")
    await build(engine, recipe)
    (asked,) = engine.asked
    assert asked.labels["penstock.packages"].startswith("penstock/runtime:")


async def test_a_tag_of_ones_own_is_always_built(engine: Remembering, recipe: Recipe) -> None:
    own = replace(recipe, tag="mine:1")
    assert [await build(engine, own), await build(engine, own)] == ["mine:1", "mine:1"]
    assert engine.kinds() == ["packages", "function", "function"]


@pytest.mark.parametrize(("given", "used"), [(None, "default"), ("host", "host"), ("none", "none")])
async def test_only_packages_of_debian_get_a_network(
    engine: Remembering, recipe: Recipe, given: str | None, used: str
) -> None:
    await Builder(engine, base_image="base", network=given).build(recipe)
    assert [one.network for one in engine.asked] == [used, "none"]


async def test_a_mirror_out_of_reach_is_told_from_a_package_that_is_not_there(
    engine: Remembering, recipe: Recipe
) -> None:
    engine.fails = "image build failed: E: Failed to fetch x  Temporary failure resolving 'deb.debian.org'"
    with pytest.raises(EngineError, match=r"apt cannot reach its mirror .* default: .*--build-network") as caught:
        await build(engine, recipe)
    assert "Temporary failure resolving" in str(caught.value), "apt's own words"
    engine.fails = "image build failed: E: Unable to locate package ffmpeg"
    with pytest.raises(EngineError, match=r"^image build failed: E: Unable to locate package ffmpeg$"):
        await build(engine, recipe)


async def test_a_version_of_python_chooses_the_base_image(engine: Remembering, recipe: Recipe) -> None:
    base = "python:{python}-slim"
    await build(engine, recipe, base_image=base)
    (recipe.folder / ".python-version").write_text("3.12\n")
    with pytest.raises(EngineError, match=r"wants Python 3\.12, and the base image .* has 3\.11"):
        await build(engine, recipe, base_image=base)
    await build(engine, replace(recipe, python="3.11"), base_image=base)
    assert engine.fetched == ["python:3.11-slim", "python:3.12-slim", "python:3.11-slim"]


async def test_each_step_is_told(engine: Remembering, recipe: Recipe) -> None:
    said: list[str] = []
    await Builder(engine, base_image="base", say=said.append).build(recipe)
    await Builder(engine, base_image="base", say=said.append).build(recipe)
    assert [line.split()[0] for line in said] == ["runtime", "packages", "function"] * 2
    assert [line.endswith("is there") for line in said] == [True, False, False, True, True, True]


async def test_a_folder_that_is_not_there(engine: Remembering) -> None:
    with pytest.raises(EngineError, match="not a folder"):
        await build(engine, Recipe(name="f", folder=Path("/nowhere")))
