"""What counts as a change of a folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.watch import look, until_changed


def rewrite(folder: Path) -> None:
    """As editors save: another file under the same name."""
    (folder / "aside").write_text("x = 3")
    (folder / "aside").rename(folder / "app.py")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda folder: (folder / "app.py").write_text("x = 22"), ["app.py"]),
        (lambda folder: os.utime(folder / "app.py", (1, 1)), ["app.py"]),
        (rewrite, ["app.py"]),
        (lambda folder: (folder / "app.py").unlink(), ["app.py"]),
        (lambda folder: (folder / "sub" / "new.py").write_text(""), ["sub/new.py"]),
    ],
)
async def test_a_file_that_comes_goes_or_is_saved(
    tmp_path: Path, change: Callable[[Path], object], names: list[str]
) -> None:
    (tmp_path / "app.py").write_text("x = 1")
    (tmp_path / "sub").mkdir()
    before = await asyncio.to_thread(look, tmp_path)
    waiting = asyncio.create_task(until_changed(tmp_path, before))
    await asyncio.to_thread(change, tmp_path)
    assert await asyncio.wait_for(waiting, 10) == names


def test_caches_and_what_is_no_file_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    before = look(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.pyc").write_text("")
    (tmp_path / "nowhere").symlink_to("gone")
    assert look(tmp_path) == before != {}
