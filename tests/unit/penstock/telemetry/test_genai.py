"""What calls of OpenAI's shape tell of their model, and all that tells nothing."""

from __future__ import annotations

import json

import pytest

from penstock.telemetry import genai

ASKED = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hush"}]}).encode()
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}


def test_an_embedding() -> None:
    asked = json.dumps({"model": "e5", "input": "text"}).encode()
    answer = json.dumps({"model": "e5-small", "data": [], "usage": {"prompt_tokens": 4}}).encode()
    assert genai.attributes("/v1/embeddings", asked, answer) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "e5",
        "gen_ai.response.model": "e5-small",
        "gen_ai.usage.input_tokens": 4,
    }


def test_a_stream_tells_what_it_used_at_its_end() -> None:
    chunks = [
        {"model": "m1", "choices": [{"delta": {"content": "a"}}]},
        {"model": "m1", "usage": USAGE, "choices": []},
    ]
    stream = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
    told = genai.attributes("/v1/chat/completions", ASKED, stream)
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (5, 2)
    assert told["gen_ai.response.model"] == "m1"


def test_the_last_event_of_the_responses_interface() -> None:
    last = {
        "type": "response.completed",
        "response": {"model": "m2", "usage": {"input_tokens": 7, "output_tokens": 1}},
    }
    told = genai.attributes(
        "/v1/responses", ASKED, b"event: response.completed\ndata: " + json.dumps(last).encode()
    )
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 1)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/models", ASKED),
        ("/", ASKED),
        ("/v1/chat/completions", b""),
        ("/v1/chat/completions", b"[1]"),
        ("/v1/chat/completions", b'{"model": '),
        ("/v1/chat/completions", b"{" * 100_000),
        ("/v1/chat/completions", b'{"a":' * 5_000),
    ],
)
def test_any_other_call_tells_nothing(path: str, asked: bytes) -> None:
    assert genai.attributes(path, asked, b"{}") == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not json",
        b"{",
        b"[]",
        b'{"usage": 3, "choices": {"a": 1}, "model": 7, "id": null}',
        b"data: x",
        b"\xff",
    ],
)
def test_an_answer_of_any_shape_is_taken(answer: bytes) -> None:
    told = genai.attributes("/v1/chat/completions", ASKED, answer)
    assert told.keys() == {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}


def test_no_text_of_a_prompt_or_an_answer_is_told() -> None:
    answer = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": "hush"}}], "usage": USAGE})
    assert "hush" not in str(genai.attributes("/v1/chat/completions", ASKED, answer.encode()))
