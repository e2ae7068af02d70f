"""What has appeared in a folder or a bucket since it was looked at last, and is whole. Pure.

A file that is being written looks different each time. So one of a folder counts once two looks in a row find it
the same; an object of a bucket is there as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Found:
    """An object as a look finds it."""

    look: str
    """Changes whenever the object does."""
    size: int
    """Bytes."""
    etag: str
    changed_ms: int
    """When it got its name or its content, in milliseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Between what was seen and what is there now."""

    created: tuple[str, ...]
    """New, or written anew; the oldest first."""
    known: tuple[str, ...]
    """New to us, and there before the trigger was: no event."""
    removed: tuple[str, ...]


def compare(
    now: Mapping[str, Found], before: Mapping[str, Found] | None, seen: Mapping[str, str], *, since_ms: int
) -> Changes:
    """`before`: the last look, to which what counts must be the same; None: whatever is there is whole. `seen`:
    how each object looked when it was told of; what is older than `since_ms` is not told at all."""
    created, known = [], []
    for key, found in now.items():
        if seen.get(key) == found.look:
            continue
        if before is not None and (key not in before or before[key].look != found.look):
            continue  # it may still be being written
        if key in seen or found.changed_ms >= since_ms:
            created.append(key)
        else:
            known.append(key)
    return Changes(
        created=tuple(sorted(created, key=lambda key: (now[key].changed_ms, key))),
        known=tuple(known),
        removed=tuple(key for key in seen if key not in now),
    )
