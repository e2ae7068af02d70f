"""The code of published versions of functions that bring a folder: a copy, under the digest of what is in it.

A version is what was in the folder when it was deployed. It is copied as soon as the version is seen, and refused
if the folder has changed by then. A copy is made once, and every start of every version with the same content is
from it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from penstock.code import IGNORED, folder_digest
from penstock.function import Function
from workers.engines import EngineError


class Frozen:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._copying = asyncio.Lock()

    async def of(self, function: Function) -> Function:
        """The same function, on the copy of its folder if it is a version. Raises EngineError."""
        if function.version is None or function.spec.path is None:
            return function
        copy = self._root / function.code
        async with self._copying:
            await asyncio.to_thread(self._copy, Path(function.spec.path), copy, function)
        return function.model_copy(update={"spec": function.spec.model_copy(update={"path": str(copy)})})

    async def sweep(self, used: Collection[str], *, older_than: float) -> int:
        """Removes the copies of none of these digests that were made so many seconds ago: a younger one may be
        that of a version which was not published yet when somebody asked which are used. Returns how many."""
        async with self._copying:
            return await asyncio.to_thread(self._sweep, frozenset(used), time.time() - older_than)

    def _copy(self, folder: Path, copy: Path, function: Function) -> None:
        if copy.is_dir():
            return
        partial = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}.partial")
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            ignored = shutil.ignore_patterns(*IGNORED)
            shutil.copytree(folder, partial, ignore=ignored, ignore_dangling_symlinks=True)
            # After the copy, so that what was changed meanwhile is noticed, too.
            if folder_digest(folder) != function.code:
                raise EngineError(
                    f"{folder} is not what was published as {function.name} any more: "
                    f"deploy {function.base} again, and publish that"
                )
            os.utime(partial)  # when it was made, not when its folder was changed
            partial.rename(copy)
        except (OSError, shutil.Error) as error:
            raise EngineError(f"{folder} cannot be copied for {function.name}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _sweep(self, used: frozenset[str], before: float) -> int:
        found = [one for one in self._root.glob("*") if one.name not in used and one.stat().st_mtime < before]
        for one in found:
            shutil.rmtree(one, ignore_errors=True)
        return len(found)
