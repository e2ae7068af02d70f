"""GPU cards as values. Pure: who reads them is in `workers/gpus.py`.

A figure that nobody knows is None and never 0: a card of unknown utilisation is not an idle one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from penstock.fc.cards import CARD_TYPES

_MODELS = (
    # Function Compute documents T4 and A10. The others are a card of the series that has the type's memory.
    ("T4", "fc.gpu.tesla.1"),
    ("A10", "fc.gpu.ampere.1"),
    ("L20", "fc.gpu.ada.1"),
    ("RTX 4090", "fc.gpu.ada.2"),
    ("RTX 4090", "fc.gpu.ada.3"),
    ("H20", "fc.gpu.hopper.1"),
    ("H20", "fc.gpu.hopper.2"),
    ("H200", "fc.gpu.hopper.2"),
    ("RTX 5090", "fc.gpu.blackwell.1"),
)
_SHOWN_OF_SOLD = (0.88, 1.05)
"""What a card shows of the memory it is sold with: a T4 with ECC 0.92, an H200 0.996."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU of this machine. Its identity is the UUID: an index changes when a card falls off the bus."""

    uuid: str
    name: str
    """As the driver or the settings call it; empty: it was lost before it could be asked."""
    memory: int
    """Bytes in all; 0 only with a problem, when it was lost before it could be asked."""
    type: str | None = None
    """Of `CARD_TYPES`, or whatever the settings say; None: unknown."""
    free: int | None = None
    """Bytes that nobody uses, in whatever container; None: unknown."""
    sm: float | None = None
    """Utilisation of the multiprocessors, 0..1; None: unknown, or the card has no such figure (MIG)."""
    encoder: float | None = None
    """Of the video encoder, likewise."""
    decoder: float | None = None
    """Of the video decoder, likewise."""
    processes: Mapping[int, int | None] = field(default_factory=dict)
    """Process id → bytes of this card's memory, None: unknown. Processes that compute; what only draws is left
    out, or a desktop's card could never be used. Empty also where nobody knows them (a listed card)."""
    problem: str | None = None
    """Why nothing may be started on it: lost, silent, bad memory; None: something may."""
    silent: bool = False
    """The problem is only that nobody answers for it: what serves there goes on."""

    def unusable(self, problem: str, *, silent: bool = False) -> Card:
        """What stays true of a card that does not answer: who it is, and nothing of what it does."""
        unknown = replace(self, free=None, sm=None, encoder=None, decoder=None, processes={})
        return replace(unknown, problem=problem, silent=silent)


class CardSource(Protocol):
    """Where the cards of this machine are found."""

    @property
    def reason(self) -> str:
        """Why there is no card, or one fewer than the driver has, for logs and `penstock doctor`; else empty."""

    async def read(self) -> tuple[Card, ...]:
        """Every card that was ever seen; those that must not be used say why. Never raises, never blocks."""

    def close(self) -> None:
        """Ends what reads them, and waits for nothing."""


def guess_type(name: str, memory: int) -> str | None:
    """The card type of a card with this name and bytes of memory; None: unknown."""
    for model, type in _MODELS:
        share = memory / (CARD_TYPES[type] * 2**30)
        if _is_model(name, model) and _SHOWN_OF_SOLD[0] <= share <= _SHOWN_OF_SOLD[1]:
            return type
    return None


def _is_model(name: str, model: str) -> bool:
    """As a whole word: an A100 is no A10, and an H200 no H20."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(model)}(?![A-Za-z0-9])", name) is not None
