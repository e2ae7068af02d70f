"""`penstock init`: what it writes, what it never overwrites, and that each template works."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from penstock import specfile
from penstock.cli.init import templates
from tests.unit.cli.conftest import Penstock, one_line
from tests.unit.cli.test_run import Run

CALLS = {
    "handler": ("/invoke", b"you", b'{"hello": "you", "attempt": 1}'),
    "lambda": ("/invoke", b'{"name": "you"}', b"hello you"),
    "predictor": ("/invoke", b'{"text": "good good", "scale": 2}', b'{"score": 4.0}'),
    "fastapi": ("/ask", b'{"text": "one two"}', b'{"words":2}'),
}
"""Template → path, body and a part of the answer."""


def test_it_writes_a_function_and_says_what_comes_next(penstock: Penstock, tmp_path: Path) -> None:
    folder = tmp_path / "My Function"
    ran = penstock("init", folder)
    assert (ran.code, ran.err) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"app.py", "penstock.yaml", "README.md"}
    for command in (
        f"penstock run {folder}",
        f"penstock up -f {folder}/penstock.yaml",
        f"penstock build {folder}",
    ):
        assert command in ran.out
    (name,) = specfile.load(folder / "penstock.yaml")
    assert name == "my-function"


def test_nothing_is_ever_overwritten(penstock: Penstock, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    said = one_line(penstock("init", tmp_path), 2)
    assert said.startswith("README.md in ")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"], "nor is half of it written"
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_template_that_is_not_there(penstock: Penstock, tmp_path: Path) -> None:
    said = one_line(penstock("init", tmp_path / "x", "--template", "rails"), 2)
    assert said == "no template is called 'rails'; there are fastapi, handler, lambda, predictor"


def test_a_folder_that_cannot_be_written(penstock: Penstock, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to" in one_line(penstock("init", tmp_path / "file" / "x"), 2)


def test_every_template_is_tried() -> None:
    assert set(templates()) == set(CALLS)


@pytest.mark.parametrize("template", CALLS)
def test_a_template_works_as_it_is(penstock: Penstock, tmp_path: Path, template: str) -> None:
    folder = tmp_path / "fresh"
    assert penstock("init", folder, "--template", template).code == 0
    path, body, part = CALLS[template]
    with Run(folder) as run:
        run.says("fresh is ready:", timeout=100)
        reply = requests.post(run.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=20)
    assert reply.status_code == 200, reply.text
    assert part in reply.content
