"""Build contexts: what a folder asks for, the text of Dockerfiles, and that equal folders make equal contexts."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from workers.engines import EngineError
from workers.engines.images import (
    USER,
    Wishes,
    function_context,
    function_dockerfile,
    packages_context,
    packages_dockerfile,
    wishes,
)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def names(context: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        return archive.getnames()


def dockerfile(context: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        file = archive.extractfile("Dockerfile")
        assert file is not None
        return file.read().decode()


def test_packages_of_debian_stand_one_in_each_line(tmp_path: Path) -> None:
    assert wishes(tmp_path).apt == ()
    write(tmp_path, apt_txt="ffmpeg\n\n# fonts\nlibgl1  # for opencv\ng++:amd64=4:12.2.0-3\n")
    assert wishes(tmp_path).apt == ("ffmpeg", "libgl1", "g++:amd64=4:12.2.0-3")


@pytest.mark.parametrize("line", ["curl; rm -rf /", "curl wget", "-o=x", "$(id)", "Curl", "a&&b"])
def test_nothing_else_gets_into_the_shell_of_a_build(tmp_path: Path, line: str) -> None:
    write(tmp_path, apt_txt=f"ffmpeg\n{line}\n")
    with pytest.raises(EngineError, match=r"apt\.txt line 2: .* is no package"):
        wishes(tmp_path)


@pytest.mark.parametrize(
    ("text", "version"), [("3.11\n", "3.11"), ("3.12.4", "3.12"), ("\n cpython-3.13.0\n", "3.13"), ("", None)]
)
def test_a_folder_says_its_python(tmp_path: Path, text: str, version: str | None) -> None:
    assert wishes(tmp_path).python is None
    (tmp_path / ".python-version").write_text(text)
    assert wishes(tmp_path).python == version


def test_a_python_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".python-version").write_text("pypy3.9-7.3")
    with pytest.raises(EngineError, match=r"such as 3\.11"):
        wishes(tmp_path)


def test_requirements_without_any_are_none(tmp_path: Path) -> None:
    assert wishes(tmp_path).pip == b""
    write(tmp_path, requirements_txt="# none yet\n\n")
    assert wishes(tmp_path).pip == b""
    write(tmp_path, requirements_txt="# two\nnumpy==2.0\n\nscipy\n")
    assert wishes(tmp_path).pip == b"numpy==2.0\nscipy"


def test_packages_are_installed_by_root_and_the_function_runs_as_nobody() -> None:
    text = packages_dockerfile("penstock/runtime:1", Wishes(apt=("ffmpeg", "libgl1"), pip=b"numpy"))
    lines = text.splitlines()
    assert lines[:2] == ["FROM penstock/runtime:1", "USER 0:0"]
    assert lines[-1] == f"USER {USER}"
    assert "install -y --no-install-recommends ffmpeg libgl1" in text
    assert text.index("apt-get install") < text.index("pip install"), "what changes more often comes later"
    assert "--no-index --find-links /tmp/wheels" in text, "a build reaches no package index"


def test_no_step_for_what_is_not_asked_for() -> None:
    assert "apt-get" not in packages_dockerfile("r", Wishes(pip=b"numpy"))
    assert "pip" not in packages_dockerfile("r", Wishes(apt=("ffmpeg",)))


async def test_a_context_without_requirements_has_no_wheels(tmp_path: Path) -> None:
    context = await packages_context(tmp_path, Wishes(apt=("ffmpeg",)), "penstock/runtime:1", "3.11")
    assert names(context) == ["Dockerfile"]
    assert "ffmpeg" in dockerfile(context)


def test_equal_folders_make_equal_contexts(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, app_py="x = 1", data_txt="y") for name in ("one", "other"))
    os.utime(other / "app.py", (1, 1))
    (other / "app.py").chmod(0o600)
    (other / "__pycache__").mkdir()
    (other / "__pycache__" / "app.pyc").write_bytes(b"z")
    assert function_context(one, "p:1", {}) == function_context(other, "p:1", {})
    write(other, app_py="x = 2")
    assert function_context(one, "p:1", {}) != function_context(other, "p:1", {})


def test_the_environment_comes_after_the_folder_and_as_it_is() -> None:
    text = function_dockerfile("p:1", {"B": "two words", "A": 'a "$HOME" \\ ü'})
    assert text.splitlines() == [
        "FROM p:1",
        "COPY code /code",
        'ENV A="a \\"\\$HOME\\" \\\\ ü"',
        'ENV B="two words"',
    ]
