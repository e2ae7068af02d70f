"""`penstock run`: a folder's function as a real process, started anew on a change, and nothing left at the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from tests.unit.cli.conftest import Penstock, free_port, one_line
from tests.unit.workers.waiting import until_now

GOOD = "def handler(event, context):\n    return {'answer': %s}\n"


class Run:
    """`penstock run FOLDER` until the context ends; then it is told to stop, and must leave nothing."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder.parent / f"{self.port}.log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "penstock.cli",
                    "run",
                    str(folder),
                    "--port",
                    str(self.port),
                    *options,
                ],
                env={**os.environ, "PENSTOCK_DATA_DIR": str(folder.parent / "data")},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            assert self.end(signal.SIGINT) == 0, self.said()

    def end(self, number: int) -> int:
        """What Ctrl-C and others do; its exit code, once all its processes are gone."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        code = self.process.wait(20)
        until_now(lambda: not any(one.is_running() for one in family), "its children are gone", timeout=10)
        return code

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, text: str, times: int = 1, timeout: float = 30) -> None:
        def said() -> bool:
            assert self.process.poll() is None or self.said().count(text) >= times, self.said()
            return self.said().count(text) >= times

        until_now(said, f"it says {text!r}", timeout=timeout)

    def call(self, body: bytes = b"x") -> requests.Response:
        return requests.post(f"{self.url}/invoke", data=body, timeout=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tried"
    folder.mkdir()
    (folder / "app.py").write_text(GOOD % 1)
    return folder


def test_it_prints_a_line_to_paste_that_works(folder: Path) -> None:
    with Run(folder) as run:
        run.says("tried is ready:")
        line = re.search(r"curl .*", run.said())
        assert line is not None
        assert (
            subprocess.run(["bash", "-c", f"{line[0]} -s"], capture_output=True, check=True).stdout
            == b'{"answer": 1}'
        )


def test_a_change_starts_it_anew(folder: Path) -> None:
    with Run(folder) as run:
        run.says("tried is ready:")
        assert run.call().json() == {"answer": 1}
        (folder / "app.py").write_text(GOOD % 22)
        run.says("tried is ready:", times=2)
        assert "changed: app.py" in run.said()
        assert run.call().json() == {"answer": 22}


def test_a_handler_that_cannot_be_loaded_says_why_and_waits_for_a_change(folder: Path) -> None:
    (folder / "app.py").write_text("def handler(event, context)\n    return 1\n")
    with Run(folder) as run:
        run.says("tried does not start: initialize raised SyntaxError")
        assert 'app.py", line 1' in run.said()
        (folder / "app.py").write_text(GOOD % 3)
        run.says("tried is ready:")
        assert run.call().json() == {"answer": 3}


def test_what_the_handler_raises_is_shown_as_it_happens(folder: Path) -> None:
    (folder / "app.py").write_text(
        "def handler(event, context):\n    print('about to', flush=True)\n    return 1 / 0\n"
    )
    with Run(folder) as run:
        run.says("tried is ready:")
        assert run.call().status_code == 500
        run.says("ZeroDivisionError: division by zero")
        assert "about to" in run.said()


def test_one_that_ends_is_started_again(folder: Path) -> None:
    (folder / "app.py").write_text("import os\n\ndef handler(event, context):\n    os._exit(3)\n")
    with Run(folder) as run:
        run.says("tried is ready:")
        with pytest.raises(requests.ConnectionError):
            run.call()
        run.says("tried ended with exit code 3")
        run.says("tried is ready:", times=2)


def test_without_reload_it_ends_when_the_function_does(folder: Path) -> None:
    (folder / "app.py").write_text("def handler(event, context):\n    return later\n\n1 / 0\n")
    run = Run(folder, "--no-reload")
    assert run.process.wait(30) == 1
    assert "tried does not start: initialize raised ZeroDivisionError" in run.said()


def test_without_reload_a_change_changes_nothing(folder: Path) -> None:
    with Run(folder, "--no-reload") as run:
        run.says("tried is ready:")
        (folder / "app.py").write_text(GOOD % 2)
        (folder / "app.py").touch()
        assert run.call().json() == {"answer": 1}
        assert "changed" not in run.said()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_leaves_nothing(folder: Path, number: int) -> None:
    (folder / "app.py").write_text(
        "import subprocess, time\n\ndef initialize(context):\n    subprocess.Popen(['sleep', '600'])\n\n"
        "def handler(event, context):\n    time.sleep(600)\n"
    )
    run = Run(folder)
    run.says("tried is ready:")
    sleeping = psutil.Process(run.process.pid).children(recursive=True)
    assert any(one.name() == "sleep" for one in sleeping)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{run.url}/invoke", data=b"", timeout=0.3)
    if number == signal.SIGKILL:
        run.process.kill()
        run.process.wait(20)
        runtimes = [one for one in sleeping if one.name() != "sleep"]
        until_now(lambda: not any(one.is_running() for one in runtimes), "the runtime dies with it", timeout=10)
        for one in sleeping:
            if one.is_running():
                one.kill()
    else:
        assert run.end(number) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", run.port)) != 0


def test_the_spec_beside_the_handler_is_used(folder: Path) -> None:
    (folder / "app.py").write_text(
        "import os\n\ndef ask(event, context):\n"
        "    return [os.environ['GREETING'], event['n'], context.function.name]\n"
    )
    (folder / "penstock.yaml").write_text(
        "functions:\n  named:\n    path: .\n    handler: app:ask\n    event: json\n    env: {GREETING: hi}\n"
    )
    with Run(folder) as run:
        run.says("named is ready:")
        assert run.call(b'{"n": 7}').json() == ["hi", 7, "named"]


def test_what_cannot_run_is_refused_in_one_line(penstock: Penstock, folder: Path) -> None:
    for arguments, said in (
        (["/no/such/folder"], "/no/such/folder is not a folder; give the folder that the handler is in"),
        ([folder, "--handler", "app:nope"], "app.py has no nope; name another with --handler"),
        ([folder, "--handler", "other:handler"], "other.py is not there; name it with --handler module:name"),
        ([folder, "--handler", "app"], "--handler: string should match pattern"),
        ([folder, "--event", "xml"], "--event: input should be 'bytes' or 'json' (got 'xml')"),
    ):
        assert said in one_line(penstock("run", *arguments), 2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(penstock("run", folder, "--port", str(port)), 2)
    assert said == f"cannot listen on port {port}: Address already in use; give another --port"


def test_requirements_that_cannot_be_had_are_told_in_pips_words(folder: Path) -> None:
    (folder / "requirements.txt").write_text("no-such-package-anywhere==1\n")
    with Run(folder) as run:
        run.says("No matching distribution found for no-such-package-anywhere==1", timeout=60)
