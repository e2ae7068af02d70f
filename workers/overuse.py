"""Whose processes are on a card, and which instances use more of it than they reserved.

An instance is told by its environment, which a container's processes have, too; reading it takes the rights of
whoever runs them. A process that tells nothing is taken for a stranger only where none of ours should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from workers.cards import Card

_TOLERANCE = 1.1
"""Times its reservation that an instance may use before it is told of: contexts and fragments are not its own."""
_MARK = b"PENSTOCK_INSTANCE="


def instance_of(pid: int) -> str | None:
    """The instance that a process of this machine belongs to; None: none, or nobody may know."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    found = next((value for value in environment if value.startswith(_MARK)), None)
    return None if found is None else found.removeprefix(_MARK).decode(errors="replace")


def owners(cards: Iterable[Card]) -> Mapping[int, str | None]:
    """Instances by process, for all processes on these cards. It blocks: a look at /proc each."""
    return {pid: instance_of(pid) for card in cards for pid in card.processes}


def overused(card: Card, reserved: Mapping[str, int], owner: Callable[[int], str | None]) -> Mapping[str, int]:
    """Bytes of the card by instance, for those that use more than they reserved. What is unknown is not told."""
    used: dict[str, int] = {}
    for pid, size in card.processes.items():
        instance = owner(pid)
        if instance in reserved and instance is not None and size is not None:
            used[instance] = used.get(instance, 0) + size
    return {instance: size for instance, size in used.items() if size > _TOLERANCE * reserved[instance]}


def strangers(card: Card, reserved: Mapping[str, int], owner: Callable[[int], str | None]) -> bool:
    """True if a process computes there that is none of ours."""
    found = {owner(pid) for pid in card.processes}
    return bool(found - {None} - reserved.keys()) or (None in found and not reserved)
