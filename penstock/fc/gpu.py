"""The GPU that a function of Function Compute asks for. Pure."""

from __future__ import annotations

import difflib
from typing import Any

from penstock.fc.cards import CARD_TYPES, canonical_type
from penstock.fc.notes import Notes, Place
from penstock.fc.schema import VendorFunction

_CPU_TYPES = frozenset({"e1", "c1"})
"""Elastic and performance instances, which have no card."""


def gpu(function: VendorFunction, place: Place, notes: Notes) -> dict[str, Any] | None:
    """`resources.gpu`; None: it asks for none. Raises ConfigurationError for more memory than a card has."""
    config = function.gpu_config
    inside = (*place, "gpuConfig")
    memory, where = function.gpu_memory_size, (*place, "gpuMemorySize")
    kind = function.instance_type
    if config is not None:
        if config.gpu_memory_size is not None:
            if memory not in (None, config.gpu_memory_size):
                notes.warn(where, f"{memory} is ignored: gpuConfig.gpuMemorySize says {config.gpu_memory_size}")
            memory, where = config.gpu_memory_size, (*inside, "gpuMemorySize")
        if config.gpu_type is not None:
            if kind not in (None, config.gpu_type, *_CPU_TYPES):
                notes.warn(
                    (*place, "instanceType"), f"{kind} is ignored: gpuConfig.gpuType says {config.gpu_type}"
                )
            kind = config.gpu_type
    card = _card(kind, (*inside, "gpuType") if config and config.gpu_type else (*place, "instanceType"), notes)
    if memory is None and card is None:
        return None
    sold = CARD_TYPES.get(card or "")
    if memory is not None and sold is not None:
        if memory > sold * 1024:
            raise notes.error(where, f"{memory} MB is more than the {sold} GB of a {card}")
        if memory == sold * 1024:
            memory = None  # a card shows less than it is sold with, so this is a whole one
    return {
        **({"type": card} if card else {}),
        **({"memory": memory * 2**20} if memory is not None else {}),
    }


def _card(kind: str | None, place: Place, notes: Notes) -> str | None:
    if kind is None or kind in _CPU_TYPES:
        return None
    card = canonical_type(kind)
    if card not in CARD_TYPES:
        near = difflib.get_close_matches(card, CARD_TYPES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        notes.warn(
            place, f"{kind} is no card type of the vendor{hint}: it waits for a card that is listed as {kind}"
        )
    return card
