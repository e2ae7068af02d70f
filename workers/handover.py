"""Destinations that are functions: what a job came to becomes the event of another function's job."""

from __future__ import annotations

from penstock.delivery import Delivery
from penstock.errors import ConfigurationError, FunctionNotFound, QueueFull
from penstock.invocation import Request
from penstock.store import Store
from workers.retries import Answer
from workers.submitting import CHAIN_HEADER, Submitting

LONGEST = 16
"""Functions that follow on each other so: a ring of them would never end."""


class Handover:
    def __init__(self, store: Store, submitting: Submitting) -> None:
        self._store = store
        self._submitting = submitting

    async def give(self, delivery: Delivery, target: str, event: bytes) -> Answer:
        """Makes a job of it: the same one, however often it is given. Raises StoreUnavailable."""
        record = await self._store.invocations.get(delivery.function, delivery.of)
        links = 1 + (chain(record.request) if record is not None else 0)
        if links > LONGEST:
            error = f"{links - 1} functions led here, one the destination of the other: it ends at {LONGEST}"
            return Answer(error=error, refused=True)
        function = await self._store.catalog.get(target)
        if function is None or function.tenant != await self._store.catalog.tenant(delivery.function):
            return Answer(status=404, error=str(FunctionNotFound(target)))
        try:
            await self._submitting.submit(
                function,
                event,
                of=("destination", delivery.function, delivery.name),
                at_ms=delivery.created_at,
                chain=links,
                trace=record.trace if record is not None else None,
            )
        except (QueueFull, FunctionNotFound) as error:
            return Answer(status=error.status, error=str(error))
        except ConfigurationError as error:
            return Answer(error=str(error), refused=True)
        return Answer(status=202)


def chain(request: Request) -> int:
    """How many functions led to a job."""
    return next((int(value) for name, value in request.headers if name == CHAIN_HEADER), 0)
