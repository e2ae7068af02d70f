"""Blobs: whoever finds a name finds all of it, and a writer that fails leaves no trace."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.blobs import DirectoryBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


async def put(blobs: DirectoryBlobs, name: str, *parts: bytes) -> None:
    async with blobs.writer(name) as blob:
        for part in parts:
            await blob.write(part)
        await blob.commit()


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_what_was_written_reads_back(blobs: DirectoryBlobs) -> None:
    await put(blobs, "in/1", b"one", b"", b"two")

    assert await blobs.read("in/1") == b"onetwo"


async def test_an_empty_blob_is_a_blob(blobs: DirectoryBlobs) -> None:
    await put(blobs, "empty")

    assert await blobs.read("empty") == b""
    assert [chunk async for chunk in blobs.chunks("empty")] == []


async def test_a_large_blob_is_read_in_pieces(blobs: DirectoryBlobs) -> None:
    body = bytes(range(256)) * 4_000
    await put(blobs, "large", body)

    chunks = [chunk async for chunk in blobs.chunks("large")]

    assert len(chunks) > 1
    assert max(map(len, chunks)) <= 256 * 1024
    assert b"".join(chunks) == body


async def test_nothing_is_visible_before_the_commit(blobs: DirectoryBlobs) -> None:
    async with blobs.writer("one") as blob:
        await blob.write(b"half of it")
        with pytest.raises(FileNotFoundError):
            await blobs.read("one")
        await blob.commit()
        assert await blobs.read("one") == b"half of it"


async def test_a_writer_that_fails_leaves_no_trace(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        async with blobs.writer("one") as blob:
            await blob.write(b"half of it")
            raise ConnectionResetError

    assert files(tmp_path) == []


async def test_a_writer_that_never_commits_leaves_no_trace(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    async with blobs.writer("one") as blob:
        await blob.write(b"half of it")

    assert files(tmp_path) == []


async def test_a_writer_that_is_cancelled_leaves_no_trace(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    written = asyncio.Event()

    async def write() -> None:
        async with blobs.writer("one") as blob:
            await blob.write(b"half of it")
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()
    await asyncio.wait([task])

    assert files(tmp_path) == []


async def test_only_the_blob_itself_stays_after_a_commit(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    await put(blobs, "in/1", b"one")

    assert files(tmp_path) == ["blobs/in/1"]


async def test_a_failed_overwrite_leaves_the_blob_as_it_was(blobs: DirectoryBlobs) -> None:
    await put(blobs, "one", b"first")
    with pytest.raises(ConnectionResetError):
        async with blobs.writer("one") as blob:
            await blob.write(b"second")
            raise ConnectionResetError

    assert await blobs.read("one") == b"first"


async def test_two_writers_of_one_name_do_not_mix(blobs: DirectoryBlobs) -> None:
    # A worker that was taken for dead may still write while the next run of the same call does.
    async with blobs.writer("one") as late, blobs.writer("one") as current:
        await late.write(b"late" * 1_000)
        await current.write(b"current")
        await late.commit()
        assert await blobs.read("one") == b"late" * 1_000
        await current.commit()

    assert await blobs.read("one") == b"current"


async def test_a_reader_keeps_what_it_reads_when_the_blob_is_deleted(blobs: DirectoryBlobs) -> None:
    body = b"x" * 1_000_000
    await put(blobs, "one", body)
    chunks = blobs.chunks("one")
    first = await anext(chunks)

    await blobs.delete("one")

    assert first + b"".join([chunk async for chunk in chunks]) == body


async def test_a_deleted_blob_is_gone(blobs: DirectoryBlobs) -> None:
    await put(blobs, "one", b"first")

    await blobs.delete("one")

    with pytest.raises(FileNotFoundError):
        await blobs.read("one")


async def test_a_blob_that_is_not_there_can_be_deleted_and_not_read(blobs: DirectoryBlobs) -> None:
    await blobs.delete("nothing")

    with pytest.raises(FileNotFoundError):
        await blobs.read("nothing")
    with pytest.raises(FileNotFoundError):
        await anext(blobs.chunks("nothing"))


@pytest.mark.parametrize("name", ["../one", "in/../../one", "/etc/hostname", "link/one"])
async def test_a_name_cannot_leave_the_folder(blobs: DirectoryBlobs, tmp_path: Path, name: str) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "link").symlink_to(tmp_path)

    with pytest.raises(ValueError, match="leaves the blob folder"):
        blobs.writer(name)
    with pytest.raises(ValueError, match="leaves the blob folder"):
        await blobs.read(name)
    with pytest.raises(ValueError, match="leaves the blob folder"):
        await blobs.delete(name)
