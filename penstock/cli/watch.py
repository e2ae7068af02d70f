"""Notices that a folder has changed, by looking at the times and sizes of its files.

Looking works on every file system, mounted and shared ones too, and with every way in which editors save; a few
hundred files take a millisecond.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from penstock.code import IGNORED

_PERIOD = 0.3
Look = Mapping[str, tuple[int, int]]
"""Name → time of change (ns) and size (bytes) of each file."""


def look(folder: Path) -> Look:
    """What is in the folder now."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in IGNORED]
        for name in names:
            path = Path(place, name)
            try:
                stat = path.stat()
            except OSError:  # gone since, or a link to nowhere
                continue
            found[str(path.relative_to(folder))] = (stat.st_mtime_ns, stat.st_size)
    return found


async def until_changed(folder: Path, before: Look) -> list[str]:
    """The names of what differs from `before`, once two looks in a row agree: several files are saved one after
    the other."""
    last = before
    while True:
        await asyncio.sleep(_PERIOD)
        now = await asyncio.to_thread(look, folder)
        if now == last and now != before:
            return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        last = now
