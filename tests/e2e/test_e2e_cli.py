"""The commands as a person at a terminal uses them, against a running deployment."""

from __future__ import annotations

import json
import re
import subprocess

import requests

from tests.e2e.harness import CALLBACK_SECRET, PENSTOCK, Stack, free_port


def test_invoke_prints_the_answer_and_shows_progress_beside_it(process_stack: Stack) -> None:
    stack = process_stack
    done = stack.cli("invoke", "heavy", "-d", "Nice to meet you")
    assert (done.returncode, done.stdout) == (0, "Nice to meet you"), done.stderr
    first, *later = done.stderr.splitlines()
    assert first.startswith(("queued #1: ", "starting #1: "))
    assert "nothing queued" not in first
    assert any(
        re.fullmatch(r"starting #1: instance heavy-\w+ is initializing, \d\.\d s into its start", line)
        for line in later
    ), done.stderr
    file = stack.folder / "body"
    file.write_bytes(b"\x00\xff\n")
    answer = subprocess.run(
        [*PENSTOCK, "invoke", "echo", "-d", f"@{file}"], env=stack.environment, capture_output=True, check=True
    )
    assert answer.stdout == b"\x00\xff\n", "byte for byte"
    piped = subprocess.run(
        [*PENSTOCK, "invoke", "echo", "-d", "@-"],
        env=stack.environment,
        capture_output=True,
        check=True,
        input=b"from a pipe",
    )
    assert piped.stdout == b"from a pipe"


def test_invoke_says_what_went_wrong(process_stack: Stack) -> None:
    stack = process_stack
    failed = stack.cli("invoke", "raises", "-d", "x")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "function_error: TooSad: 1 bytes are too sad" in failed.stderr
    assert "about to raise" in failed.stderr, "the last lines of its log"
    unknown = stack.cli("invoke", "nobody", "-d", "x")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.count("\n") == 1
    assert "no function is named 'nobody'" in unknown.stderr
    nowhere = stack.cli("invoke", "echo", "--url", f"http://127.0.0.1:{free_port()}")
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert "no gateway answers" in nowhere.stderr


def test_jobs_instances_and_functions(process_stack: Stack) -> None:
    stack = process_stack
    job = stack.cli("invoke", "jobs", "--async", "-d", '{"n": 5, "seconds": 0.1}').stdout.strip()
    record = stack.finished("jobs", job)

    listed = stack.cli("jobs", "jobs")
    assert listed.returncode == 0
    (line,) = [line for line in listed.stdout.splitlines() if job in line]
    assert line.split()[:3] == [job, "succeeded", "1"]
    only_failed = stack.cli("jobs", "jobs", "--state", "failed")
    assert only_failed.returncode == 0
    assert job not in only_failed.stdout
    shown = stack.cli("jobs", "jobs", job)
    assert json.loads(shown.stdout) == record

    functions = stack.cli("functions")
    assert functions.returncode == 0
    rows = {line.split()[0]: line for line in functions.stdout.splitlines()[1:]}
    assert {"echo", "jobs", "broken", "server"} <= set(rows)
    assert "slow/" in rows["jobs"]

    stack.call("echo", b"x")
    (instance,) = stack.instances("echo")
    instances = stack.cli("instances", "echo")
    assert instances.returncode == 0
    (line,) = [line for line in instances.stdout.splitlines() if instance in line]
    assert line.split()[1] in ("idle", "busy")
    assert "wanted: 1" in instances.stdout


def test_listen_prints_what_it_verified(process_stack: Stack) -> None:
    stack, port = process_stack, free_port()
    listen = stack.run("listen", "--port", str(port))
    listen.says("Listening for callbacks")
    hook = {"Penstock-Callback-Url": f"http://127.0.0.1:{port}/"}
    job = stack.submit("echo", "told", headers=hook)["id"]
    listen.says(f"verified msg_{job}")
    printed = json.loads(listen.output().partition(f"verified msg_{job}\n")[2])
    assert (printed["type"], printed["data"]["id"]) == ("invocation.succeeded", job)
    forged = requests.post(f"http://127.0.0.1:{port}/", data=b"{}", timeout=5)
    assert forged.status_code == 401
    listen.says("refused")
    assert CALLBACK_SECRET not in listen.output()
    assert listen.stop() == 0


def test_doctor_looks_at_redis_docker_gpus_and_the_port(process_stack: Stack) -> None:
    stack = process_stack
    well = stack.cli("doctor", "--redis-url", stack.redis.url, "--port", str(free_port()))
    assert well.returncode == 0, well.stdout
    checks = {line.split(":")[0][2:]: line for line in well.stdout.splitlines() if line[:1] in "✓!"}
    assert {"Python", "Port", "Redis", "Redis durability", "Docker", "GPU"} <= checks.keys()
    assert "keeps an append-only file" in checks["Redis durability"]
    taken = stack.cli("doctor", "--redis-url", stack.redis.url, "--port", str(stack.port))
    assert "Address already in use" in taken.stdout
    broken = stack.cli("doctor", "--redis-url", f"redis://127.0.0.1:{free_port()}/0")
    assert broken.returncode == 1
    assert "does not answer" in broken.stdout
