"""What `penstock up` says: where it listens, and lines that can be pasted."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from penstock.cli import banner
from penstock.function import FunctionSpec
from penstock.settings import Settings

BYTES = FunctionSpec(image="x")
JSON = FunctionSpec(image="x", event="json")
SETTINGS = Settings(gateway={"port": 8123})


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line]


def pasted(lines: list[str]) -> list[str]:
    """The lines that are commands."""
    return [line for line in lines if line.startswith("curl ")]


def test_it_tells_where_it_listens_and_three_lines_to_paste(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(SETTINGS, {"echo": BYTES}, failed={})
    lines = said(capsys)
    assert lines[0] == "Penstock listens on http://127.0.0.1:8123"
    call, poll, callback = pasted(lines)
    calls = "http://127.0.0.1:8123/v1/functions/echo/invocations"
    assert shlex.split(call) == ["curl", "-i", "-d", "Nice to meet you", calls]
    assert poll.startswith("curl -s 'http://127.0.0.1:8123'$(curl ")
    assert "Prefer: respond-async" in poll
    assert shlex.split(callback)[-1] == calls
    assert "Penstock-Callback-Url: http://127.0.0.1:9999/" in shlex.split(callback)


def test_a_shell_understands_what_is_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(SETTINGS, {"echo": BYTES}, failed={})
    for line in pasted(said(capsys)):
        subprocess.run(["sh", "-n", "-c", line], check=True)


def test_where_there_are_keys_each_line_sends_one(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(SETTINGS, {"echo": BYTES}, failed={}, keyed=True)
    lines = said(capsys)
    assert any("`penstock keys create NAME` makes one" in line for line in lines)
    call, poll, callback = pasted(lines)
    assert [line.count("Authorization: Bearer $PENSTOCK_KEY") for line in (call, poll, callback)] == [1, 2, 1]
    for line in (call, poll, callback):
        subprocess.run(["sh", "-n", "-c", line], check=True)


@pytest.mark.parametrize(
    ("specs", "sample"),
    [
        ({"digits": JSON, "echo": BYTES, "sentiment": BYTES}, "sentiment"),
        ({"digits": JSON, "echo": BYTES}, "echo"),
        ({"digits": JSON}, "digits"),
        ({"sentiment": JSON, "other": BYTES}, "other"),
    ],
)
def test_the_lines_call_a_function_that_can_make_something_of_text(
    capsys: pytest.CaptureFixture[str], specs: dict[str, FunctionSpec], sample: str
) -> None:
    banner.ready(SETTINGS, specs, failed={})
    assert all(f"/v1/functions/{sample}/invocations" in line for line in pasted(said(capsys)))


def test_a_function_that_cannot_be_invoked_is_named_and_not_called(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(SETTINGS, {"broken": BYTES, "echo": BYTES}, failed={"broken": "no such image"})
    lines = said(capsys)
    assert "broken cannot be invoked (see above)" in lines
    assert not [line for line in pasted(lines) if "broken" in line]


@pytest.mark.parametrize(("specs", "failed"), [({}, {}), ({"echo": BYTES}, {"echo": "no"})])
def test_without_a_function_there_is_nothing_to_paste(
    capsys: pytest.CaptureFixture[str], specs: dict[str, FunctionSpec], failed: dict[str, str]
) -> None:
    banner.ready(SETTINGS, specs, failed=failed)
    lines = said(capsys)
    assert pasted(lines) == []
    assert lines[-1] == "No function is deployed; deploy some with `penstock deploy -f FILE`."


def test_the_listener_is_told_of_another_data_dir(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    banner.ready(SETTINGS, {"echo": BYTES}, failed={})
    assert not [line for line in said(capsys) if "--data-dir" in line]
    banner.ready(SETTINGS.model_copy(update={"data_dir": tmp_path}), {"echo": BYTES}, failed={})
    assert [line for line in said(capsys) if line.endswith(f"listen --data-dir {tmp_path}")]


def test_the_process_engine_warns_of_code_that_one_does_not_trust(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    banner.starting(SETTINGS, {"echo": BYTES})
    lines = said(capsys)
    assert lines[0].startswith("Penstock is starting: engine process, data in ")
    assert "without isolation: run only code that you trust" in lines[1]
    banner.starting(SETTINGS, {})
    assert len(said(capsys)) == 1, "nothing runs yet"
    banner.starting(Settings(workers={"engine": "docker"}), {"echo": BYTES})
    assert len(said(capsys)) == 1


def test_a_first_start_that_takes_long_is_announced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = FunctionSpec(path=str(tmp_path))
    banner.starting(SETTINGS, {"echo": spec})
    assert not [line for line in said(capsys) if "requirements" in line]
    (tmp_path / "requirements.txt").touch()
    banner.starting(SETTINGS, {"echo": spec})
    assert [line for line in said(capsys) if "installs the functions' requirements" in line]
