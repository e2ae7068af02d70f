"""Answers that come piece by piece: at once, at their client's pace, whole or recognisably broken, and kept."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
import requests
import urllib3

from tests.e2e import specs
from tests.e2e.harness import Json, Program, Stack, free_port, wait_until

MIB = 2**20
DOORS = ["native", "trigger"]


def call(stack: Stack, order: Json, door: str = "native", **headers: str) -> requests.Response:
    """A held call whose answer is read bit by bit."""
    url = stack.path("streams") if door == "native" else f"{stack.url}/fn/streams/v1/any?x=1"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(url, json=order, headers=named, stream=True, timeout=60)


def pieces(response: requests.Response) -> Iterator[tuple[int, float]]:
    """Number of each piece, and the time at which it was made, as soon as it is whole."""
    rest = b""
    while data := response.raw.read1():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number, at = re.match(rb"(\d+) ([\d.]+) ", line).groups()  # type: ignore[union-attr]
            yield int(number), float(at)


def body(response: requests.Response, pieces: int, size: int) -> None:
    """All of an answer is there, in order."""
    got = b"".join(response.iter_content(MIB))
    assert len(got) == pieces * size
    assert [got[n * size :].split(b" ", 1)[0] for n in range(pieces)] == [b"%d" % n for n in range(pieces)]


def memory(*programs: Program | None) -> int:
    """Bytes in use by all of them, without what they started."""
    return sum(psutil.Process(program.pid).memory_info().rss for program in programs if program is not None)


@contextmanager
def growth(stack: Stack, limit: int) -> Iterator[Callable[[], None]]:
    """Gateway and workers grow by less than so many bytes; call it to look now."""
    before = memory(stack.gateway, stack.workers)

    def look() -> None:
        assert memory(stack.gateway, stack.workers) - before < limit

    yield look
    look()


@pytest.mark.parametrize("door", DOORS)
def test_the_first_piece_is_there_before_the_last_is_made(stack: Stack, door: str) -> None:
    for length in (False, True):
        # The first is longer than what travels with an outcome: one with a length is streamed from there on.
        size = 80_000 if length else 100
        with call(stack, {"pieces": 4, "size": size, "pause": 0.3, "length": length}, door) as response:
            assert response.headers["Penstock-Invocation-Id"]
            assert response.headers["Content-Type"] == "text/plain"
            assert ("Content-Length" in response.headers) == length
            got = pieces(response)
            assert next(got)[0] == 0
            arrived = time.time()
            rest = list(got)
        assert [number for number, _ in rest] == [1, 2, 3]
        assert arrived < rest[-1][1], "it came before the last was made"


@pytest.mark.parametrize(("count", "size"), [(1, 65_536), (1, 65_537), (30, 5_000), (3, 600_000), (1, 1)])
@pytest.mark.parametrize("length", [True, False])
def test_answers_of_every_size_and_framing_are_whole_and_stay_readable(
    process_stack: Stack, count: int, size: int, length: bool
) -> None:
    size = max(size, 64)
    order = {"pieces": count, "size": size, "length": length}
    for door in DOORS:
        with call(process_stack, order, door) as response:
            body(response, count, size)
        again = process_stack.finished("streams", response.headers["Penstock-Invocation-Id"])
        assert (again["state"], again["response"]["size"]) == ("succeeded", count * size)
        body(process_stack.result("streams", again["id"]), count, size)
    job = process_stack.submit("streams", order)["id"]
    process_stack.finished("streams", job)
    body(process_stack.result("streams", job), count, size)


@pytest.mark.parametrize("status", [201, 404, 500])
def test_a_status_of_the_functions_own_streams_too(process_stack: Stack, status: int) -> None:
    for door in DOORS:
        order = {"pieces": 3, "size": 64, "pause": 0.1, "status": status}
        with call(process_stack, order, door) as response:
            assert response.status_code == status
            body(response, 3, 64)
        record = process_stack.finished("streams", response.headers["Penstock-Invocation-Id"])
        assert record["response"]["status"] == status
        assert record["state"] == ("failed" if door == "native" and status >= 400 else "succeeded")


def test_a_long_answer_to_head_has_no_body(process_stack: Stack) -> None:
    response = requests.head(f"{process_stack.url}/fn/streams/x", timeout=20)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == "128000"


@pytest.mark.parametrize("length", [True, False])
def test_a_client_slower_than_the_function_holds_it_up(stack: Stack, length: bool) -> None:
    """200 MiB pass, and neither gateway nor workers hold more than a little of them."""
    count, size = 3_200, 65_536
    with call(stack, {"pieces": 1, "size": 64}) as warm:
        body(warm, 1, 64)
    with (
        growth(stack, 64 * MIB) as look,
        call(stack, {"pieces": count, "size": size, "length": length}) as response,
    ):
        raw = response.iter_content(size)
        got = len(next(raw))
        for _ in range(10):
            time.sleep(0.2)
            look()
            got += len(next(raw))
        for number, piece in enumerate(raw):
            got += len(piece)
            if number % 100 == 0:
                look()
    assert got == count * size
    record = stack.finished("streams", response.headers["Penstock-Invocation-Id"])
    assert (record["state"], record["response"]["size"]) == ("succeeded", got)


@pytest.mark.parametrize("door", DOORS)
def test_a_container_that_dies_in_the_middle_is_a_broken_answer(stack: Stack, door: str) -> None:
    for length in (True, False):
        order = {"pieces": 5, "size": 70_000, "pause": 0.1, "dies": 3, "length": length}
        with call(stack, order, door) as response:
            assert response.status_code == 200
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                response.content  # noqa: B018 - reading it is what fails
        record = stack.finished("streams", response.headers["Penstock-Invocation-Id"])
        assert (record["state"], record["error"]["code"]) == ("failed", "instance_lost")
        assert record["attempt"] == 1


@pytest.mark.parametrize(("wish", "state"), [("cancel", "cancelled"), ("continue-if-started", "succeeded")])
def test_hanging_up_in_the_middle(stack: Stack, wish: str, state: str) -> None:
    order = {"pieces": 20, "size": 64, "pause": 0.1}
    response = call(stack, order, Penstock_On_Disconnect=wish)
    assert next(pieces(response))[0] == 0
    response.close()
    record = stack.finished("streams", response.headers["Penstock-Invocation-Id"])
    assert record["state"] == state
    if state == "succeeded":
        body(stack.result("streams", record["id"]), 20, 64)


def test_a_cancelled_stream_breaks_off(process_stack: Stack) -> None:
    with call(process_stack, {"pieces": 100, "size": 64, "pause": 0.1}) as response:
        got = pieces(response)
        assert next(got)[0] == 0
        one = response.headers["Penstock-Invocation-Id"]
        assert requests.delete(process_stack.path("streams", one), timeout=5).status_code == 202
        with pytest.raises(urllib3.exceptions.ProtocolError):
            list(got)


@pytest.mark.waits
def test_the_gateway_is_killed_in_the_middle() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        with call(stack, {"pieces": 20, "size": 64, "pause": 0.1}, Idempotency_Key="k") as response:
            got = pieces(response)
            assert next(got)[0] == 0
            assert stack.gateway is not None
            os.kill(stack.gateway.pid, signal.SIGKILL)
            with pytest.raises(urllib3.exceptions.ProtocolError):
                list(got)
        stack.start_gateway()
        wait_until(stack.ready, 20, "another gateway serves")
        one = response.headers["Penstock-Invocation-Id"]
        with call(stack, {"pieces": 20, "size": 64, "pause": 0.1}, Idempotency_Key="k") as again:
            assert again.headers["Penstock-Invocation-Id"] == one
            body(again, 20, 64)
        assert stack.finished("streams", one)["attempt"] == 1


@pytest.mark.waits
def test_the_workers_are_killed_in_the_middle() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        with call(stack, {"pieces": 100, "size": 64, "pause": 0.1}) as response:
            got = pieces(response)
            assert next(got)[0] == 0
            assert stack.workers is not None
            os.kill(stack.workers.pid, signal.SIGKILL)
            with pytest.raises(urllib3.exceptions.ProtocolError):
                list(got)
        stack.start_workers()
        record = stack.finished("streams", response.headers["Penstock-Invocation-Id"], 40)
        assert (record["state"], record["error"]["code"]) == ("failed", "instance_lost")
        with call(stack, {"pieces": 3, "size": 64}) as response:
            body(response, 3, 64)


@pytest.mark.waits
def test_the_workers_are_stopped_in_the_middle() -> None:
    """What does not end in their time is no whole answer."""
    with Stack("process", WORKERS__STOP_TIMEOUT="1s") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        with call(stack, {"pieces": 1_000, "size": 64, "pause": 0.1}) as response:
            got = pieces(response)
            assert next(got)[0] == 0
            assert stack.workers is not None
            stack.workers.process.terminate()
            with pytest.raises(urllib3.exceptions.ProtocolError):
                list(got)
        record = stack.finished("streams", response.headers["Penstock-Invocation-Id"])
        assert (record["state"], record["error"]["code"]) == ("failed", "instance_lost")


@pytest.mark.waits
def test_workers_that_hang_break_the_answer_off_when_their_lease_is_over() -> None:
    with Stack("process") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        with call(stack, {"pieces": 1_000, "size": 64, "pause": 0.1}) as response:
            got = pieces(response)
            assert next(got)[0] == 0
            assert stack.workers is not None
            os.kill(stack.workers.pid, signal.SIGSTOP)
            stack.start_workers()
            with pytest.raises(urllib3.exceptions.ProtocolError):
                list(got)
        record = stack.finished("streams", response.headers["Penstock-Invocation-Id"])
        assert record["error"]["code"] == "instance_lost"


@pytest.mark.waits
def test_gateways_read_along_over_tcp() -> None:
    with Stack("process", WORKERS__INNER=f"127.0.0.1:{free_port()}") as stack:
        stack.start().deploy({"streams": specs.streams("process")})
        with call(stack, {"pieces": 4, "size": 80_000, "pause": 0.2, "length": True}) as response:
            got = pieces(response)
            assert next(got)[0] == 0
            arrived = time.time()
            rest = list(got)
        assert [number for number, _ in rest] == [1, 2, 3]
        assert arrived < rest[-1][1]


@pytest.mark.parametrize("size", [200 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)])
def test_a_large_upload_is_never_in_memory(size: int) -> None:
    with Stack("process", GATEWAY__MAX_BODY="2GiB") as stack:
        stack.start().deploy({"streams": specs.streams("process", timeout="300s")})
        stack.call("streams", "{}")

        def upload() -> Iterator[bytes]:
            piece = os.urandom(MIB)
            for _ in range(size // MIB):
                yield piece
                if stack.gateway is not None:
                    look()

        with growth(stack, 64 * MIB) as look:
            response = requests.post(stack.path("streams"), data=upload(), timeout=200)
        assert (response.status_code, response.text) == (200, str(size))
