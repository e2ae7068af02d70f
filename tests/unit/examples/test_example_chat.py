"""The chat example speaks as OpenAI's API does, and its model continues texts with what it has read."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.examples.conftest import EXAMPLES

ASKED = {"model": "penstock-ngram", "messages": [{"role": "user", "content": "A job "}], "max_tokens": 40}


class Api:
    def __init__(self, app: Any) -> None:
        self.app = app
        app.PACE = 0.0

    def call(self, method: str, path: str, body: Any = b"") -> tuple[int, str, list[bytes]]:
        """Status, content type and the pieces of the body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        unread = [{"body": data[:5], "more_body": True}, {"body": data[5:]}]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            return {"type": "http.request", **unread.pop(0)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.app.app({"type": "http", "method": method, "path": path}, receive, send))
        head = dict(sent[0]["headers"])
        assert "more_body" not in sent[-1]
        return sent[0]["status"], head[b"content-type"].decode(), [m["body"] for m in sent[1:] if m["body"]]

    def complete(self, **changes: Any) -> tuple[int, Any]:
        status, kind, pieces = self.call("POST", "/v1/chat/completions", ASKED | changes)
        assert kind == "application/json"
        return status, json.loads(b"".join(pieces))

    def stream(self, **changes: Any) -> list[Any]:
        status, kind, pieces = self.call("POST", "/v1/chat/completions", ASKED | {"stream": True} | changes)
        assert (status, kind) == (200, "text/event-stream; charset=utf-8")
        lines = [piece.decode().removesuffix("\n\n").removeprefix("data: ") for piece in pieces]
        assert lines.pop() == "[DONE]"
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Loaded and trained once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES / "chat")
        for name in ("app", "model"):
            patch.delitem(sys.modules, name, raising=False)
        yield Api(importlib.import_module("app"))


def test_a_completion_in_one_piece(api: Api) -> None:
    status, answer = api.complete()
    assert status == 200
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    said = choice["message"]["content"]
    assert answer["usage"] == {
        "prompt_tokens": 6,
        "completion_tokens": len(said),
        "total_tokens": 6 + len(said),
    }
    assert answer["object"] == "chat.completion"
    assert choice["finish_reason"] == ("length" if len(said) == 40 else "stop")


def test_a_stream_says_the_same_in_chunks(api: Api) -> None:
    _, whole = api.complete(seed=3)
    chunks = api.stream(seed=3, stream_options={"include_usage": True})
    usage = chunks.pop()
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert len(deltas) > 10


def test_without_the_wish_a_stream_tells_no_usage(api: Api) -> None:
    assert all("usage" not in chunk and chunk["choices"] for chunk in api.stream())


def said(api: Api, **changes: Any) -> str:
    _, answer = api.complete(**changes)
    text: str = answer["choices"][0]["message"]["content"]
    return text


def test_the_same_seed_says_the_same(api: Api) -> None:
    assert said(api, seed=1) == said(api, seed=1)
    assert len({said(api, seed=seed, max_tokens=100) for seed in range(5)}) > 1
    assert len({said(api, temperature=0, seed=seed) for seed in range(5)}) == 1


@pytest.mark.parametrize("temperature", [0, 0.001, 0.5, 2])
def test_any_temperature_says_something(api: Api, temperature: float) -> None:
    assert said(api, temperature=temperature, seed=1).strip()


@pytest.mark.parametrize("stop", ["e", ["zzz", "e "], ["a", "ab"], [". ", "he q"]])
def test_a_stop_sequence_is_not_said_nor_its_beginning(api: Api, stop: Any) -> None:
    stops = [stop] if isinstance(stop, str) else stop
    free = said(api, seed=5, max_tokens=300)
    expected = free[: min([free.index(one) for one in stops if one in free], default=len(free))]
    _, answer = api.complete(seed=5, max_tokens=300, stop=stop)
    assert answer["choices"][0]["message"]["content"] == expected
    if len(expected) < len(free):
        assert answer["choices"][0]["finish_reason"] == "stop"
    chunks = api.stream(seed=5, max_tokens=300, stop=stop)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected


def test_the_models(api: Api) -> None:
    _, _, pieces = api.call("GET", "/v1/models")
    listed = json.loads(b"".join(pieces))
    assert [model["id"] for model in listed["data"]] == ["penstock-ngram"]
    status, _, pieces = api.call("GET", "/v1/models/penstock-ngram")
    assert (status, json.loads(pieces[0])) == (200, listed["data"][0])
    assert api.call("GET", "/v1/models/gpt")[0] == 404


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"model": "gpt"}, 404, "model", "model_not_found"),
        ({"model": None}, 400, "model", None),
        ({"messages": []}, 400, "messages", None),
        ({"messages": None}, 400, "messages", None),
        ({"messages": [{"content": "x"}]}, 400, "messages.[0]", None),
        ({"messages": [{"role": "user", "content": 1}]}, 400, "messages.[0].content", None),
        ({"temperature": 3}, 400, "temperature", None),
        ({"max_tokens": 0}, 400, "max_tokens", None),
        ({"max_tokens": True}, 400, "max_tokens", None),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400, "stop", None),
        ({"stop": [""]}, 400, "stop", None),
        ({"seed": "x"}, 400, "seed", None),
    ],
)
def test_what_is_wrong_is_said_as_openai_does(
    api: Api, changes: Any, status: int, param: str, code: str | None
) -> None:
    got, answer = api.complete(**changes)
    assert got == status
    assert answer["error"]["message"]
    assert (answer["error"]["type"], answer["error"]["param"], answer["error"]["code"]) == (
        "invalid_request_error",
        param,
        code,
    )


def test_a_message_in_parts(api: Api) -> None:
    parts = [{"type": "text", "text": "A "}, {"type": "text", "text": "job "}]
    assert said(api, seed=1, messages=[{"role": "user", "content": parts}]) == said(api, seed=1)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/chat/completions"), ("POST", "/v1/x")])
def test_other_paths_are_unknown(api: Api, method: str, path: str) -> None:
    assert api.call(method, path)[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_json_object_is_refused(api: Api, body: bytes) -> None:
    assert api.call("POST", "/v1/chat/completions", body)[0] == 400


def test_an_event_call_is_text(api: Api) -> None:
    status, kind, pieces = api.call("POST", "/invoke", b"A job ")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert b"".join(pieces).strip()


def test_it_works_from_its_own_folder_alone(load: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("chat", "model")
    here = tmp_path / "code" / "chat"
    here.mkdir(parents=True)
    (here / "about.md").write_text("abcabd" * 20 + "\n\n")
    monkeypatch.setattr(model, "__file__", str(here / "model.py"))
    assert model.corpus().startswith("abcabd")
    spoken = "".join(model.Model(model.corpus()).continue_("never read: ab", temperature=1, seed=1))
    assert spoken[0] in "cd"
    assert spoken.endswith("\n\n")
