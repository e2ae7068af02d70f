"""Bodies too large for a record: an interface, and files in a folder that gateways and workers share.

The name of a blob is given by the invocation that owns it; a record refers to a blob only after it is written.
In a folder it is written under another name, synced and renamed: whoever finds its name finds all of it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

INLINE_LIMIT = 256 * 1024
"""Bytes; larger bodies become blobs."""

_CHUNK = 256 * 1024


class Writer(Protocol):
    """A blob to be; leaving its context before `commit` abandons it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def write(self, data: bytes) -> None:
        """Adds to it."""

    async def commit(self, *, durable: bool = True) -> None:
        """Makes it visible under its name; if `durable`, it survives a power loss from then on."""


class Blobs(Protocol):
    """Where blobs are kept, in reach of every gateway and worker. A missing one raises FileNotFoundError."""

    def writer(self, name: str) -> Writer:
        """A blob to be; nothing is visible under `name` before `commit`."""

    async def read(self, name: str) -> bytes:
        """The whole blob."""

    def chunks(self, name: str) -> AsyncIterator[bytes]:
        """The blob in pieces."""

    async def copy(self, name: str, target: str) -> None:
        """Makes the same blob available under another name."""

    async def names(self, *, older_than: float) -> list[str]:
        """What has lain here unchanged for so many seconds, half-written ones included."""

    async def delete(self, name: str) -> None:
        """One that is gone already is no error."""


class DirectoryBlobs:
    """A plain directory. File work runs in threads, since a disk may be slow."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, name: str) -> BlobWriter:
        """A blob to be; nothing is visible under `name` before `commit`."""
        return BlobWriter(self._path(name))

    async def read(self, name: str) -> bytes:
        """The whole blob. Raises FileNotFoundError."""
        return await asyncio.to_thread(self._path(name).read_bytes)

    async def chunks(self, name: str) -> AsyncIterator[bytes]:
        """The blob in pieces. Raises FileNotFoundError."""
        file = await asyncio.to_thread(self._path(name).open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
        finally:
            file.close()

    async def copy(self, name: str, target: str) -> None:
        """Makes the same blob available under another name. Raises FileNotFoundError."""
        await asyncio.to_thread(os.link, self._path(name), self._path(target))

    async def names(self, *, older_than: float) -> list[str]:
        """What has lain here unchanged for so many seconds, half-written ones included."""
        return await asyncio.to_thread(self._names, time.time() - older_than)

    def _names(self, before: float) -> list[str]:
        return [
            str(path.relative_to(self._root))
            for path in self._root.rglob("*")
            if path.is_file() and path.stat().st_mtime < before
        ]

    async def delete(self, name: str) -> None:
        """Removes the blob; one that is not there is no error."""
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise ValueError(f"blob name {name!r} leaves the blob folder")
        return path


class BlobWriter:
    """`async with blobs.writer(name) as blob: await blob.write(...); await blob.commit()`; else no trace stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Two writers of one name (two runs of one invocation) must not write into each other's file.
        self._partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> BlobWriter:
        self._file = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._abandon, self._file)
            self._file = None

    def _abandon(self, file: BinaryIO) -> None:
        file.close()
        self._partial.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        assert self._file is not None
        await asyncio.to_thread(self._file.write, data)

    async def commit(self, *, durable: bool = True) -> None:
        """Visible when this returns; on disk too if `durable`."""
        await asyncio.to_thread(self._publish, durable)

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._partial.open("wb")

    def _publish(self, durable: bool) -> None:
        assert self._file is not None
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self._partial.rename(self._path)
        if not durable:
            return
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
