"""Replicate's predictions, as the replicate package makes them. A model's name is a function's; its owner may be
anybody, and it has one version, which goes by the function's name, too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from gateway import admission, bodies, calls, names
from gateway.access import LATE_CANCEL, LATE_INVOKE, LATE_READ, LATE_READ_ONE
from gateway.admission import Plan
from gateway.auth import needs, permit
from gateway.callbacks import Callback
from gateway.context import GATEWAY, Gateway
from gateway.proxies import base_url
from gateway.rendering import json_response
from gateway.results import find
from gateway.telling import HEADERS, follow
from gateway.tracing import traced
from penstock import clock
from penstock.errors import InvalidRequest, InvocationNotFound
from penstock.events import BEGINNING, Event, parse_id
from penstock.function import QUALIFIED, Function
from penstock.invocation import CallbackEvent, Invocation, Request, State
from penstock.units import parse_duration
from penstock.vendors import output, replicate
from penstock.vendors.shown import Shown

_HOLD = 60.0
"""Seconds that `Prefer: wait` may ask for; its clients read for half a second longer."""
_JSON = (("Content-Type", "application/json"),)
_EVENTS: dict[str, CallbackEvent] = {
    "start": "started",
    "output": "output",
    "logs": "progress",
    "completed": "completed",
}
"""What a webhook may ask for. Progress is what our functions tell where Replicate's write a line."""


@traced
async def create(request: web.Request) -> web.Response:
    """POST /v1/predictions, or the same below /v1/models/{owner}/{name} and /v1/deployments/{owner}/{name}."""
    gateway = request.app[GATEWAY]
    given = await bodies.receive_object(request, limit=gateway.settings.max_body)
    chosen = await names.choose(request, request.match_info.get("name") or _model(given.get("version")))
    function, call = chosen.function, chosen.marked(Request(headers=_JSON))
    plan = _plan(request, gateway, given)
    calls.admit(gateway, function, plan)
    event = json.dumps(given.get("input", {})).encode()
    submission = await calls.enclose(request, gateway, function, call, plan, event)
    taken, ending = await calls.run(gateway, function, submission, plan)
    shown = await _shown(request, gateway, await find(gateway, function.name, taken.id))
    if ending is None and plan.hold and shown["status"] == "processing":
        # Whoever waited takes anything but this for an end.
        shown["status"] = "starting"
    return json_response(shown, status=201)


async def get(request: web.Request) -> web.Response:
    """GET /v1/predictions/{id}"""
    gateway, record = await _named(request)
    return json_response(await _shown(request, gateway, record))


async def cancel(request: web.Request) -> web.Response:
    """POST /v1/predictions/{id}/cancel: how it stands then; one that has ended stays as it is."""
    gateway, record = await _named(request)
    await gateway.store.queue.cancel(record.function, record.id)
    return json_response(await _shown(request, gateway, await find(gateway, record.function, record.id)))


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /v1/predictions/{id}/stream: what it puts out and logs as it comes, as Server-Sent Events."""
    gateway, record = await _named(request)
    after = parse_id(request.headers.get("Last-Event-ID"))
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    telling = _Telling(gateway, record)
    async with aclosing(follow(gateway, record.function, record.id, after)) as following:
        async for event in following:
            if event is None:
                await response.write(b": heartbeat\n\n")
                continue
            async for kind, data in telling.hear(event):
                await response.write(_encode(event.id, kind, data))
    await response.write_eof()
    return response


class _Telling:
    """What a stream of Replicate's says of our events."""

    def __init__(self, gateway: Gateway, record: Invocation) -> None:
        self._gateway = gateway
        self._shown = Shown(gateway.store, gateway.blobs)
        self._of = record
        self._pieces: output.Pieces | None = None

    async def hear(self, event: Event) -> AsyncIterator[tuple[str, str]]:
        """Kind and data of each event of theirs."""
        data: dict[str, Any] = json.loads(event.data) if isinstance(event.data, str) else dict(event.data)
        if event.kind == "output":
            if self._pieces is None:
                self._pieces = output.Pieces(await self._shown.kind(self._of))
            for piece in self._pieces.add(data):
                yield "output", _text(piece)
        elif event.kind == "log":
            yield "logs", data["line"] + "\n"
        elif event.kind == "progress":
            yield "logs", replicate.progress_line(data)
        elif event.kind == State.RUNNING:
            self._pieces = None
        elif event.kind in set(State) and State(event.kind).terminal:
            async for last in self._end(State(event.kind), data):
                yield last

    async def _end(self, state: State, data: dict[str, Any]) -> AsyncIterator[tuple[str, str]]:
        if state is State.SUCCEEDED:
            for piece in self._pieces.rest() if self._pieces is not None else await self._at_once():
                yield "output", _text(piece)
            yield "done", "{}"
        elif state is State.CANCELLED:
            yield "done", '{"reason": "canceled"}'
        else:
            yield "error", data["error"]["message"]
            yield "done", '{"reason": "error"}'

    async def _at_once(self) -> list[Any]:
        """An answer that did not come piece by piece; whose pieces somebody has had who resumed is none."""
        story = await self._gateway.store.events.since(self._of.function, self._of.id, BEGINNING)
        if story is not None and any(one.kind == "output" for one in story.said):
            return []
        record = await find(self._gateway, self._of.function, self._of.id)
        whole = await self._shown.answer(record)
        return whole if isinstance(whole, list) else [whole]


async def model(request: web.Request) -> web.Response:
    """GET /v1/models/{owner}/{name}"""
    function = await names.find(request, request.match_info["name"])
    owner = request.match_info["owner"]
    return json_response(
        {
            "url": f"{base_url(request)}/v1/models/{owner}/{function.name}",
            "owner": owner,
            "name": function.name,
            "description": None,
            "visibility": "private",
            "run_count": 0,
            "latest_version": _version(function),
        }
    )


async def versions(request: web.Request) -> web.Response:
    """GET /v1/models/{owner}/{name}/versions"""
    function = await names.find(request, request.match_info["name"])
    return json_response({"previous": None, "next": None, "results": [_version(function)]})


async def version(request: web.Request) -> web.Response:
    """GET /v1/models/{owner}/{name}/versions/{version}: whichever is asked for, it is the one that there is."""
    function = await names.find(request, request.match_info["name"])
    return json_response(_version(function))


def _version(function: Function) -> dict[str, Any]:
    """Nothing is known of what it takes and gives, so that no input is refused for its schema."""
    return {
        "id": function.name,
        "created_at": clock.rfc3339(function.created_at),
        "cog_version": "0.9.0",
        "openapi_schema": {"components": {"schemas": {"Input": {}, "Output": {}}}},
    }


async def _named(request: web.Request) -> tuple[Gateway, Invocation]:
    gateway, name = request.app[GATEWAY], request.match_info["id"]
    function, _, invocation_id = name.partition(".")
    if not QUALIFIED.fullmatch(function):
        raise InvocationNotFound(name)
    await permit(request, function)
    return gateway, await find(gateway, function, invocation_id)


def _model(given: object) -> str:
    """The function that a version means: `owner/name:version`, `owner/name` or its own name."""
    if not isinstance(given, str) or not given:
        raise InvalidRequest('the body must name a version, as in {"version": "me/sentiment", "input": {}}')
    _, slash, name = given.rpartition("/")
    return name.partition(":")[0] if slash else given


def _plan(request: web.Request, gateway: Gateway, given: dict[str, Any]) -> Plan:
    hold = _hold(request, gateway)
    longest = _cancel_after(request.headers.get("Cancel-After"))
    return Plan(
        is_job=not hold,
        hold=hold,
        callback=_callback(gateway, given),
        max_queue=longest,
        timeout=longest,
        on_disconnect="continue",
    )


def _hold(request: web.Request, gateway: Gateway) -> float:
    wanted = request.headers.getall("Prefer", ())
    wait = admission.preferences(wanted).wait
    if wait is not None:
        return min(float(wait), _HOLD, gateway.settings.max_hold)
    waits = any(word.strip().lower() == "wait" for value in wanted for word in value.split(","))
    return min(gateway.settings.hold, _HOLD) if waits else 0.0


def _cancel_after(text: str | None) -> float | None:
    """Seconds; they bound the time in the queue, and the run."""
    if text is None:
        return None
    try:
        seconds = parse_duration(float(text) if text.strip().isdigit() else text)
    except ValueError as error:
        raise InvalidRequest(f"Cancel-After: {error}") from None
    if not 5 <= seconds <= 86_400:
        raise InvalidRequest(f"Cancel-After {text!r} is not between 5 s and 24 h")
    return seconds


def _callback(gateway: Gateway, given: dict[str, Any]) -> Callback | None:
    url, only_end = given.get("webhook"), given.get("webhook_completed")
    if url is None and only_end is None:
        return None
    wanted = list(_EVENTS) if url is not None else ["completed"]
    if url is not None and given.get("webhook_events_filter") is not None:
        wanted = given["webhook_events_filter"]
    if not isinstance(wanted, list) or not wanted or not set(map(str, wanted)) <= set(_EVENTS):
        raise InvalidRequest(f"webhook_events_filter {wanted!r} is not a list of {', '.join(_EVENTS)}")
    target = str(url if url is not None else only_end)
    gateway.egress.check(target, "webhook")
    events = tuple(event for name, event in _EVENTS.items() if name in wanted)
    return Callback(url=target, events=events, payload="replicate")


async def _shown(request: web.Request, gateway: Gateway, record: Invocation) -> dict[str, Any]:
    return await Shown(gateway.store, gateway.blobs).prediction(record, base_url(request))


def _text(piece: Any) -> str:
    return piece if isinstance(piece, str) else json.dumps(piece)


def _encode(event_id: str | None, kind: str, data: str) -> bytes:
    """Its clients drop events without an id."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {kind}\nid: {event_id or ''}\n{lines}\n".encode()


ROUTES = (
    *needs(
        LATE_INVOKE,
        web.post("/v1/predictions", create),
        web.post("/v1/models/{owner}/{name}/predictions", create),
        web.post("/v1/deployments/{owner}/{name}/predictions", create),
    ),
    *needs(
        LATE_READ_ONE,
        web.get("/v1/predictions/{id}", get),
        web.get("/v1/predictions/{id}/stream", stream),
    ),
    *needs(LATE_CANCEL, web.post("/v1/predictions/{id}/cancel", cancel)),
    *needs(
        LATE_READ,
        web.get("/v1/models/{owner}/{name}", model),
        web.get("/v1/models/{owner}/{name}/versions", versions),
        web.get("/v1/models/{owner}/{name}/versions/{version}", version),
    ),
)
"""Its errors are problem+json, as ours are."""
