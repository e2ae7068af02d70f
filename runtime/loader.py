"""Finds the user's handler and sees what it is.

The user's folder goes on the path only now, after our own imports, so that a file of theirs called `runtime.py` or
`uvicorn.py` cannot stand in for ours.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from runtime.handlers import Handler, of_function, of_predictor


class LoadError(Exception):
    """The handler is not where the spec says, or nothing that can be called. The message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    kind: Literal["event", "wsgi", "asgi"]
    app: Any = None
    """The application, of the last two kinds."""
    handler: Handler | None = None
    """Of the first kind."""
    initialize: Callable[..., Any] | None = None
    pre_stop: Callable[..., Any] | None = None


def load(handler: str, folder: str, *, event: str = "bytes", batching: bool = False) -> Loaded:
    """What `module:name` of a folder is, with the hooks of the module.

    Raises LoadError, and whatever the user's own code raises while it is imported or constructed.
    """
    module_name, _, name = handler.partition(":")
    sys.path.insert(0, folder)
    module = _module(module_name, handler)
    found = getattr(module, name, None)
    where = f"handler is {handler}, but {module_name}.py has no"
    if found is None:
        raise LoadError(f"{where} function {name}")
    kind = web_kind(found)
    if kind is not None:
        if batching:
            raise LoadError(f"batch needs a handler of events, and {handler} is a {kind.upper()} application")
        return Loaded(
            kind=kind,
            app=found,
            initialize=_hook(module, "initialize", web=True),
            pre_stop=_hook(module, "pre_stop", web=True),
        )
    if inspect.isclass(found):
        if not callable(getattr(found, "predict", None)):
            raise LoadError(f"handler is the class {handler}, but it has no method predict")
        found = found()
    if callable(getattr(found, "predict", None)):
        made = of_predictor(found, batching=batching)
    elif callable(found):
        made = of_function(found, name, event)
    else:
        raise LoadError(f"{where} function {name}")
    return Loaded(
        kind="event", handler=made, initialize=_hook(module, "initialize"), pre_stop=_hook(module, "pre_stop")
    )


def web_kind(found: Any) -> Literal["wsgi", "asgi"] | None:
    """Known by the names of their arguments: (environ, start_response) and (scope, receive, send)."""
    if inspect.isclass(found) or not callable(found):
        return None
    try:
        names = list(inspect.signature(found).parameters)
    except ValueError:
        return None
    if len(names) >= 2 and names[1] == "start_response":
        return "wsgi"
    return "asgi" if names[1:3] == ["receive", "send"] else None


def _module(name: str, handler: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise LoadError(f"handler is {handler}, but there is no {name}.py in the folder") from error
        raise


def _hook(module: ModuleType, name: str, *, web: bool = False) -> Callable[..., Any] | None:
    found = getattr(module, name, None)
    if not inspect.isroutine(found):
        return None
    takes_context = bool(inspect.signature(found).parameters)
    # In a web application, a function `initialize()` without arguments is the view of its own route.
    return found if takes_context else None if web else lambda context: found()
