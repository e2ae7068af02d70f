"""A new revision while calls go on: none fails, none waits long, and after the deploy all get the new code."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.e2e import specs
from tests.e2e.harness import FUNCTIONS, Json, Stack, wait_until

_HANDLER = """
def handler(event, context):
    return {answer!r}
"""


@dataclass(frozen=True)
class Call:
    began: float
    took: float
    status: int
    text: str


@pytest.mark.waits
def test_new_calls_get_the_new_code_and_none_fails(stack: Stack) -> None:
    folder = stack.folder / "changing"
    spec = code(folder, "one")
    stack.deploy({"changing": spec})
    assert stack.call("changing").text == "one"
    with calling(stack, "changing") as calls:
        code(folder, "two")
        done = stack.deploy({"changing": spec})
        assert re.match(r"changing: revision \d+\nchanging: ready to be invoked\n", done.stdout)
        deployed = time.monotonic()
        wait_until(lambda: len([call for call in calls if call.began > deployed]) >= 20, 20, "calls go on")
    assert {(call.status, call.text) for call in calls} == {(200, "one"), (200, "two")}
    after = [call for call in calls if call.began > deployed]
    assert {call.text for call in after} == {"two"}
    # What the old code had begun may end a moment later than the first answer of the new one.
    first = min(call.began + call.took for call in calls if call.text == "two")
    assert all(call.began <= first for call in calls if call.text == "one"), "nobody is sent back to the old code"
    slowest = max(call.took for call in calls)
    assert slowest < 3, f"a call waited {slowest:.1f} s for the switch"
    # The same again changes nothing: no revision, no cold start.
    again = stack.deploy({"changing": spec})
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
    assert stack.call("changing").headers["Penstock-Cold-Start"] == "false"


def test_a_revision_that_cannot_be_prepared_leaves_the_old_one_at_work(
    process_stack: Stack, tmp_path: Path
) -> None:
    stack, spec = process_stack, code(tmp_path, "works")
    stack.deploy({"careful": spec})
    assert stack.call("careful").text == "works"
    with calling(stack, "careful") as calls:
        refused = stack.deploy({"careful": {"image": "needs/containers"}}, ok=False)
        assert refused.returncode == 1
        assert "image needs containers" in refused.stderr
    assert {(call.status, call.text) for call in calls} == {(200, "works")}
    assert max(call.took for call in calls) < 2


def test_a_requirement_is_installed_once_and_before_any_call(process_stack: Stack, tmp_path: Path) -> None:
    """From a wheel beside the code, so that no package index is needed for it."""
    stack = process_stack
    shutil.copytree(FUNCTIONS / "echo", tmp_path / "needy")
    wheel = make_wheel(tmp_path)
    (tmp_path / "needy" / "requirements.txt").write_text(f"{wheel}\n")
    (tmp_path / "needy" / "app.py").write_text(
        "import needed\n\ndef handler(event, context):\n    return needed.ANSWER\n"
    )
    spec = {**specs.folder("echo"), "path": str(tmp_path / "needy")}
    stack.deploy({"needy": spec})
    reply = stack.call("needy")
    assert (reply.status_code, reply.text) == (200, "from the wheel")
    assert reply.elapsed.total_seconds() < 5, "nothing is installed in a call's cold start"
    began = time.monotonic()
    stack.deploy({"needy": spec | {"timeout": "5s"}})
    assert time.monotonic() - began < 4, "the environment is there already"


def code(folder: Path, answer: str) -> Json:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(_HANDLER.format(answer=answer))
    return {**specs.folder("echo", scaling={"idle_timeout": "30s"}), "path": str(folder)}


def make_wheel(folder: Path) -> Path:
    """The smallest package that pip installs."""
    import zipfile

    wheel = folder / "needed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("needed.py", 'ANSWER = "from the wheel"\n')
        info = "needed-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: needed\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@contextmanager
def calling(stack: Stack, function: str) -> Iterator[list[Call]]:
    """Two clients that call one after the other, without a pause."""
    calls: list[Call] = []
    stop = threading.Event()

    def client() -> None:
        with requests.Session() as http:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    reply = http.post(stack.path(function), timeout=30)
                except requests.RequestException as error:
                    calls.append(Call(began, time.monotonic() - began, 0, repr(error)))
                else:
                    calls.append(Call(began, time.monotonic() - began, reply.status_code, reply.text))

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        stop.set()
        for thread in threads:
            thread.join()
