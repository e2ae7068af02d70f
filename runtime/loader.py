"""Finds the user's handler. The user's folder goes on the path only now, after our own imports, so that a file
of theirs called `runtime.py` or `uvicorn.py` cannot stand in for ours."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class LoadError(Exception):
    """The handler is not where the spec says. The message says what to change."""


@dataclass(frozen=True)
class Loaded:
    handler: Callable[[Any, Any], Any]
    initialize: Callable[[Any], Any] | None


def load(handler: str, folder: str) -> Loaded:
    """The handler `module:function` of a folder, and the module's `initialize` if it has one.

    Raises LoadError, and whatever importing the module raises.
    """
    module_name, _, name = handler.partition(":")
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == module_name:
            raise LoadError(f"handler is {handler}, but there is no {module_name}.py in the folder") from error
        raise
    function = getattr(module, name, None)
    if not callable(function):
        raise LoadError(f"handler is {handler}, but {module_name}.py has no function {name}")
    initialize = getattr(module, "initialize", None)
    return Loaded(function, initialize if callable(initialize) else None)
