"""Draining updates: how one revision follows another under a steady stream of held calls, none of which fails."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e import specs
from tests.e2e.harness import Json, Stack, wait_until
from tests.e2e.test_e2e_redeploy import Call, calling

_HANDLER = """
import time

def initialize(context):
    time.sleep({load})
    {ready}

def handler(event, context):
    time.sleep(0.05)
    return {answer!r}
"""


@pytest.mark.waits
def test_the_old_revision_serves_until_the_new_one_is_ready() -> None:
    with Stack("process") as stack:
        folder = stack.folder / "work"
        stack.start().deploy({"work": revision(folder, "one")})
        assert stack.call("work").text == "one"
        (old,) = stack.instances("work")
        with calling(stack, "work") as calls, ThreadPoolExecutor(1) as threads:
            loading = time.monotonic()
            deployed = threads.submit(stack.deploy, {"work": revision(folder, "two", load=2)})
            both = wait_until(
                lambda: len(stack.instances("work")) == 2 and stack.instances("work"), 10, "it starts"
            )
            assert old in both
            wait_until(lambda: calls[-1].text == "two", 10, "the answers switch")
            switched = time.monotonic()
            assert "work: ready to be invoked" in deployed.result().stdout, "it waits for the switch"
            wait_until(lambda: stack.instances("work") == both - {old}, 5, "the old one goes")
            wait_until(lambda: calls[-1].began > switched, 5, "and calls go on")
        none_failed(calls, "one", "two")
        assert switched - loading > 2, "the new one took its time"
        assert max(call.took for call in calls) < 1.5, "and nobody waited for it"


_CRASH_LOOP = re.compile(r"\d starts failed in a row since \S+Z: initialize raised OSError: no weights")


@pytest.mark.waits
def test_the_old_revision_goes_on_when_the_new_one_is_never_ready() -> None:
    with Stack("process") as stack:
        folder = stack.folder / "work"
        stack.start().deploy({"work": revision(folder, "one")})
        assert stack.call("work").text == "one"
        (old,) = stack.instances("work")
        with calling(stack, "work") as calls:
            never = revision(folder, "never", ready="raise OSError('no weights')")
            refused = stack.deploy({"work": never}, ok=False)
            assert refused.returncode == 1
            says = "revision 2 does not start: initialize raised OSError: no weights; the one before it goes on"
            assert says in refused.stderr
            wait_until(lambda: _CRASH_LOOP.match(why(stack)), 10, "it is told")
            wait_until(lambda: why(stack).startswith("3 starts failed"), 10, "it is tried again and again")
            last = calls[-1]
            wait_until(lambda: calls[-1].began > last.began, 5, "and calls go on")
            assert old in stack.instances("work")
            none_failed(calls, "one")

            stack.deploy({"work": revision(folder, "two")})
            wait_until(lambda: calls[-1].text == "two", 10, "one that works follows")
            wait_until(lambda: old not in stack.instances("work"), 5, "only now the old one goes")
        none_failed(calls, "one", "two")
        assert max(call.took for call in calls) < 1.5


@pytest.mark.waits
def test_on_the_only_place_the_old_revision_goes_first() -> None:
    with Stack("process", WORKERS__SLOTS="1") as stack:
        folder = stack.folder / "work"
        stack.start().deploy({"work": revision(folder, "one")})
        assert stack.call("work").text == "one"
        (old,) = stack.instances("work")
        seen: list[set[str]] = []
        with calling(stack, "work") as calls, ThreadPoolExecutor(1) as threads:
            deployed = threads.submit(stack.deploy, {"work": revision(folder, "two")})

            def answers_switch() -> bool:
                seen.append(stack.instances("work"))
                return bool(calls) and calls[-1].text == "two"

            wait_until(answers_switch, 15, "the answers switch")
            deployed.result()
        none_failed(calls, "one", "two")
        assert max(len(instances) for instances in seen) == 1, "there is room for one"
        assert old not in seen[-1]
        assert max(call.took for call in calls) < 5, "a call waits for one start at most"


def revision(folder: Path, answer: str, *, load: float = 0, ready: str = "pass") -> Json:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(_HANDLER.format(answer=answer, load=load, ready=ready))
    return {**specs.folder("echo", concurrency=2, scaling={"idle_timeout": "60s"}), "path": str(folder)}


def none_failed(calls: list[Call], *answers: str) -> None:
    """Each call was answered, and whoever came after a newer answer got no older one."""
    assert {(call.status, call.text) for call in calls} == {(200, answer) for answer in answers}
    for older, newer in pairwise(answers):
        first = min(call.began + call.took for call in calls if call.text == newer)
        assert all(call.began <= first for call in calls if call.text == older), "nobody is sent back"


def why(stack: Stack) -> str:
    reply = stack.http.get(f"{stack.url}/v1/functions/work/instances", timeout=10)
    return str(reply.json()["decision"]["reason"])
