"""RunPod's worker images: they ask for their jobs, and post what comes of them. Pure.

Their SDK takes where to ask from its environment. It replaces `$ID` in two of the addresses by the job's id, and
appends `&…` to all but one, so that they need a query to begin with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.invocation import Invocation
from workers.protocols.wire import BadEvent

JsonObject = dict[str, Any]
_LONGEST_MESSAGE = 1_000
_CLASS = re.compile(r"<class '(?:[\w.<>]+\.)?(\w+)'>")
_LAST_LINE = re.compile(r"(?:[\w.]+\.)?(\w+): ")
_GENERATOR = re.compile(r"handler: (?P<message>.*?) \ntraceback: (?P<traceback>.*)", re.DOTALL)


@dataclass(frozen=True)
class Progress:
    report: str
    """As it is stored: JSON with `progress` and `message`."""


@dataclass(frozen=True)
class Done:
    output: bytes
    """JSON."""
    error: str | None
    """As `Class: message`; None: the handler did not raise."""
    last: bool
    """The worker ends after this job."""


def environment(url: str, instance: str, key: str) -> Mapping[str, str]:
    """Of a worker that is reached at `url`."""
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/{instance}?worker={instance}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$ID?worker={instance}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$ID?worker={instance}",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping",
        "RUNPOD_PING_INTERVAL": "1000",  # ms; a ping says which jobs it runs
        "RUNPOD_POD_ID": instance,
        "RUNPOD_AI_API_KEY": key,  # without one it does not ping
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",  # they ask for 4 GB of memory and for RunPod's own machines
    }


def job_id(invocation: Invocation) -> str:
    """Of one run."""
    return f"{invocation.id}-{invocation.token}"


def job(name: str, event: bytes) -> JsonObject:
    """What a worker gets. Raises BadEvent."""
    try:
        given = json.loads(event) if event.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"a RunPod worker takes its input as JSON, and the body is none: {error}") from None
    return {"id": name, "input": given}


def done(body: bytes) -> Progress | Done:
    """What a worker posts about a job. Raises ValueError."""
    said = _object(body)
    if said.get("status") == "IN_PROGRESS":
        return Progress(_report(said.get("output")))
    error = said.get("error")
    return Done(
        output=json.dumps(said.get("output", {})).encode(),
        error=_error(error) if error else None,
        last=bool(said.get("stopPod")),
    )


def streamed(body: bytes) -> bytes:
    """One output of a generator, as a line of the answer. Raises ValueError."""
    return json.dumps(_object(body).get("output")).encode() + b"\n"


def _object(body: bytes) -> JsonObject:
    said = json.loads(body)
    if not isinstance(said, dict):
        raise ValueError("a worker posts a JSON object")  # noqa: TRY004 - it is a value that was read
    return said


def _report(progress: object) -> str:
    """RunPod's progress is anything: a share of 1 is one, and the rest is a message."""
    if isinstance(progress, int | float) and not isinstance(progress, bool) and 0 <= progress <= 1:
        return json.dumps({"progress": progress, "message": None})
    text = progress if isinstance(progress, str) else json.dumps(progress)
    return json.dumps({"progress": None, "message": text[:_LONGEST_MESSAGE]})


def _error(error: object) -> str:
    """The SDK tells an exception as JSON, or of a generator as text; a handler may return anything as one."""
    text = error if isinstance(error, str) else json.dumps(error)
    if (raised := _GENERATOR.fullmatch(text)) is not None:
        last = _LAST_LINE.match(raised["traceback"].strip().rpartition("\n")[2])
        return f"{last[1]}: {raised['message']}" if last else raised["message"]
    try:
        told = json.loads(text)
        kind = _CLASS.fullmatch(told["error_type"])
        return f"{kind[1] if kind else told['error_type']}: {told['error_message']}"
    except (ValueError, KeyError, TypeError):
        return text
