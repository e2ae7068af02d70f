"""What is said about an error of the user's code: its class, message and a short traceback of the user's frames.

An exception is worth another attempt when it says so itself: `retryable = True` on its class or on it. Any other
one is final, since running wrong code again makes nothing right.
"""

from __future__ import annotations

import asyncio
import importlib
import traceback
from pathlib import Path
from typing import Any

_TRACEBACK_LINES = 20
_LONGEST_MESSAGE = 8_000
_OURS = (
    str(Path(importlib.__file__).parent),
    str(Path(__file__).parent),
    str(Path(asyncio.__file__).parent.parent / "concurrent"),
    "<frozen importlib",
)


class Raised(Exception):
    """The user's code raised `error`. Wrapped, since StopIteration cannot pass through a coroutine, and SystemExit
    must end the call and not the server."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def user_traceback(error: BaseException) -> list[str]:
    """The traceback from the user's first line on; how the call got there is not what they look for."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return traceback.format_exception(type(error), error, trace)


def describe(error: BaseException, lines: list[str]) -> dict[str, Any]:
    """The JSON body of the answer; `lines` is its traceback."""
    return {
        "errorType": type(error).__name__,
        "errorMessage": _message(error),
        "retryable": getattr(error, "retryable", False) is True,
        "stackTrace": lines[-_TRACEBACK_LINES:],
    }


def header(error: BaseException) -> tuple[bytes, bytes]:
    """What tells an error of the handler from an answer that says 500."""
    name = "".join(letter if letter.isprintable() else "?" for letter in type(error).__name__)
    return b"penstock-error", name.encode("ascii", "replace")


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_LONGEST_MESSAGE]
    except Exception as broken:
        return f"(its message cannot be had: {type(broken).__name__})"
