"""RunPod's workers, with the runpod package polling us and handlers that know nothing of ours."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import missing
from tests.e2e import specs, vendors
from tests.e2e.harness import BASE_IMAGE, FUNCTIONS, Json, Stack, docker_answers, environments, wait_until
from tests.e2e.test_e2e_bad_input import problem


def worker(handler: str, **fields: object) -> Json:
    env = {"HANDLER": handler, **fields.pop("env", {})}  # type: ignore[dict-item]
    return vendors.served("runpod", "handler.py", protocol="runpod", env=env, **fields)


@pytest.fixture(scope="module")
def stack(_vendors: None) -> Iterator[Stack]:
    with Stack("process") as stack:
        stack.start().deploy(
            {
                "sync": worker("sync"),
                "wide": worker("async", env={"SLOTS": "3"}, concurrency=3),
                "generator": worker("generator"),
                "agenerator": worker("async generator"),
                "late": worker("sync", env={"SETUP_SECONDS": "60"}, lifecycle={"start_timeout": "1s"}),
            }
        )
        # The SDK's import takes seconds: of all of them at once.
        with ThreadPoolExecutor(4) as threads:
            warm = ("sync", "wide")
            list(threads.map(lambda name: stack.call(name, {}), warm))
            list(threads.map(lambda name: stack.call(name, {"count": 0}), ("generator", "agenerator")))
        yield stack


def test_a_job_is_asked_for_and_its_output_the_answer(stack: Stack) -> None:
    answer = stack.call("sync", {"text": "hi"})
    assert answer.status_code == 200
    assert answer.json()["said"] == "hi"
    assert answer.headers["Content-Type"] == "application/json"
    record = stack.finished("sync", stack.submit("sync", {"text": "job"})["id"])
    assert record["state"] == "succeeded"
    assert stack.result("sync", record["id"]).json()["said"] == "job"


def test_a_worker_that_asks_for_no_job_is_told(stack: Stack) -> None:
    answer = stack.call("late", {})
    assert (answer.status_code, problem(answer)["code"]) == (503, "start_failed")
    assert "did not ask for a job within 1 s" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "told"),
    [({"raise": "no such row"}, "ValueError: no such row"), ({"refuse": "not today"}, "not today")],
)
def test_a_handlers_error_is_the_functions(stack: Stack, given: Json, told: str) -> None:
    answer = stack.call("sync", given)
    assert (answer.status_code, problem(answer)["code"], answer.json()["detail"]) == (502, "function_error", told)


def test_an_error_of_a_generator_is_told_by_class_and_message(stack: Stack) -> None:
    record = stack.finished("generator", stack.submit("generator", {"count": 1, "raise": True})["id"])
    assert (record["state"], record["error"]["message"]) == ("failed", "KeyError: 'no more'")


@pytest.mark.parametrize("body", [b"no json", b"\xff"])
def test_a_body_that_is_no_json_is_refused(stack: Stack, body: bytes) -> None:
    answer = stack.call("sync", body)
    assert answer.status_code == 400
    assert "takes its input as JSON" in answer.text


def test_a_long_output_reaches_clients_and_jobs(stack: Stack) -> None:
    assert len(stack.call("sync", {"size": 1_000_000}).json()) == 1_000_000
    job = stack.submit("sync", {"size": 1_000_000})["id"]
    assert stack.finished("sync", job)["state"] == "succeeded"
    assert len(stack.result("sync", job).json()) == 1_000_000


def test_outputs_of_a_generator_come_one_by_one(stack: Stack) -> None:
    began = time.monotonic()
    body = json.dumps({"count": 3, "pause": 1})
    with stack.http.post(stack.path("generator"), data=body, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        seen = [(json.loads(line)["number"], time.monotonic() - began) for line in answer.iter_lines()]
    assert [number for number, _ in seen] == [0, 1, 2]
    assert seen[2][1] - seen[0][1] >= 1.5, "each as it was produced"


@pytest.mark.parametrize("function", ["generator", "agenerator"])
def test_a_generators_job_has_all_its_outputs(stack: Stack, function: str) -> None:
    job = stack.submit(function, {"count": 4})["id"]
    assert stack.finished(function, job)["state"] == "succeeded"
    lines = [json.loads(line) for line in stack.result(function, job).text.splitlines()]
    assert [line["number"] if isinstance(line, dict) else line for line in lines] == [0, 1, 2, 3]


def test_many_outputs_become_one_long_answer(stack: Stack) -> None:
    answer = stack.call("generator", {"count": 20, "fill": 20_000})
    assert [json.loads(line)["number"] for line in answer.text.splitlines()] == list(range(20))


def test_its_progress_is_seen(stack: Stack) -> None:
    job = stack.submit("wide", {"steps": ["step 1/2", 0.5, {"loss": 1}]})["id"]
    assert stack.finished("wide", job)["state"] == "succeeded"
    with stack.http.get(f"{stack.path('wide', job)}/events", stream=True, timeout=10) as events:
        text = "\n".join(events.iter_lines(decode_unicode=True))
    told = [
        json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and '"progress"' in line
    ]
    told = [one for one in told if set(one) == {"progress", "message"}]
    # Each is sent by a thread of its own: in whatever order.
    expected = [("step 1/2", None), (None, 0.5), ('{"loss": 1}', None)]
    assert sorted(told, key=str) == sorted(({"progress": p, "message": m} for m, p in expected), key=str)


def test_as_many_jobs_at_a_time_as_its_modifier_allows(stack: Stack) -> None:
    with ThreadPoolExecutor(3) as threads:
        began = time.monotonic()
        answers = list(threads.map(lambda _: stack.call("wide", {"seconds": 3}), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["pid"] for answer in answers}) == 1
    assert time.monotonic() - began < 9, "together, not one after the other"


def test_an_async_handler_is_stopped_and_its_worker_stays(stack: Stack) -> None:
    before = stack.instances("wide")
    cancel_a_running_one(stack, "wide", {"seconds": 60})
    record = stack.finished("wide", stack.submit("wide", {})["id"])
    assert record["state"] == "succeeded"
    assert stack.instances("wide") == before


def test_one_of_several_jobs_is_stopped_alone(stack: Stack) -> None:
    before = stack.instances("wide")
    others = [stack.submit("wide", {"seconds": 5})["id"] for _ in range(2)]
    cancel_a_running_one(stack, "wide", {"seconds": 60})
    assert [stack.finished("wide", one)["state"] for one in others] == ["succeeded"] * 2
    assert stack.instances("wide") == before


def test_a_worker_that_cannot_be_stopped_is_replaced(stack: Stack) -> None:
    before = stack.instances("sync")
    cancel_a_running_one(stack, "sync", {"seconds": 300})
    record = stack.finished("sync", stack.submit("sync", {"text": "next"})["id"], timeout=40)
    assert record["state"] == "succeeded"
    assert record["instance"] not in before


def test_a_worker_that_ends_under_a_job_is_seen_at_once(stack: Stack) -> None:
    began = time.monotonic()
    record = stack.finished(
        "sync", stack.submit("sync", {"exit": True}, headers={"Penstock-Max-Attempts": "1"})["id"], 40
    )
    assert (record["state"], record["error"]["code"]) == ("failed", "instance_lost")
    assert time.monotonic() - began < 30


def test_a_worker_that_wants_to_be_refreshed_is_replaced_without_a_failure(stack: Stack) -> None:
    first = stack.finished("sync", stack.submit("sync", {"refresh": True})["id"], 40)
    assert first["state"] == "succeeded"
    second = stack.finished("sync", stack.submit("sync", {"text": "fresh"})["id"], 40)
    assert (second["state"], second["deferrals"]) == ("succeeded", 0)
    assert second["instance"] != first["instance"]


def test_it_has_no_web_server_to_be_reached(stack: Stack) -> None:
    answer = stack.http.get(f"{stack.url}/fn/sync/docs", timeout=10)
    assert (answer.status_code, problem(answer)["code"]) == (400, "invalid_request")
    assert "no web server" in answer.json()["detail"]


def test_nobody_else_gets_at_its_mailbox(stack: Stack) -> None:
    (pid, environment), *_ = [
        (pid, environment)
        for pid, environment in running(stack, "sync")
        if any(text.startswith(b"RUNPOD_WEBHOOK_GET_JOB=") for text in environment)
    ]
    assert pid
    (url,) = [text for text in environment if text.startswith(b"RUNPOD_WEBHOOK_GET_JOB=")]
    right = url.partition(b"=")[2].decode()
    signature = right.split("/")[5]
    wrong = right.replace(signature, "0" * len(signature))
    assert stack.http.get(wrong, timeout=10).status_code == 404
    assert stack.http.get(wrong.replace("job-take", "job-stop"), timeout=10).status_code == 404


def running(stack: Stack, function: str) -> list[tuple[int, list[bytes]]]:
    names = {f"PENSTOCK_INSTANCE={name}".encode() for name in stack.instances(function)}
    return [(pid, environment) for pid, environment in environments() if names & set(environment)]


def cancel_a_running_one(stack: Stack, function: str, given: Json) -> None:
    job = stack.submit(function, given)["id"]
    wait_until(lambda: stack.record(function, job)["state"] == "running", 15, "it runs")
    time.sleep(1.5)  # its SDK looks for jobs each second: it has begun by now
    assert stack.http.delete(stack.path(function, job), timeout=5).status_code == 202
    assert stack.record(function, job)["state"] == "cancelled"


def test_a_worker_in_a_container_reaches_its_mailbox(_vendors: None) -> None:
    if not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")
    with Stack("docker") as stack:
        in_container = {"image": worker_image(), "protocol": "runpod", "env": {"HANDLER": "async"}}
        stack.start().deploy({"work": {**in_container, "scaling": {"max": 1, "idle_timeout": "60s"}}})
        assert stack.call("work", {}, timeout=60).status_code == 200
        (before,) = stack.instances("work")
        cancel_a_running_one(stack, "work", {"seconds": 60})
        assert stack.finished("work", stack.submit("work", {})["id"])["instance"] == before

        # The next leader cannot adopt it: it asks the one that started it.
        assert stack.workers is not None
        stack.workers.stop(signal.SIGKILL)
        stack.start_workers()
        record = stack.finished("work", stack.submit("work", {})["id"], timeout=60)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert record["instance"] != before
        wait_until(lambda: before not in stack.instances("work"), 20, "the old one is gone")


def worker_image() -> str:
    """The package as it was installed, and the handlers, on the base image."""
    lines = (
        f"FROM {BASE_IMAGE}",
        "COPY packages /packages",
        "COPY handler.py /handler.py",
        "ENV PYTHONPATH=/packages",
        'CMD ["python3", "-u", "/handler.py"]',
    )
    handler = (FUNCTIONS / "runpod" / "handler.py").read_bytes()
    files = {"Dockerfile": "\n".join(lines).encode(), "handler.py": handler}
    return specs.image(files, {"packages": vendors.packages()})
