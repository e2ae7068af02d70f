"""A small server in the shape of OpenAI's, to stream tokens from: `/v1/models` and `/v1/chat/completions`.

    from openai import OpenAI
    OpenAI(base_url="http://127.0.0.1:8080/fn/chat/v1", api_key="-").chat.completions.create(...)

An ASGI application on the standard library alone. Behind it is a character n-gram model (model.py): a fixture to
try out streaming with, and no language model. A token is a character.
"""

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from model import Model, corpus

NAME = "penstock-ngram"
PACE = float(os.environ.get("CHAT_PACE", "0.01"))
"""Seconds per token, since what comes at once cannot be seen to stream."""
MOST_TOKENS = 4096

_model = Model(corpus())
_created = int(time.time())

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Json = dict[str, Any]


class Refused(Exception):
    """An error as OpenAI's clients know it."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        self.status = status
        kind = "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        raise RuntimeError(f"this application speaks HTTP alone, not {scope['type']}")
    try:
        await _route(scope["method"], scope["path"], receive, send)
    except Refused as refused:
        await _answer(send, refused.status, refused.body)


async def _route(method: str, path: str, receive: Receive, send: Send) -> None:
    if (method, path) == ("POST", "/v1/chat/completions"):
        await _complete(_parsed(await _body(receive)), send)
    elif (method, path) == ("POST", "/invoke"):  # an event call: text in, text out
        await _stream(send, "text/plain; charset=utf-8", _invoked((await _body(receive)).decode()))
    elif method == "GET" and path.rstrip("/") == "/v1/models":
        await _answer(send, 200, {"object": "list", "data": [_card()]})
    elif method == "GET" and path.startswith("/v1/models/"):
        _check_model(path.removeprefix("/v1/models/"))
        await _answer(send, 200, _card())
    else:
        raise Refused(404, f"Unknown request URL: {method} {path}", code="unknown_url")


async def _complete(asked: Json, send: Send) -> None:
    """A chat completion, streamed or in one piece."""
    _check_model(asked.get("model"))
    prompt = _prompt(asked.get("messages"))
    limit = _number(asked, "max_completion_tokens", 1, MOST_TOKENS) or _number(asked, "max_tokens", 1, MOST_TOKENS)
    temperature = _number(asked, "temperature", 0, 2)
    seed = _number(asked, "seed", -(2**63), 2**63 - 1)
    tokens = Tokens(
        prompt,
        limit=int(limit or 256),
        temperature=1.0 if temperature is None else temperature,
        seed=None if seed is None else int(seed),
        stop=_stops(asked.get("stop")),
    )
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": NAME}
    if asked.get("stream"):
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        await _stream(send, "text/event-stream; charset=utf-8", _chunks(tokens, head, usage=usage))
        return
    text = "".join([piece async for piece in tokens])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None}
    choices = [choice | {"finish_reason": tokens.finish}]
    await _answer(send, 200, head | {"object": "chat.completion", "choices": choices, "usage": tokens.usage})


async def _chunks(tokens: "Tokens", head: Json, *, usage: bool) -> AsyncIterator[str]:
    """The same as Server-Sent Events."""

    def chunk(delta: Json, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"usage": None} if usage else {}
        return _event(head | {"object": "chat.completion.chunk", "choices": [choice]} | more)

    yield chunk({"role": "assistant", "content": ""})
    async for piece in tokens:
        yield chunk({"content": piece})
    yield chunk({}, tokens.finish)
    if usage:
        yield _event(head | {"object": "chat.completion.chunk", "choices": [], "usage": tokens.usage})
    yield "data: [DONE]\n\n"


async def _invoked(prompt: str) -> AsyncIterator[str]:
    async for piece in Tokens(prompt, limit=256, temperature=1.0, seed=None, stop=()):
        yield piece


class Tokens:
    """What the model says, at its pace. A stop sequence is never said, not even the beginning of one."""

    def __init__(
        self, prompt: str, *, limit: int, temperature: float, seed: int | None, stop: Sequence[str]
    ) -> None:
        self._said = _model.continue_(prompt, temperature=temperature, seed=seed)
        self._limit = limit
        self._stop = stop
        self._count = 0
        self._prompt = len(prompt)
        self.finish = "stop"
        """Why it ended."""

    @property
    def usage(self) -> Json:
        total = self._prompt + self._count
        return {"prompt_tokens": self._prompt, "completion_tokens": self._count, "total_tokens": total}

    async def __aiter__(self) -> AsyncIterator[str]:
        held = ""
        for character in self._said:
            await asyncio.sleep(PACE)
            self._count += 1
            held += character
            if any(held.endswith(stop) for stop in self._stop):
                longest = max(len(stop) for stop in self._stop if held.endswith(stop))
                held = held[:-longest]
                break
            ready = len(held) - self._begun(held)
            if ready:
                yield held[:ready]
                held = held[ready:]
            if self._count == self._limit:
                self.finish = "length"
                break
        if held:
            yield held

    def _begun(self, text: str) -> int:
        """How many characters of its end may be the beginning of a stop sequence."""
        return max((n for stop in self._stop for n in range(len(stop)) if text.endswith(stop[:n])), default=0)


# What is asked for


def _parsed(body: bytes) -> Json:
    try:
        asked = json.loads(body)
    except ValueError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(asked, dict):
        raise Refused(400, "The body of the request must be a JSON object.")
    return asked


def _check_model(name: object) -> None:
    if name is None:
        raise Refused(400, "You must provide a model parameter.", param="model")
    if name != NAME:
        raise Refused(
            404, f"The model '{name}' does not exist; use {NAME}.", param="model", code="model_not_found"
        )


def _prompt(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "'messages' must be a list of at least one message.", param="messages")
    return "".join(_content(index, message) for index, message in enumerate(messages))


def _content(index: int, message: object) -> str:
    where = f"messages.[{index}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Refused(400, f"'{where}' must be an object with a role.", param=where)
    content = message.get("content")
    if isinstance(content, list):  # in parts
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise Refused(400, f"'{where}.content' must be text.", param=f"{where}.content")
    return content


def _number(asked: Json, name: str, least: float, most: float) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Refused(400, f"'{name}' must be a number from {least} to {most}, not {value!r}.", param=name)
    return value


def _stops(stop: object) -> Sequence[str]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(one, str) and one for one in stops):
        raise Refused(400, "'stop' must be a text, or a list of up to 4.", param="stop")
    return stops


# What is answered


def _card() -> Json:
    return {"id": NAME, "object": "model", "created": _created, "owned_by": "penstock"}


def _event(data: Json) -> str:
    return f"data: {json.dumps(data)}\n\n"


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, body: Json) -> None:
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _stream(send: Send, kind: str, pieces: AsyncIterator[str]) -> None:
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
