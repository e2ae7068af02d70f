"""Cog's contract, with the cog package as the container's server and a model that knows nothing of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.e2e import vendors
from tests.e2e.harness import Json, Stack, environments, wait_until
from tests.e2e.test_e2e_bad_input import problem


def model(file: str = "predict.py", **fields: object) -> Json:
    env = {"COG_PREDICT_TYPE_STUB": f"{file}:Predictor", **fields.pop("env", {})}  # type: ignore[dict-item]
    return vendors.served("cog", "-m", "cog.server.http", protocol="cog", env=env, **fields)


@pytest.fixture(scope="module")
def stack(_vendors: None) -> Iterator[Stack]:
    with Stack("process") as stack:
        stack.start().deploy(
            {
                "model": model(),
                "slow": model(env={"SETUP_SECONDS": "1.5"}),
                "broken": model(env={"SETUP_FAILS": "/models/gone"}),
                "impatient": model(env={"SETUP_SECONDS": "60"}, lifecycle={"start_timeout": "1s"}),
                "wide": model("wide.py", env={"COG_MAX_CONCURRENCY": "3"}, concurrency=3),
                "mistaken": model(concurrency=2),
            }
        )
        yield stack


def test_a_call_is_a_prediction_and_its_answer_the_output(stack: Stack) -> None:
    answer = stack.call("model", {"text": "ho", "times": 3})
    assert (answer.status_code, answer.json()) == (200, "hohoho")
    assert answer.headers["Content-Type"] == "application/json"
    again = stack.http.post(stack.path("model"), data='{"text": "hi"}', headers={"Content-Type": "text/plain"})
    assert again.json() == "hi", "whatever the client says that its JSON is"
    record = stack.finished("model", stack.submit("model", {"text": "job"})["id"])
    assert record["state"] == "succeeded"
    assert stack.result("model", record["id"]).json() == "job"


def test_a_call_waits_for_a_slow_setup(stack: Stack) -> None:
    job = stack.submit("slow", {"text": "awake"})["id"]
    wait_until(lambda: "initializing" in (stack.record("slow", job)["waiting_reason"] or ""), 10, "it sets up")
    record = stack.finished("slow", job)
    assert (record["state"], record["cold_start"]) == ("succeeded", True)
    assert record["timeline"]["initializing"] >= 1_000


def test_a_setup_that_fails_is_told_with_its_log(stack: Stack) -> None:
    answer = stack.call("broken", {})
    assert (answer.status_code, problem(answer)["code"]) == (503, "start_failed")
    assert "the model's setup failed" in answer.json()["detail"]
    assert "no weights at /models/gone" in str(answer.json())


def test_a_setup_takes_no_longer_than_the_spec_says(stack: Stack) -> None:
    answer = stack.call("impatient", {})
    assert (answer.status_code, problem(answer)["code"]) == (503, "start_failed")
    # On a busy machine it does not even listen by then.
    says = r"/health-check did not succeed within 1 s: .*STARTING|nothing listens on port \d+ after 1 s"
    assert re.search(says, answer.json()["detail"])


def test_what_raises_is_told_by_class_and_message(stack: Stack) -> None:
    answer = stack.call("model", {"text": "boom"})
    assert (answer.status_code, problem(answer)["code"]) == (502, "function_error")
    assert answer.json()["detail"] == "ValueError: no such text"
    record = stack.finished("model", stack.submit("model", {"text": "boom"})["id"])
    assert (record["state"], record["attempt"]) == ("failed", 1)
    assert record["error"]["message"] == "ValueError: no such text"


def test_inputs_that_do_not_validate_get_the_models_own_answer(stack: Stack) -> None:
    answer = stack.call("model", {"times": -1})
    assert answer.status_code == 422
    assert "-1 is less than the minimum of 0" in answer.text
    record = stack.finished("model", stack.submit("model", {"times": "many"})["id"])
    assert (record["state"], record["error"]["code"], record["attempt"]) == ("failed", "function_error", 1)


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff", b'"text"'])
def test_a_body_that_holds_no_inputs_is_refused(stack: Stack, body: bytes) -> None:
    answer = stack.call("model", body)
    assert answer.status_code == 400
    assert "takes its inputs as" in answer.text


def test_no_body_means_no_inputs(stack: Stack) -> None:
    assert stack.call("model", b"").json() == ""


def test_a_long_output_reaches_clients_and_jobs(stack: Stack) -> None:
    wanted = "0123456789" * 30_000
    assert stack.call("model", {"text": "0123456789", "times": 30_000}).json() == wanted
    job = stack.submit("model", {"text": "0123456789", "times": 30_000})["id"]
    assert stack.finished("model", job)["state"] == "succeeded"
    assert stack.result("model", job).json() == wanted


def test_what_the_server_serves_beside_is_reached_as_it_is(stack: Stack) -> None:
    assert stack.http.get(f"{stack.url}/fn/model/health-check", timeout=10).json()["status"] == "READY"


def test_a_prediction_that_is_cancelled_ends_and_its_instance_stays(stack: Stack) -> None:
    assert stack.call("model", {}).status_code == 200
    before = stack.instances("model")
    cancel_a_running_one(stack, {"seconds": 30})
    assert stack.finished("model", stack.submit("model", {"text": "next"})["id"])["state"] == "succeeded"
    assert stack.instances("model") == before


def test_an_instance_that_does_not_let_go_of_a_prediction_is_replaced(stack: Stack) -> None:
    assert stack.call("model", {}).status_code == 200
    before = stack.instances("model")
    cancel_a_running_one(stack, {"seconds": 300, "deaf": True})
    record = stack.finished("model", stack.submit("model", {"text": "next"})["id"], timeout=40)
    assert record["state"] == "succeeded"
    assert record["instance"] not in before


def test_as_many_predictions_at_a_time_as_it_has_slots(stack: Stack) -> None:
    assert stack.call("wide", {}).status_code == 200
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: stack.call("wide", {"seconds": 1}), range(3)))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert max(answer.json() for answer in answers) == 3


def test_one_of_several_predictions_is_cancelled_alone(stack: Stack) -> None:
    others = [stack.submit("wide", {"seconds": 4})["id"] for _ in range(2)]
    cancel_a_running_one(stack, {"seconds": 60}, function="wide")
    records = [stack.finished("wide", one) for one in others]
    assert [record["state"] for record in records] == ["succeeded"] * 2
    assert len({record["instance"] for record in records}) == 1


def test_a_server_without_a_free_slot_hands_the_call_back(stack: Stack, tmp_path: Path) -> None:
    # The spec says two at a time, the model takes one: the second waits, and nobody is told 409.
    first = stack.submit("mistaken", {"release": str(tmp_path / "go"), "text": "first"})["id"]
    wait_until(lambda: stack.record("mistaken", first)["state"] == "running", 15, "the first one runs")
    second = stack.submit("mistaken", {"text": "second"})["id"]
    wait_until(lambda: stack.record("mistaken", second)["deferrals"] >= 1, 10, "the second one is handed back")
    (tmp_path / "go").touch()
    for job, text in ((first, "first"), (second, "second")):
        record = stack.finished("mistaken", job)
        assert (record["state"], record["attempt"]) == ("succeeded", 1)
        assert stack.result("mistaken", job).json() == text


def test_an_instance_that_is_full_of_what_is_not_ours_is_replaced(stack: Stack) -> None:
    # As after a leader that died under a call which takes no notice of that.
    stack.call("slow", {"text": "first"})
    (before,) = stack.instances("slow")
    wait_until(lambda: occupied(own_url(before)), 10, "it takes a prediction that is not ours")
    record = stack.finished("slow", stack.submit("slow", {"text": "next"})["id"], timeout=40)
    assert (record["state"], record["attempt"]) == ("succeeded", 1)
    assert record["instance"] != before


def occupied(url: str) -> bool:
    """False: the server's slot was not free yet."""
    try:
        return requests.put(url, json={"input": {"seconds": 300, "deaf": True}}, timeout=0.5).status_code != 409
    except requests.Timeout:
        return True


def own_url(instance: str) -> str:
    """Of a prediction at its server."""
    mark = f"PENSTOCK_INSTANCE={instance}".encode()
    (*_, environment) = (environment for _, environment in environments() if mark in environment)
    (port,) = (text.partition(b"=")[2].decode() for text in environment if text.startswith(b"PORT="))
    return f"http://127.0.0.1:{port}/predictions/foreign"


def cancel_a_running_one(stack: Stack, inputs: Json, *, function: str = "model") -> None:
    job = stack.submit(function, inputs)["id"]
    wait_until(lambda: stack.record(function, job)["state"] == "running", 15, "it runs")
    time.sleep(0.3)  # a prediction that the server has not begun yet is another case
    assert stack.http.delete(stack.path(function, job), timeout=5).status_code == 202
    assert stack.record(function, job)["state"] == "cancelled"
