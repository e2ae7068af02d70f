"""The official client of OpenAI's API, with the chat example behind our trigger."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import openai
import pytest
import requests

from penstock.specfile import load
from tests.e2e.events import events
from tests.e2e.harness import Stack
from tests.e2e.specs import FUNCTIONS

EXAMPLES = FUNCTIONS.parent.parent / "examples"
MODEL = "penstock-ngram"
MESSAGES = [{"role": "user", "content": "What is a penstock?"}]


@pytest.fixture
def chat(stack: Stack) -> Iterator[openai.OpenAI]:
    """A client of the example as its spec file deploys it."""
    spec = load(EXAMPLES / "penstock.yaml")["chat"].model_dump(mode="json", exclude_unset=True)
    stack.deploy({"chat": spec})
    with openai.OpenAI(base_url=f"{stack.url}/fn/chat/v1", api_key="-", max_retries=0, timeout=30) as client:
        yield client


def test_tokens_come_as_they_are_said(chat: openai.OpenAI) -> None:
    stream = chat.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,  # type: ignore[arg-type]
        stream=True,
        max_tokens=60,
        seed=7,
        stream_options={"include_usage": True},
    )
    said, at, usage, finish = "", list[float](), None, None
    for chunk in stream:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            at += [time.monotonic()] if choice.delta.content else []
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    assert usage is not None
    assert usage.completion_tokens == len(said)
    assert finish == ("length" if len(said) == 60 else "stop")
    assert at[0] < at[-1] - 0.005 * len(at), "not all of them at the end"

    whole = chat.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=60, seed=7)  # type: ignore[arg-type]
    assert whole.choices[0].message.content == said
    assert whole.usage is not None
    assert whole.usage.total_tokens == usage.total_tokens


def test_errors_are_those_of_the_function(chat: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist") as unknown:
        chat.chat.completions.create(model="gpt", messages=MESSAGES, stream=True)  # type: ignore[call-overload]
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="temperature") as wrong:
        chat.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9)  # type: ignore[arg-type]
    assert wrong.value.param == "temperature"
    assert [model.id for model in chat.models.list()] == [MODEL]
    assert chat.models.retrieve(MODEL).owned_by == "penstock"


def test_a_client_that_stops_reading_ends_its_stream(chat: openai.OpenAI, stack: Stack) -> None:
    with chat.chat.completions.with_streaming_response.create(
        model=MODEL,
        messages=MESSAGES,  # type: ignore[arg-type]
        stream=True,
        temperature=0,
        max_tokens=4_000,
        extra_headers={"Penstock-On-Disconnect": "cancel"},
    ) as response:
        one = response.headers["Penstock-Invocation-Id"]
        assert next(response.iter_lines()).startswith("data: ")
    assert stack.finished("chat", one)["state"] in ("cancelled", "succeeded")


def test_what_it_says_can_be_followed(chat: openai.OpenAI, stack: Stack) -> None:
    with requests.post(
        stack.path("chat"), data=b"A job ", headers={"Accept": "text/event-stream"}, stream=True, timeout=30
    ) as response:
        told = list(events(response))
    said = "".join(data["text"] for _, kind, data in told if kind == "output")
    assert said == told[-1][2]["result"]
    assert sum(kind == "output" for _, kind, _ in told) > 1


def test_curl_streams_as_the_readme_says(chat: openai.OpenAI, stack: Stack) -> None:
    done = subprocess.run(
        [
            *("curl", "-sSN", "-m", "20", f"{stack.url}/fn/chat/v1/chat/completions"),
            *("-H", "Content-Type: application/json", "-d"),
            json.dumps({"model": MODEL, "stream": True, "max_tokens": 5, "messages": MESSAGES}),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.startswith("data: {")
    assert done.stdout.endswith("data: [DONE]\n\n")
