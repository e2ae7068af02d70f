"""The client library and the commands that stand on it, against a real `penstock up`."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import AsyncClient, Client
from penstock import client as api
from tests.e2e import specs
from tests.e2e.harness import PENSTOCK, Json, Program, Stack, wait_until
from tests.e2e.test_e2e_up import start, stop
from tests.faults.proxy import Proxy

PAGE = Path(__file__).parents[2] / "docs" / "client.md"


def talks(handler: str, **more: Any) -> Json:
    return specs.folder(
        "talks", handler=f"app:{handler}", event="json", scaling={"idle_timeout": "120s", "max": 2}, **more
    )


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    """One `penstock up` for this file."""
    with Stack("process") as stack:
        running = start(stack, {name: talks(name) for name in ("chat", "double", "train")})
        yield stack
        stop(stack, running)


@pytest.fixture
def client(up: Stack) -> Iterator[Client]:
    with Client(up.url) as client:
        yield client


# Its page


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def promised(block: str) -> list[str]:
    """What its comments say that it prints: behind a print, or below the block."""
    behind = re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)
    below = re.findall(r"^# (.*)$", block, re.MULTILINE)
    return behind + below


async def test_every_example_of_the_page_does_what_it_says(up: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", up.url)
    world: dict[str, Any] = {}

    def run(block: str) -> list[str]:
        said = io.StringIO()
        code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(said):
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, world))
            else:
                exec(code, world)
        return [line.rstrip() for line in said.getvalue().splitlines()]

    pages = blocks("python")
    assert len(pages) > 10
    # The first call starts instances, which later examples say is done.
    for block in pages:
        assert await asyncio.to_thread(run, block) == promised(block), block


def test_every_command_of_the_page_runs(up: Stack) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) > 3
    environment = up.environment | {"PATH": f"{Path(PENSTOCK[0]).parent}:{os.environ['PATH']}"}
    said = {
        line: subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=60)
        for line in lines
    }
    assert {line: ran.returncode for line, ran in said.items()} == dict.fromkeys(lines, 0), said
    assert said[lines[0]].stdout == '{"n": 42}'
    assert said[lines[1]].stdout == "water drives the wheel "


def test_the_page_names_every_error_and_every_method() -> None:
    text = PAGE.read_text()
    errors = [name for name in api.__all__ if issubclass(getattr(api, name), Exception)]
    methods = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if name[0] != "_"]
    assert [name for name in [*errors, *methods] if name not in text and name != "close"] == []


# Streams


async def test_pieces_come_as_they_are_made(up: Stack) -> None:
    async with AsyncClient(up.url) as client:
        await client.invoke("chat", {"prompt": "warm"})
        pieces = client.stream_text("chat", {"prompt": "one two three", "seconds": 0.5})
        seen = [(time.monotonic(), text) async for text in pieces]
    assert [text for _, text in seen] == ["one ", "two ", "three "]
    assert seen[-1][0] - seen[0][0] > 0.8, "not all at the end"


async def test_a_stream_that_its_function_breaks_off_is_no_answer(up: Stack) -> None:
    async with AsyncClient(up.url) as client:
        pieces = client.stream_text("chat", {"prompt": "a b c", "fail": True, "seconds": 0.2})
        assert await anext(pieces) == "a "
        with pytest.raises(api.Unreachable, match="broke off before its end"):
            assert "".join([text async for text in pieces]) == "never whole"
        with pytest.raises(api.FunctionError, match="out of words"):
            await (await client.submit("chat", {"prompt": "a", "fail": True})).result()


async def test_a_call_whose_connection_breaks_again_and_again_runs_once(up: Stack) -> None:
    proxy = Proxy(("127.0.0.1", up.port))
    try:
        async with AsyncClient(f"http://127.0.0.1:{proxy.port}") as client:
            call = asyncio.create_task(client.invoke("train", {"steps": 20, "seconds": 0.1}))
            for _ in range(5):
                await asyncio.sleep(0.3)
                proxy.drop()
            answer = await call
            assert answer.value == {"steps": 20}
            lines = [line async for line in client.job("train", answer.invocation_id).logs()]
    finally:
        proxy.close()
    assert lines == [f"epoch {number}" for number in range(1, 21)]


async def test_events_through_cut_connections_are_all_there_and_once(up: Stack) -> None:
    proxy = Proxy(("127.0.0.1", up.port))
    try:
        async with AsyncClient(f"http://127.0.0.1:{proxy.port}") as client:
            job = await client.submit("train", {"steps": 30, "seconds": 0.05})
            seen = []
            async for event in job.events():
                if event.id is not None:
                    seen.append(event)
                    if len(seen) % 7 == 0:
                        proxy.drop()
            whole = [event async for event in job.events() if event.id is not None]
    finally:
        proxy.close()
    assert [event.id for event in seen] == [event.id for event in whole]
    progress = [event.message for event in seen if isinstance(event, api.Progress)]
    assert progress == [f"step {step}/30" for step in range(1, 31)]


def test_a_thousand_items(client: Client) -> None:
    answers = client.map("double", ({"n": n} for n in range(1000)), progress=False)
    assert [answer.value["n"] for answer in answers] == [2 * n for n in range(1000)]


def test_a_bar_goes_to_standard_error(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    assert len(client.map("double", [{"n": 1}] * 5, progress=True)) == 5
    out, err = capfd.readouterr()
    assert out == ""
    assert "5/5" in err


# Commands


def command(up: Stack, *arguments: str) -> Program:
    """A long-running command of a client, its output in its log."""
    return up.run(*arguments, "--url", up.url)


def test_invoke_gives_an_open_ended_answer_as_it_comes(up: Stack) -> None:
    invoke = subprocess.Popen(
        [*PENSTOCK, "invoke", "chat", "-d", '{"prompt": "first grün last", "seconds": 1}'],
        env=up.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert invoke.stdout is not None
    first = os.read(invoke.stdout.fileno(), 100)
    assert first == b"first "
    assert invoke.poll() is None, "the others still come"
    rest, said = invoke.communicate(timeout=30)
    assert rest.decode() == "grün last "
    assert invoke.returncode == 0, said


def test_invoke_that_is_interrupted_says_which_job_goes_on(up: Stack, client: Client) -> None:
    invoke = command(up, "invoke", "train", "-d", '{"steps": 100, "seconds": 0.1}')
    invoke.says("step 2/100")
    assert invoke.stop(signal.SIGINT) != 0
    found = re.search(r"the job goes on: `penstock jobs train (\S+)` shows it", invoke.output())
    assert found is not None, invoke.output()
    assert "Traceback" not in invoke.output()
    job = client.job("train", found[1])
    assert job.status()["state"] == "running"
    job.cancel()


def test_invoke_shows_progress(up: Stack) -> None:
    done = up.cli("invoke", "train", "-d", '{"steps": 2, "seconds": 0.3}')
    assert (done.returncode, done.stdout) == (0, '{"steps": 2}')
    (instance,) = {line.split()[2].rstrip(":") for line in done.stderr.splitlines() if "running on" in line}
    assert done.stderr.splitlines()[-2:] == [
        f"running on {instance}: step 1/2: 50%",
        f"running on {instance}: step 2/2: 100%",
    ]


def test_logs_of_all_of_one_and_of_a_job(up: Stack, client: Client) -> None:
    job = client.submit("train", {"steps": 3})
    job.result(timeout=20)
    instance = job.status()["instance"]
    assert instance is not None
    whole = up.cli("logs", "train")
    assert whole.returncode == 0
    assert whole.stdout.splitlines()[-3:] == [f"{instance} epoch {step}" for step in (1, 2, 3)]
    one = up.cli("logs", "train", instance, "--tail", "2")
    assert one.stdout == "epoch 2\nepoch 3\n"
    assert up.cli("logs", "train", job.id).stdout == "epoch 1\nepoch 2\nepoch 3\n"
    for unknown in ("train-0", job.id[::-1]):
        assert up.cli("logs", "train", unknown).returncode in (1, 2)


def test_logs_follow_until_ctrl_c(up: Stack, client: Client) -> None:
    client.invoke("train", {"steps": 1})
    follow = command(up, "logs", "train", "-f", "--tail", "1")
    follow.says("epoch 1")
    job = client.submit("train", {"steps": 40, "seconds": 0.1})
    follow.says("epoch 40")
    of_job = command(up, "logs", "train", job.id, "-f")
    assert of_job.process.wait(20) == 0, "a job's log ends with it"
    assert of_job.output().splitlines() == [f"epoch {step}" for step in range(1, 41)]
    assert follow.stop(signal.SIGINT) == 0
    assert "Traceback" not in follow.output()


def test_logs_up_to_now_of_a_job_that_runs(up: Stack, client: Client) -> None:
    job = client.submit("train", {"steps": 100, "seconds": 0.1})
    wait_until(lambda: list(job.logs(follow=False)), 10, "it writes")
    shown = up.cli("logs", "train", job.id)
    assert shown.returncode == 0
    assert "epoch 1" in shown.stdout.splitlines()
    assert "epoch 100" not in shown.stdout
    assert job.cancel()["state"] == "cancelled"
