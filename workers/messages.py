"""What callbacks say, and to whom: the one place that knows each kind of thing that is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from penstock import views
from penstock.batch import Batch
from penstock.blobs import Blobs
from penstock.delivery import Delivery, Endpoint
from penstock.events import BEGINNING
from penstock.fc import payloads
from penstock.function import named_function
from penstock.invocation import DEAD_STATES, Ending, Invocation, Payload, State
from penstock.store import Store
from penstock.tracecontext import TraceContext
from penstock.vendors.shown import Shown

_RESULT_LIMIT = 20_000
"""Bytes of a result that is told; of a larger one, the link."""
_VENDOR_LIMIT = 2**20
"""The same for other vendors' webhooks, which have no link and whose receivers expect the result."""


@dataclass(frozen=True)
class Message:
    body: bytes
    trace: TraceContext | None
    """Of the invocation that it tells of; None: it is not traced."""


class Messages:
    def __init__(self, store: Store, blobs: Blobs, *, base_url: str) -> None:
        """`base_url` stands before links; empty: they are paths."""
        self._store = store
        self._blobs = blobs
        self._base_url = base_url
        self._shown = Shown(store, blobs, limit=_VENDOR_LIMIT)

    async def endpoints(self, function: str, named: str, what: str) -> list[Endpoint]:
        """Who is told of it; empty if nobody is any more."""
        if what == "batch":
            batch = await self._batch(function, named)
            return [Endpoint(url=batch.callback)] if batch is not None and batch.callback else []
        record = await self._store.invocations.get(function, named)
        if record is None:
            return []
        endpoints = []
        if record.callback is not None and what in record.callback_events:
            endpoints.append(Endpoint(url=record.callback, payload=record.callback_payload))
        if what == "completed" and record.kind == "job":
            destination = await self._destination(record)
            if destination is not None and destination != record.callback:
                told: Payload = "full" if named_function(destination) is None else "destination"
                endpoints.append(Endpoint(url=destination, payload=told))
        return endpoints

    async def message(self, delivery: Delivery) -> Message | None:
        """What a delivery says now; None if what it tells of is past its retention."""
        if delivery.what == "batch":
            batch = await self._batch(delivery.function, delivery.of)
            return None if batch is None else Message(self._encode(views.batch_callback(batch)), None)
        record = await self._store.invocations.get(delivery.function, delivery.of)
        return None if record is None else Message(await self._body(delivery, record), record.trace)

    async def _body(self, delivery: Delivery, record: Invocation) -> bytes:
        if delivery.payload == "runpod":
            return json.dumps(await self._shown.job(record)).encode()
        if delivery.payload == "replicate":
            return json.dumps(await self._shown.prediction(record, self._base_url)).encode()
        if delivery.payload == "destination":
            return payloads.destination(record, await self._request(record), await self._answer(record))
        result = await self._result(record) if delivery.payload == "full" else None
        said = views.callback(record, delivery.what, result, payload=delivery.payload)
        if delivery.what == "output" and delivery.payload == "full":
            said["data"]["output"] = await self._output(record)
        return self._encode(said)

    def _encode(self, said: dict[str, Any]) -> bytes:
        data = said["data"]
        data["links"] = {name: self._base_url + path for name, path in data["links"].items()}
        return json.dumps(said).encode()

    async def _batch(self, function: str, batch_id: str) -> Batch | None:
        """One that has ended, none of whose jobs run."""
        return await self._store.batches.get(function, batch_id, lambda _: False)

    async def _destination(self, record: Invocation) -> str | None:
        """The endpoint of the function itself for an end like this."""
        deployed = await self._store.catalog.get(record.function)
        if deployed is None:
            return None
        callbacks = deployed.spec.callbacks
        if record.state is State.SUCCEEDED:
            return callbacks.on_success
        return callbacks.on_failure if record.state in DEAD_STATES else None

    async def _result(self, record: Invocation) -> Any:
        """None while there is none, and in the place of one that is too large."""
        if record.response is None or record.response.size > _RESULT_LIMIT:
            return None
        ending = await self._store.invocations.ending(record.function, record.id)
        if ending is None or ending.response is None:
            return None
        return views.result(ending.response, await self._whole(ending))

    async def _request(self, record: Invocation) -> bytes | None:
        """What it was called with; None in the place of what is too large."""
        if record.request.size > payloads.LIMIT:
            return None
        if record.request.blob is not None:
            return await self._blobs.read(record.request.blob)
        return await self._store.invocations.body(record.function, record.id)

    async def _answer(self, record: Invocation) -> bytes | None:
        """What it answered; None if it did not, and in the place of what is too large."""
        if record.response is None or record.response.size > payloads.LIMIT:
            return None
        ending = await self._store.invocations.ending(record.function, record.id)
        return None if ending is None else await self._whole(ending)

    async def _output(self, record: Invocation) -> list[Any]:
        """The last pieces of what it has put out so far, as its events tell them."""
        story = await self._store.events.since(record.function, record.id, BEGINNING)
        pieces: list[Any] = []
        size = 0
        for one in reversed(story.said if story is not None else ()):
            if one.kind == "output":
                size += len(one.data)
                if size > _RESULT_LIMIT:
                    break
                pieces.append(json.loads(one.data))
        return pieces[::-1]

    async def _whole(self, ending: Ending) -> bytes:
        if ending.response is not None and ending.response.blob is not None:
            return await self._blobs.read(ending.response.blob)
        return ending.body
