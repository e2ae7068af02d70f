"""RunPod's worker images: what they are told, and what their posts mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workers.protocols import runpod
from workers.protocols.runpod import Done, Progress
from workers.protocols.wire import BadEvent

RAISED = {"error_type": "<class 'torch.cuda.OutOfMemoryError'>", "error_message": "no memory", "hostname": "x"}


def test_the_addresses_suit_what_the_sdk_makes_of_them() -> None:
    told = runpod.environment("http://10.0.0.1:99/pull/f-1/abc", "f-1", "abc")
    take = told["RUNPOD_WEBHOOK_GET_JOB"]
    assert "/job-take/" in take, "its stop channel and its batches are derived from it"
    for name in ("RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_WEBHOOK_POST_OUTPUT", "RUNPOD_WEBHOOK_POST_STREAM"):
        assert "?" in told[name], "it appends &…"
    for name in ("RUNPOD_WEBHOOK_POST_OUTPUT", "RUNPOD_WEBHOOK_POST_STREAM"):
        assert "/$ID?" in told[name]
    assert told["RUNPOD_AI_API_KEY"], "without one it does not ping"
    assert all(value.startswith("http://10.0.0.1:99/pull/") for name, value in told.items() if "WEBHOOK" in name)


@pytest.mark.parametrize(
    ("event", "given"), [(b'{"a": 1}', {"a": 1}), (b"[1]", [1]), (b"null", None), (b"", {}), (b" ", {})]
)
def test_a_job_is_the_event_as_its_input(event: bytes, given: object) -> None:
    assert runpod.job("j1", event) == {"id": "j1", "input": given}


@pytest.mark.parametrize("event", [b"text", b"\xff", b"{", b"[" * 100_000])
def test_an_event_that_is_no_json_is_no_input(event: bytes) -> None:
    with pytest.raises(BadEvent, match="takes its input as JSON"):
        runpod.job("j1", event)


@pytest.mark.parametrize(
    ("posted", "output"),
    [({"output": {"a": 1}}, {"a": 1}), ({"output": None}, None), ({"output": []}, []), ({}, {})],
)
def test_an_output_is_the_answer(posted: dict[str, Any], output: object) -> None:
    done = runpod.done(json.dumps(posted).encode())
    assert isinstance(done, Done)
    assert (json.loads(done.output), done.error, done.last) == (output, None, False)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (json.dumps(RAISED), "OutOfMemoryError: no memory"),
        (json.dumps({**RAISED, "error_type": "<class 'ValueError'>"}), "ValueError: no memory"),
        (json.dumps({**RAISED, "error_type": "odd"}), "odd: no memory"),
        ("not today", "not today"),
        ('{"other": 1}', '{"other": 1}'),
        ({"code": 7}, '{"code": 7}'),
        ("handler: no \ntraceback: Traceback (most recent call last):\n  File x\nKeyError: no\n", "KeyError: no"),
        ("handler: no \ntraceback: Traceback:\n  File x\nmy.mod.OddError: no\n", "OddError: no"),
        ("handler: no \ntraceback: nothing that can be read", "no"),
    ],
)
def test_an_error_is_told_by_class_and_message(error: object, told: str) -> None:
    done = runpod.done(json.dumps({"error": error}).encode())
    assert isinstance(done, Done)
    assert done.error == told


def test_a_worker_that_goes_after_its_job_says_so() -> None:
    done = runpod.done(b'{"output": 1, "stopPod": true}')
    assert isinstance(done, Done)
    assert done.last


@pytest.mark.parametrize(
    ("output", "progress", "message"),
    [
        ("step 1/3", None, "step 1/3"),
        (0.25, 0.25, None),
        (1, 1, None),
        (25, None, "25"),
        (True, None, "true"),
        ({"loss": 1}, None, '{"loss": 1}'),
        (None, None, "null"),
        ("x" * 5_000, None, "x" * 1_000),
    ],
)
def test_progress_is_a_share_or_a_message(output: object, progress: float | None, message: str | None) -> None:
    said = runpod.done(json.dumps({"status": "IN_PROGRESS", "output": output}).encode())
    assert isinstance(said, Progress)
    assert json.loads(said.report) == {"progress": progress, "message": message}


def test_a_streamed_output_is_a_line() -> None:
    assert runpod.streamed(b'{"output": {"text": "a\\nb"}}') == b'{"text": "a\\nb"}\n'


@pytest.mark.parametrize("body", [b"", b"x", b"[1]", b"null", b"\xff"])
def test_what_is_no_json_object_is_no_post(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        runpod.done(body)
    with pytest.raises(ValueError, match=r"."):
        runpod.streamed(body)
