"""Cog's containers: events are the inputs of a prediction, answers its output.

A prediction gets the id of its run, so that it can be cancelled. 409 means one thing: all slots are busy.
"""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.invocation import Invocation
from workers.protocols.wire import BadEvent, NeverReady, NoRoom, Said

_FAILED = "Prediction failed: "
_STATE = re.compile(rb'"status"\s*:\s*"([A-Z_]+)"')
"""The first is the server's; that of its setup is in small letters."""


class Cog:
    health = "/health-check"
    envelopes = True

    def event(self, invocation: Invocation) -> tuple[str, str]:
        return "PUT", f"/predictions/{_name(invocation)}"

    def wrap(self, invocation: Invocation, event: bytes) -> bytes:
        try:
            inputs = json.loads(event) if event.strip() else {}
        except (ValueError, RecursionError) as error:
            raise BadEvent(f"a Cog model takes its inputs as JSON, and the body is none: {error}") from None
        if not isinstance(inputs, dict):
            raise BadEvent('a Cog model takes its inputs as a JSON object, as in {"prompt": "a cat"}')
        return json.dumps({"input": inputs}).encode()

    def unwrap(self, status: int, body: bytes) -> Said:
        if status == 409:
            raise NoRoom("the Cog server has no free slot: is its concurrency.max that of the spec?")
        try:
            said: dict[str, Any] = json.loads(body)
            state = said.get("status")
        except (ValueError, RecursionError, AttributeError):
            error = "Malformed: this is no answer of a Cog server"
            return Said(status=status, body=body, content_type="text/plain", error=error)
        if status >= 400:  # inputs that do not validate
            return Said(status=status, body=body, content_type="application/json")
        if state != "succeeded":
            error = (
                str(said.get("error") or f"the prediction is {state}").removeprefix(_FAILED).removeprefix(_FAILED)
            )
            return Said(status=500, body=body, content_type="application/json", error=error)
        return Said(status=200, body=json.dumps(said.get("output")).encode(), content_type="application/json")

    def healthy(self, status: int, body: bytes) -> bool:
        # Not as JSON: what its setup wrote is part of it, and may be longer than what is read of it.
        said = _STATE.search(body)
        state = said[1] if said else b""
        if state == b"SETUP_FAILED":
            raise NeverReady("the model's setup failed")
        return status == 200 and state in (b"READY", b"BUSY")

    def cancel(self, invocation: Invocation) -> str | None:
        return f"/predictions/{_name(invocation)}/cancel"


def _name(invocation: Invocation) -> str:
    return f"{invocation.id}-{invocation.token}"
