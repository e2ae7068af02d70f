"""What schemathesis must know of our interface: which functions there are to play with, and that nothing may hang.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS), in its own process.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import schemathesis

from penstock.egress import split
from penstock.function import NAME
from penstock.units import DURATION_TEXT

_DELAY = re.compile(DURATION_TEXT)
KEPT, SCRATCH = "echo", "scratch"
"""A function that answers, and one that may be changed, paused and deleted."""
_CHANGES = ("putFunction", "deleteFunction", "pauseFunction", "resumeFunction", "purgeQueue", "putProvisionConfig")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Three of four requests are to a function that exists; nobody waits for long, nor follows what has no end; no
    stranger is called back. What is not valid is sent as it is."""
    name = str((case.path_parameters or {}).get("function"))
    operation = case.operation.definition.raw["operationId"]
    if NAME.fullmatch(name):
        if operation in _CHANGES:
            case.path_parameters["function"] = SCRATCH
        elif hashlib.sha256(name.encode()).digest()[0] % 4:
            case.path_parameters["function"] = KEPT
    if _DELAY.fullmatch(str((case.headers or {}).get("Penstock-Delay", ""))):
        case.headers["Penstock-Delay"] = "100ms"
    query = case.query or {}
    if str(query.get("wait", "")).isdecimal():
        query["wait"] = 1
    if operation in ("followInvocation", "getLogs") and str(query.get("follow", "true")).lower() in ("true", "1"):
        case.query = {**query, "follow": "false"}
    if split(str((case.headers or {}).get("Penstock-Callback-Url", ""))) is not None:
        for header in [name for name in case.headers if name.lower().startswith("penstock-callback")]:
            del case.headers[header]


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: Any, value: Any) -> bytes:
    """Lines as they are; what is none is sent as text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
