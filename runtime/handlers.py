"""The ways to write a handler, each turned into one thing: something that is called with event and context.

    def handler(event, context)          or with the event alone, or with nothing
    def lambda_handler(event, context)   known by its name: JSON in, JSON out, an empty body is {}
    async def, and generators of either kind
    class Predictor: setup(self); predict(self, **inputs)     a JSON object is the keyword arguments
    class Model: load(self); predict(self, model_input)       the event as it is

Which one it is, is seen from the object and its name alone; nothing has to be imported for it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.exchange import Refused

_CONTEXT_NAMES = frozenset({"context", "contexts", "ctx"})
_LAMBDA_NAME = "lambda_handler"


@dataclass(frozen=True, kw_only=True)
class Handler:
    call: Callable[[Any, Any], Any]
    """With event and context; when batching with the lists of both. Raises Refused for inputs that do not fit."""
    on_loop: bool
    """It is a coroutine function: it gets no thread."""
    parse: Callable[[bytes], Any]
    """Makes the event of a request's body. Raises Refused."""
    lambda_style: bool = False
    setup: Callable[[], Any] | None = None
    """Run once, before `initialize`."""


def of_function(function: Callable[..., Any], name: str, event: str) -> Handler:
    """`name`: what the spec calls it; `event`: bytes or json."""
    lambda_style = name == _LAMBDA_NAME
    parse = parse_lambda if lambda_style else parse_json if event == "json" else bytes
    return Handler(call=arranged(function), on_loop=on_loop(function), parse=parse, lambda_style=lambda_style)


def of_predictor(instance: Any, *, batching: bool) -> Handler:
    """An object with `predict`. A batch is given to it as the list of its inputs."""
    predict, setup = instance.predict, getattr(instance, "setup", None)
    load = getattr(instance, "load", None)
    whole = batching or (setup is None and callable(load))
    return Handler(
        call=arranged(predict) if whole else _with_inputs(predict),
        on_loop=on_loop(predict),
        parse=parse_lambda,
        setup=setup if callable(setup) else load if callable(load) else None,
    )


def on_loop(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def arranged(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """The function as one of event and context, whichever of the two it takes."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C, and without a signature
        return function
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.name in _CONTEXT_NAMES for p in parameters):
        return lambda event, context: function(event, context=context)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or _takes_two(positional):
        return function
    if positional:
        return lambda event, context: function(event)
    return lambda event, context: function()


def _takes_two(positional: list[inspect.Parameter]) -> bool:
    if len(positional) < 2:
        return False
    second = positional[1]
    return second.default is second.empty or second.name.strip("_") in {"", *_CONTEXT_NAMES}


def _with_inputs(predict: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    signature = inspect.signature(predict)
    wants_context = "context" in signature.parameters

    def call(event: Any, context: Any) -> Any:
        if not isinstance(event, dict):
            raise Refused(400, "InvalidEvent", "predict takes named inputs: send a JSON object with them")
        inputs = {"context": context, **event} if wants_context else event
        try:
            signature.bind(**inputs)
        except TypeError as error:
            raise Refused(400, "InvalidEvent", f"the inputs do not fit predict{signature}: {error}") from error
        return predict(**inputs)

    return call


def parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        message = f"this function takes JSON (event: json), and the body is none: {error}"
        raise Refused(400, "InvalidEvent", message) from error


def parse_lambda(body: bytes) -> Any:
    return parse_json(body) if body else {}
