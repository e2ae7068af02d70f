"""What a delivery is: one endpoint that is told of one thing, and every attempt to do so. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

from penstock import egress
from penstock.function import named_function
from penstock.invocation import Payload

DeliveryState = Literal["pending", "delivered", "dead", "disabled"]
STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
"""Of those that ended: told; given up; not told, since the endpoint had answered 410."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Somebody who is told."""

    url: str
    """Or `function:NAME`."""
    payload: Payload = "full"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    at: int
    """Milliseconds since 1970."""
    ms: int
    """Until the answer's head, or until it failed."""
    status: int | None
    """None: there was no answer."""
    error: str | None
    """None: it was delivered."""
    sha256: str
    """Of the body that was sent; empty when none was."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One endpoint that is told of one thing. Times are milliseconds since 1970 by Redis's clock."""

    function: str
    name: str
    of: str
    what: str
    url: str
    payload: Payload
    created_at: int
    turn: int
    state: DeliveryState
    due_at: int | None
    ended_at: int | None
    made: int
    spent: int
    manual: bool
    """Somebody asked for the next attempt."""
    claimed: bool
    """Somebody makes an attempt, or died doing so."""
    attempts: tuple[Attempt, ...]

    @property
    def message(self) -> str:
        """Its webhook-id: the same for every attempt to tell the same thing, and for every endpoint."""
        base = f"msg_{self.of}"
        if self.what in ("completed", "batch"):
            return base
        return f"{base}_{self.what}" if self.turn == 1 else f"{base}_{self.what}_{self.turn}"


def lane(endpoint: str) -> str:
    """What its deliveries queue up for: the host of a URL, or the function."""
    return endpoint if named_function(endpoint) is not None else egress.origin(endpoint)


def digest(url: str) -> str:
    """A short name for an endpoint."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
