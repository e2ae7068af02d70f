"""Functions on GPUs: cards that are shared, lent, lost, silent or used by strangers.

The cards are simulated, under NVIDIA's own bindings in the real workers; what an instance was given is read from
its environment in the kernel.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.conftest import missing
from tests.e2e import specs
from tests.e2e.harness import Json, Stack, environments, wait_until
from tests.nvml import GIB, SimulatedNvml, build

A, B = "GPU-aaaaaaaa-0000", "GPU-bbbbbbbb-0000"
_LOST = {"all": 15}
"""NVML's own number for a card that fell off the bus."""


@pytest.mark.waits
def test_small_functions_share_a_card_and_a_large_one_has_its_own() -> None:
    with machine(A, B) as (stack, _):
        stack.deploy(
            {
                "one": on_gpu("8GiB", scaling={"min": 1}),
                "two": on_gpu("8GiB", scaling={"min": 1}),
                "whole": on_gpu(scaling={"min": 1}),
                "late": on_gpu(),
                "plain": specs.folder("slow", event="json"),
            }
        )
        for name in ("one", "two", "whole"):
            stack.call(name, {})
        assert card_of(stack, "one") == card_of(stack, "two"), "best fit leaves the other card whole"
        assert {card_of(stack, "one"), card_of(stack, "whole")} == {A, B}
        assert stack.call("plain", {}).status_code == 200
        assert card_of(stack, "plain") == "", "who asks for no GPU is told of none"

        late = stack.submit("late", {"n": 1})["id"]
        reason = "no GPU is free: held by one, two, whole"
        wait_until(lambda: reason in waiting(stack, "late", late), 5, "it says who has the cards")
        shared, own = card_of(stack, "one"), card_of(stack, "whole")
        wait_until(lambda: len(gpu(stack, shared)["reserved"]) == 2, 5, "the gateway knows of both")
        shown = gpus_of_cli(stack)
        reserved = sorted(f"{name} 8.0 GiB" for name in stack.instances("one") | stack.instances("two"))
        assert all(one in shown[shared] for one in reserved), shown
        (holder,) = stack.instances("whole")
        assert f"{holder} 24.0 GiB" in shown[own]

        stack.http.delete(f"{stack.url}/v1/functions/whole", timeout=10)
        record = stack.finished("late", late)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert card_of(stack, "late") == own


@pytest.mark.waits
def test_an_idle_instance_makes_room_at_once() -> None:
    with machine(A) as (stack, _):
        stack.deploy({"first": on_gpu(), "second": on_gpu()})
        stack.call("first", {})
        (idle,) = stack.instances("first")
        reply = stack.call("second", {}, headers={"Prefer": "wait=10"})
        assert reply.status_code == 200, "though the first would stay for a minute"
        assert stack.instances("first") == set()
        assert reply.elapsed.total_seconds() < 5
        assert card_of(stack, "second") == A

        # One that is busy ends its call first, and nobody's attempt is spent on that.
        running = stack.submit("second", {"seconds": 1.5})["id"]
        wait_until(lambda: stack.record("second", running)["state"] == "running", 5, "it runs")
        other = stack.submit("first", {})["id"]
        wait_until(
            lambda: "room is being made for it" in waiting(stack, "first", other), 5, "it says what it waits for"
        )
        for function, job in (("second", running), ("first", other)):
            record = stack.finished(function, job)
            assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert stack.result("second", running).json()["ended"] <= stack.result("first", other).json()["started"]
        assert idle not in stack.instances("first"), "it is another one"


@pytest.mark.waits
def test_a_run_without_a_server_has_its_card_to_itself_and_gives_it_back() -> None:
    with machine(A) as (stack, _):
        spec = {"command": ["sh", "-c", "sleep 0.5; echo $CUDA_VISIBLE_DEVICES"], "web_server": False}
        stack.deploy({"once": {**spec, "resources": {"gpu": {}}}, "other": on_gpu()})
        jobs = [stack.submit("once", {})["id"] for _ in range(2)]
        records = [stack.finished("once", job) for job in jobs]
        assert [stack.result("once", job).text for job in jobs] == [f"{A}\n"] * 2
        assert len({record["instance"] for record in records}) == 2
        assert stack.call("other", {}).status_code == 200, "nothing holds the card between runs"


@pytest.mark.waits
def test_penstock_gpus_shows_what_the_cards_do() -> None:
    with machine(A, B) as (stack, nvml):
        nvml.change(A, used=6 * GIB, sm=50)
        nvml.change(B, fails={"sm": 3})  # not supported, as on a slice of a card
        wait_until(lambda: gpu(stack, A)["sm"] == 0.5, 5, "it is read again each second")
        shown = gpus_of_cli(stack)
        assert "Simulated GPU A10" in shown[A]
        assert " fc.gpu.ampere.1 " in shown[A]
        assert "24.0 GiB" in shown[A]
        assert "18.0 GiB" in shown[A]
        assert " 50% " in shown[A]
        wait_until(lambda: gpu(stack, B)["sm"] is None, 5, "what it cannot say")
        assert " unknown " in gpus_of_cli(stack)[B], "and not 0%"


@pytest.mark.waits
def test_a_lost_card_leaves_the_pool_and_comes_back() -> None:
    with machine(A, B) as (stack, nvml):
        stack.deploy({"work": on_gpu(scaling={"max": 1})})
        stack.call("work", {})
        lost = card_of(stack, "work")
        other = B if lost == A else A
        running = stack.submit("work", {"seconds": 1.5})["id"]
        wait_until(lambda: stack.record("work", running)["state"] == "running", 5, "it runs")
        nvml.change(lost, fails=_LOST)
        wait_until(lambda: gpu(stack, lost)["problem"], 5, "the card is seen to be lost")
        assert "GPU is lost" in gpus_of_cli(stack)[lost]
        record = stack.finished("work", running)
        assert (record["state"], record["attempt"]) == ("succeeded", 1), "a running call is not ended by it"

        assert stack.call("work", {}).status_code == 200
        assert card_of(stack, "work") == other
        nvml.change(lost, fails={})
        wait_until(lambda: not gpu(stack, lost)["problem"], 5, "it answers again")
        pause = stack.cli("pause", "--gpu", other)
        assert pause.returncode == 0, pause.stderr
        stack.gone("work")
        assert stack.call("work", {}).status_code == 200
        assert card_of(stack, "work") == lost


@pytest.mark.waits
def test_a_silent_driver_holds_up_nobody() -> None:
    with machine(A, WORKERS__GPU_TIMEOUT="500ms") as (stack, nvml):
        stack.deploy({"work": on_gpu(), "new": on_gpu(), "plain": specs.folder("echo")})
        stack.call("work", {})
        (instance,) = stack.instances("work")
        running = stack.submit("work", {"seconds": 1.5})["id"]
        wait_until(lambda: stack.record("work", running)["state"] == "running", 5, "it runs")
        nvml.hang(60)
        wait_until(lambda: "has not answered" in (gpu(stack, A)["problem"] or ""), 5, "it is told")
        plain = stack.call("plain", "x", headers={"Prefer": "wait=5"})
        assert (plain.status_code, plain.text) == (200, "x"), "what needs no GPU starts as ever"
        record = stack.finished("work", running)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert stack.call("work", {}, headers={"Prefer": "wait=5"}).status_code == 200
        assert stack.instances("work") == {instance}, "what serves goes on, though nobody sees its card"
        waits = stack.submit("new", {})["id"]
        wait_until(lambda: "has not answered" in waiting(stack, "new", waits), 5, "nothing new is started there")
        nvml.hang(0)
        record = stack.finished("new", waits)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)


@pytest.mark.waits
def test_it_stands_aside_for_strangers_and_for_operators() -> None:
    with machine(A, B) as (stack, nvml):
        nvml.change(A, used=4 * GIB, processes=((1, 4 * GIB),))
        wait_until(lambda: gpu(stack, A)["problem"], 5, "the stranger is seen")
        assert "used by processes that are none of ours" in gpus_of_cli(stack)[A]
        stack.deploy({"work": on_gpu(scaling={"max": 1})})
        stack.call("work", {})
        assert card_of(stack, "work") == B

        short = B[:6]  # as it is typed
        paused = stack.cli("pause", "--gpu", short)
        assert paused.returncode == 0, paused.stderr
        stack.gone("work")
        wait_until(lambda: gpu(stack, B)["problem"] == "paused by an operator", 5, "it is shown")
        job = stack.submit("work", {})["id"]
        wait_until(lambda: "paused by an operator" in waiting(stack, "work", job), 5, "it says of each card why")
        assert "none of ours" in waiting(stack, "work", job)
        nvml.change(A, used=0, processes=())
        record = stack.finished("work", job)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert card_of(stack, "work") == A, "the stranger has gone"

        resumed = stack.cli("resume", "--gpu", short)
        assert resumed.returncode == 0, resumed.stderr
        wait_until(lambda: gpu(stack, B)["problem"] is None, 5, "it is taken back")
        unknown = stack.cli("pause", "--gpu", "GPU-c")
        assert unknown.returncode != 0
        assert A in unknown.stderr, "it says which there are"


@pytest.mark.waits
def test_without_a_driver_only_gpu_functions_wait() -> None:
    with machine() as (stack, nvml):
        nvml.unload_driver()
        stack.deploy({"work": on_gpu("8GiB"), "plain": specs.folder("echo")})
        job = stack.submit("work", {})["id"]
        assert stack.call("plain", "x").text == "x"
        wait_until(lambda: "there is no GPU" in waiting(stack, "work", job), 5, "it says why it waits")
        assert stack.cli("gpus").stdout.startswith("no GPUs")
        assert stack.record("work", job)["attempt"] == 0


@pytest.mark.waits
def test_the_settings_can_list_the_cards() -> None:
    listed = {"workers": {"gpus": [{"uuid": A, "memory": "24GiB", "name": "Listed GPU A10"}]}}
    with Stack("process") as stack:
        settings = stack.folder / "settings.yaml"
        settings.write_text(yaml.safe_dump(listed))
        stack.environment["PENSTOCK_CONFIG"] = str(settings)
        stack.start().deploy({"work": on_gpu("8GiB"), "other": on_gpu("8GiB")})
        assert stack.call("work", {}).status_code == 200
        assert stack.call("other", {}).status_code == 200
        assert card_of(stack, "work") == card_of(stack, "other") == A
        shown = gpus_of_cli(stack)[A]
        assert "Listed GPU A10" in shown
        assert "fc.gpu.ampere.1" in shown
        assert " unknown " in shown, "nobody can ask the card what it does"


def on_gpu(memory: str | None = None, *, scaling: Json | None = None) -> Json:
    """A function that needs a GPU, or a part of one, and stays for a minute."""
    spec = specs.folder("slow", event="json", scaling={"idle_timeout": "60s", **(scaling or {})})
    spec["resources"]["gpu"] = {} if memory is None else {"memory": memory}
    return spec


@contextmanager
def machine(*cards: str, **settings: str) -> Iterator[tuple[Stack, SimulatedNvml]]:
    """A deployment whose workers see these cards of 24 GiB."""
    if shutil.which("gcc") is None:
        missing("gcc")
    with Stack("process", **settings) as stack:
        nvml = SimulatedNvml(build(stack.folder), stack.folder / "nvml.state")
        nvml.reset()
        for uuid in cards:
            nvml.plug(uuid, name="Simulated GPU A10", memory=24 * GIB)
        stack.environment |= nvml.env
        yield stack.start(), nvml


def card_of(stack: Stack, function: str) -> str:
    """What its only instance was given as CUDA_VISIBLE_DEVICES; empty: nothing. One that goes is waited for."""
    wait_until(lambda: len(stack.instances(function)) == 1, 5, f"one instance of {function}")
    (instance,) = stack.instances(function)
    mark = f"PENSTOCK_INSTANCE={instance}".encode()
    given = {
        next((text for text in environment if text.startswith(b"CUDA_VISIBLE_DEVICES=")), b"=")
        for _, environment in environments()
        if mark in environment
    }
    (only,) = given
    return only.partition(b"=")[2].decode()


def gpu(stack: Stack, uuid: str) -> dict[str, Any]:
    """A card as the gateway shows it; one that it has not heard of yet has no figures."""
    cards = stack.http.get(f"{stack.url}/v1/gpus", timeout=10).json()["gpus"]
    unknown: dict[str, Any] = {"sm": 0.0, "problem": None, "reserved": {}}
    return next((one for one in cards if one["uuid"] == uuid), unknown)


def gpus_of_cli(stack: Stack) -> dict[str, str]:
    """`penstock gpus`: its rows by UUID."""
    done = stack.cli("gpus")
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line for line in done.stdout.splitlines()[1:]}


def waiting(stack: Stack, function: str, job: str) -> str:
    """Why a job waits; empty once it does not."""
    return stack.record(function, job)["waiting_reason"] or ""
