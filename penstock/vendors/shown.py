"""Reads what it takes to show an invocation as another vendor would: to who polls, and to webhooks."""

from __future__ import annotations

import json
from typing import Any

from penstock.blobs import Blobs
from penstock.events import BEGINNING
from penstock.invocation import Ending, Invocation, Opening
from penstock.store import Store
from penstock.vendors import output, replicate, runpod


class Shown:
    def __init__(self, store: Store, blobs: Blobs, *, limit: int | None = None) -> None:
        """`limit`: bytes of the longest answer that is shown; None: there is none."""
        self._store = store
        self._blobs = blobs
        self._limit = limit

    async def job(self, record: Invocation) -> dict[str, Any]:
        """As RunPod shows it."""
        return runpod.job(record, await self.answer(record))

    async def prediction(self, record: Invocation, base_url: str) -> dict[str, Any]:
        """As Replicate shows it. `base_url`: before its links."""
        story = await self._store.events.since(record.function, record.id, BEGINNING)
        said = [one for one in story.said if one.token == record.token] if story is not None else []
        if record.state.terminal:
            answer = await self.answer(record)
        else:
            kind = await self.kind(record)
            found, _ = output.pieces(kind, said, ended=False)
            # Of what comes piece by piece; an answer of any other kind is none until it is whole.
            answer = found if kind == output.LINES else "".join(found) if kind.startswith("text/") else None
        return replicate.prediction(
            record, given=await self._given(record), output=answer, logs=output.logs(said), base_url=base_url
        )

    async def kind(self, record: Invocation) -> str:
        """Content type of its answer; empty while it has not begun."""
        if record.response is not None:
            return output.kind(record.response)
        news = await self._store.invocations.news(record.function, record.id)
        response = news.response if isinstance(news, Opening | Ending) else None
        return output.kind(response) if response is not None else ""

    async def answer(self, record: Invocation) -> Any:
        """What it answered; None if it did not, or if that is too long."""
        response = record.response
        if response is None or not record.state.terminal:
            return None
        if self._limit is not None and response.size > self._limit:
            return None
        if response.blob is not None:
            return output.whole(response, await self._blobs.read(response.blob))
        ending = await self._store.invocations.ending(record.function, record.id)
        return output.whole(response, ending.body) if ending is not None else None

    async def _given(self, record: Invocation) -> Any:
        """Its input; None for one that is too long to be shown each time."""
        if record.request.blob is not None:
            return None
        try:
            return json.loads(await self._store.invocations.body(record.function, record.id))
        except ValueError:
            return None  # it was submitted by somebody who need not send JSON
