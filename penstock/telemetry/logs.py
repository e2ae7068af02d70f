"""What gateway and workers log, for people or as JSON: one object a line, which says what the line is about.

No line holds a key, a secret or a body; that is for whoever logs to see to. What functions write is not logged
here: it belongs to their invocations (docs/telemetry.md).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Literal

from penstock import clock

Facts = Mapping[str, object]

_about: ContextVar[Callable[[], Facts] | None] = ContextVar("about", default=None)


def about(facts: Callable[[], Facts]) -> None:
    """All that this task, and those that it starts, log from here on is about this: function, invocation, attempt,
    instance, trace_id, span_id. It is asked for each line that is logged, and costs nothing where none is."""
    _about.set(facts)


def set_up(form: Literal["text", "json"], *, text: str, level: str) -> None:
    """Of the whole process, to standard error. `text`: how a line of text looks, in logging's own notation."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else logging.Formatter(text, datefmt="%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("arq").setLevel(logging.WARNING)


class Json(logging.Formatter):
    """RFC 3339 time, level, logger, message; what it is about; an error with its stack as one string."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": clock.rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        subject = _about.get()
        facts = {**(subject() if subject is not None else {}), **getattr(record, "facts", {})}
        line |= {name: value for name, value in facts.items() if value is not None}
        if record.exc_info and (error := record.exc_info[1]) is not None:
            stack = "".join(traceback.format_exception(error))
            line["error"] = {"type": type(error).__name__, "message": str(error), "stack": stack}
        # ASCII: what is not UTF-8 arrives as lone surrogates, which only an escape carries.
        return json.dumps(line, default=str)
