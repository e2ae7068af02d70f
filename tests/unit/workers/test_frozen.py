"""The code of a version is what was published, whatever becomes of its folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.code import folder_digest
from penstock.function import Function, FunctionSpec
from workers.engines import EngineError
from workers.frozen import Frozen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "model").mkdir()
    (folder / "app.py").write_text("VERSION = 1\n")
    (folder / "data").mkdir()
    (folder / "data" / "weights").write_bytes(b"\0" * 1000)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "app.pyc").write_bytes(b"x")
    return folder


@pytest.fixture
def published(folder: Path) -> Function:
    spec = FunctionSpec(path=str(folder))
    return Function(name="model@1", spec=spec, revision=1, digest="d", code=folder_digest(folder), created_at=0)


async def test_a_change_of_the_folder_does_not_reach_a_version(
    tmp_path: Path, folder: Path, published: Function
) -> None:
    frozen = Frozen(tmp_path / "code")
    copy = Path((await frozen.of(published)).spec.path or "")
    (folder / "app.py").write_text("VERSION = 2\n")
    assert (await Frozen(tmp_path / "code").of(published)).spec.path == str(copy)
    assert (copy / "app.py").read_text() == "VERSION = 1\n"
    assert (copy / "data" / "weights").stat().st_size == 1000
    assert not (copy / "__pycache__").exists()
    assert await asyncio.to_thread(folder_digest, copy) == published.code


async def test_versions_of_the_same_content_share_a_copy(
    tmp_path: Path, folder: Path, published: Function
) -> None:
    frozen = Frozen(tmp_path / "code")
    other = published.model_copy(update={"name": "model@2"})
    paths = {(await frozen.of(one)).spec.path for one in (published, other)}
    assert len(paths) == 1


async def test_what_is_no_version_runs_where_it_is(tmp_path: Path, folder: Path, published: Function) -> None:
    latest = published.model_copy(update={"name": "model"})
    assert await Frozen(tmp_path / "code").of(latest) == latest
    image = published.model_copy(update={"spec": FunctionSpec(image="my/model:1")})
    assert await Frozen(tmp_path / "code").of(image) == image
    assert not (tmp_path / "code").exists()


async def test_a_folder_that_has_changed_since_is_refused_and_leaves_nothing(
    tmp_path: Path, folder: Path, published: Function
) -> None:
    (folder / "app.py").write_text("VERSION = 2\n")
    with pytest.raises(EngineError, match="is not what was published as model@1 any more: deploy model again"):
        await Frozen(tmp_path / "code").of(published)
    assert list((tmp_path / "code").iterdir()) == []


async def test_a_folder_that_is_gone_is_said_to_be(tmp_path: Path, folder: Path, published: Function) -> None:
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="cannot be copied for model@1"):
        await Frozen(tmp_path / "code").of(published)


async def test_copies_that_nobody_needs_go_and_young_ones_stay(
    tmp_path: Path, folder: Path, published: Function
) -> None:
    frozen = Frozen(tmp_path / "code")
    assert await frozen.sweep([], older_than=0) == 0, "there are none yet"
    copy = Path((await frozen.of(published)).spec.path or "")
    assert await frozen.sweep([], older_than=3600) == 0
    assert await frozen.sweep([published.code], older_than=-1) == 0
    assert await frozen.sweep([], older_than=-1) == 1
    assert not copy.exists()
    assert (await frozen.of(published)).spec.path == str(copy)
    assert copy.is_dir()
