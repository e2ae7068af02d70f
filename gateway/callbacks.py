"""What a client wants to be told, and where, read from its headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from penstock.egress import Egress
from penstock.errors import InvalidRequest
from penstock.function import Function
from penstock.invocation import CALLBACK_EVENTS, CallbackEvent, Payload

_URL, _EVENTS, _PAYLOAD = "Penstock-Callback-Url", "Penstock-Callback-Events", "Penstock-Callback-Payload"
_PAYLOADS: tuple[Payload, ...] = ("full", "thin")


@dataclass(frozen=True, kw_only=True)
class Callback:
    url: str
    events: tuple[CallbackEvent, ...] = ("completed",)
    payload: Payload = "full"


class Told(TypedDict, total=False):
    """The fields of a Submission that are about it."""

    callback: str
    callback_events: tuple[CallbackEvent, ...]
    callback_payload: Payload
    destinations: bool


def callback(headers: Mapping[str, str], egress: Egress) -> Callback | None:
    """None: nobody is to be told. Raises InvalidRequest."""
    url = headers.get(_URL)
    if url is None:
        for name in (_EVENTS, _PAYLOAD):
            if name in headers:
                raise InvalidRequest(f"{name} says what to tell and {_URL} whom: send that, too")
        return None
    egress.check(url, _URL)
    return Callback(url=url, events=_events(headers.get(_EVENTS)), payload=_payload(headers.get(_PAYLOAD)))


def told(wanted: Callback | None, function: Function) -> Told:
    """What a submission says of who is to be told of it."""
    destinations = function.spec.callbacks.any
    if wanted is None:
        return {"destinations": destinations}
    return {
        "callback": wanted.url,
        "callback_events": wanted.events,
        "callback_payload": wanted.payload,
        "destinations": destinations,
    }


def _events(text: str | None) -> tuple[CallbackEvent, ...]:
    if text is None:
        return ("completed",)
    words = {word.strip().lower() for word in text.split(",")}
    events = tuple(event for event in CALLBACK_EVENTS if event in words)
    if len(events) < len(words):
        raise InvalidRequest(f"{_EVENTS} {text!r} is not a list of {', '.join(CALLBACK_EVENTS)}")
    return events


def _payload(text: str | None) -> Payload:
    for payload in _PAYLOADS:
        if text is None or text.strip().lower() == payload:
            return payload
    raise InvalidRequest(f"{_PAYLOAD} {text!r} is none of {', '.join(_PAYLOADS)}")
