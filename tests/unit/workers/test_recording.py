"""An answer while it comes: whole for who keeps it, at once for who reads along, and never more of it in memory
than its slowest reader may be behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from penstock.blobs import DirectoryBlobs
from tests.unit.workers.waiting import until
from workers import recording
from workers.recording import INLINE, BrokenOff, Recording

WINDOW = recording._WINDOW
PIECE = b"x" * 65_536


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def left(tmp_path: Path) -> Any:
    """Names of all files in the blob folder."""
    return lambda: sorted(path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file())


def make(blobs: DirectoryBlobs, *, awaited: bool = False) -> Recording:
    return Recording(blobs, "f/answer", awaited=awaited, durable=True)


async def whole(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def fill(one: Recording, pieces: int) -> None:
    for _ in range(pieces):
        await one.write(PIECE)


async def stuck(writing: asyncio.Task[None]) -> int:
    """How far it came when it goes no further."""
    seen = -1

    async def still() -> bool:
        nonlocal seen
        before, seen = seen, sum(map(len, one_of[writing]._window))
        await asyncio.sleep(0.05)
        return before == seen

    await until(still, "the writer stands still")
    assert not writing.done()
    return seen


one_of: dict[asyncio.Task[None], Recording] = {}


def begin(one: Recording, pieces: int) -> asyncio.Task[None]:
    task = asyncio.create_task(fill(one, pieces))
    one_of[task] = one
    return task


@pytest.mark.parametrize("size", [0, 1, INLINE])
async def test_a_short_one_is_its_body_and_no_blob(blobs: DirectoryBlobs, left: Any, size: int) -> None:
    one = make(blobs)
    await one.write(b"x" * size)
    assert await one.finish() == (b"x" * size, None)
    assert left() == []


async def test_a_longer_one_is_a_blob_and_nothing_is_seen_of_it_before(blobs: DirectoryBlobs, left: Any) -> None:
    one = make(blobs)
    await one.write(b"a" * INLINE)
    assert left() == []
    await one.write(b"b")
    await one.write(b"c" * 10)
    assert [name.endswith(".partial") for name in left()] == [True]
    assert await one.finish() == (b"", "f/answer")
    assert await blobs.read("f/answer") == b"a" * INLINE + b"b" + b"c" * 10
    assert left() == ["answer"]
    assert one.size == INLINE + 11


async def test_one_that_is_given_up_leaves_nothing(blobs: DirectoryBlobs, left: Any) -> None:
    one = make(blobs)
    await fill(one, 3)
    await one.abandon()
    assert left() == []
    assert not one.readable


async def test_a_reader_gets_each_piece_at_once_and_the_end_when_it_counts(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        await one.write(b"a")
        assert await anext(pieces) == b"a"
        waiting = asyncio.create_task(anext(pieces, None))
        await one.write(b"b")
        assert await waiting == b"b"
        end = asyncio.create_task(anext(pieces, None))
        await one.finish()
        await asyncio.sleep(0)
        assert not end.done(), "its outcome is not written yet"
        one.end()
        assert await end is None


async def test_one_who_comes_late_gets_all_that_is_still_there(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    await one.write(b"a")
    await one.write(b"b")
    await one.finish()
    one.end()
    assert one.readable
    with one.reader() as first, one.reader() as second:
        assert (await whole(first), await whole(second)) == (b"ab", b"ab")


async def test_one_that_breaks_off_breaks_off_for_its_readers(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        await one.write(b"a")
        assert await anext(pieces) == b"a"
        await one.abandon()
        with pytest.raises(BrokenOff):
            await anext(pieces)


async def test_a_run_that_ends_without_a_whole_answer_broke_it_off(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        await one.write(b"a")
        one.end()  # its task was cancelled, and nobody has given it up yet
        assert await anext(pieces) == b"a"
        with pytest.raises(BrokenOff):
            await anext(pieces)
    assert not one.readable


async def test_without_a_reader_nothing_waits_and_little_is_kept(blobs: DirectoryBlobs) -> None:
    one = make(blobs)
    await asyncio.wait_for(fill(one, 100), 20)
    assert not one._window
    assert sum(map(len, one._unsaved)) <= WINDOW
    assert not one.readable
    await one.finish()
    assert len(await blobs.read("f/answer")) == 100 * len(PIECE)


async def test_pieces_of_a_byte_or_two_do_not_fill_the_memory(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        for _ in range(100_000):
            await one.write(b"ab")
            await anext(pieces)
    assert len(one._window) <= WINDOW // 64
    assert len(one._unsaved) <= WINDOW // 64
    await one.finish()
    assert len(await blobs.read("f/answer")) == 200_000


async def test_a_reader_that_is_behind_holds_the_writer_up_and_nothing_is_lost(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        writing = begin(one, 64)
        held = await stuck(writing)
        assert held <= WINDOW + len(PIECE)
        got = 0
        async for piece in pieces:
            got += len(piece)
            assert sum(map(len, one._window)) <= WINDOW + len(PIECE)
            if got == 64 * len(PIECE):
                break
        await writing
    await one.finish()
    assert got == one.size


async def test_the_slowest_of_several_counts(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as quick, one.reader() as slow:
        writing = begin(one, 40)
        reading = asyncio.create_task(whole(quick))
        await stuck(writing)
        got = [await anext(slow) for _ in range(40)]
        await writing
        await one.finish()
        one.end()
        assert (await reading) == b"".join(got) == PIECE * 40


async def test_a_reader_that_leaves_frees_the_writer(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    with one.reader() as pieces:
        assert await asyncio.gather(anext(pieces), one.write(PIECE)) == [PIECE, None]
        writing = begin(one, 64)
        await stuck(writing)
    await asyncio.wait_for(writing, 4)  # before its time to come would be over
    assert (await one.finish())[1] == "f/answer"


async def test_who_is_awaited_is_waited_for(blobs: DirectoryBlobs) -> None:
    one = make(blobs, awaited=True)
    writing = begin(one, 40)
    await stuck(writing)
    assert one.awaited
    assert one.readable
    with one.reader() as pieces:
        assert not one.awaited
        got = [await anext(pieces) for _ in range(40)]
        await writing
    assert b"".join(got) == PIECE * 40


async def test_who_does_not_come_is_not_waited_for_long(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_READER_COMES", 0.2)
    one = make(blobs, awaited=True)
    await asyncio.wait_for(fill(one, 40), 20)
    assert not one.readable
    with pytest.raises(AssertionError, match="left the window"), one.reader():
        pass


async def test_a_reader_counts_from_the_moment_that_it_comes(blobs: DirectoryBlobs) -> None:
    """Not from its first piece: its beginning could have left the window until then."""
    one = make(blobs)
    with one.reader() as pieces:
        writing = begin(one, 40)
        await stuck(writing)
        got = [await anext(pieces) for _ in range(40)]
        await writing
    assert b"".join(got) == PIECE * 40
