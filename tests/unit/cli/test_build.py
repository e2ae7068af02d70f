"""`penstock build`: the lines that deploy an image, and what it refuses. tests/contract/test_images.py builds."""

from __future__ import annotations

from pathlib import Path

from penstock.cli.build import deployed
from penstock.cli.folder import function_of
from penstock.function import FunctionSpec
from tests.unit.cli.conftest import Penstock, one_line

HANDLER = "def handler(event, context):\n    return event\n"


def test_a_folder_alone_needs_an_image_and_the_runtimes_hook(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    _, spec = function_of(tmp_path, handler=None, event=None)
    lines = deployed(spec, "mine:1")
    assert lines == {"image": "mine:1", "lifecycle": {"initialize": {"path": "/initialize", "timeout": "5m"}}}


def test_the_folders_own_spec_goes_on_without_what_the_image_holds(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "penstock.yaml").write_text(
        "functions:\n  other: {image: x}\n  batched:\n    path: .\n    event: json\n    concurrency: 2\n"
        "    batch: {max_size: 8}\n    timeout: 30s\n    resources: {memory: 1GiB}\n"
    )
    name, spec = function_of(tmp_path, handler=None, event=None)
    lines = deployed(spec, "mine:1")
    assert name == "batched"
    assert lines.pop("lifecycle")["initialize"]["path"] == "/initialize"
    assert lines == {
        "image": "mine:1",
        "timeout": "30s",
        "resources": {"memory": "1GiB"},
        "concurrency": 16,  # as many as fill its two batches
    }
    assert FunctionSpec.model_validate(lines).slots == spec.slots


def test_a_folder_that_cannot_be_built_is_refused_in_one_line(penstock: Penstock, tmp_path: Path) -> None:
    assert "is not a folder" in one_line(penstock("build", tmp_path / "none"), 2)
    assert "app.py is not there; name it with --handler" in one_line(penstock("build", tmp_path), 2)


def test_without_an_engine_it_says_so(penstock: Penstock, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    said = one_line(penstock("build", tmp_path), 1)
    assert said.startswith("no Docker Engine answers (")
    assert said.endswith("start one, or set DOCKER_HOST")


def test_a_network_that_is_none(penstock: Penstock, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    assert "build_network" in one_line(penstock("build", tmp_path, "--build-network", "wifi"), 2)
