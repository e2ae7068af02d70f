"""A change of a function's folder is noticed, and what is no code of it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.code import IGNORED, folder_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def handler(): ...")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "model.bin").write_bytes(bytes(range(256)))
    return tmp_path


def test_the_same_code_has_the_same_digest_wherever_and_whenever(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy")
    (copy / "lib").mkdir()
    (copy / "lib" / "model.bin").write_bytes(bytes(range(256)))
    (copy / "app.py").write_text("def handler(): ...")
    os.utime(copy / "app.py", (0, 0))
    assert folder_digest(copy) == folder_digest(folder)


def test_a_changed_file_is_noticed(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "lib" / "model.bin").write_bytes(bytes(range(255)))
    assert folder_digest(folder) != before


def test_a_new_a_removed_and_a_renamed_file_are_noticed(folder: Path) -> None:
    seen = [folder_digest(folder)]
    (folder / "new.py").touch()
    seen.append(folder_digest(folder))
    (folder / "new.py").rename(folder / "other.py")
    seen.append(folder_digest(folder))
    (folder / "lib" / "model.bin").unlink()
    seen.append(folder_digest(folder))
    assert len(set(seen)) == 4


def test_contents_that_change_places_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    before = folder_digest(tmp_path)
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    assert folder_digest(tmp_path) != before


def test_a_name_cannot_pass_for_another_names_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "a").mkdir(parents=True)
    two.mkdir()
    (one / "a" / "b").write_text("x")
    (two / "ab").write_text("x")
    assert folder_digest(one) != folder_digest(two)


@pytest.mark.parametrize("name", sorted(IGNORED))
@pytest.mark.parametrize("below", [".", "lib"])
def test_what_tools_leave_there_is_no_code(folder: Path, name: str, below: str) -> None:
    before = folder_digest(folder)
    (folder / below / name).mkdir()
    (folder / below / name / "cache").write_text("x")
    assert folder_digest(folder) == before


def test_an_empty_folder_has_a_digest(tmp_path: Path) -> None:
    assert len(folder_digest(tmp_path)) == 64
