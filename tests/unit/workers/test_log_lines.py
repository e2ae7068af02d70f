"""What instances write comes as lines: the latest are kept, and whoever follows gets each as it comes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from workers import logs
from workers.logs import Logs

Heard = list[tuple[str, str, float]]


@pytest.fixture
def heard() -> Heard:
    return []


@pytest.fixture
def book(heard: Heard) -> Logs:
    return Logs(lambda *line: heard.append(line))


def test_lines_come_whole_however_they_were_written(book: Logs, heard: Heard) -> None:
    for piece in (b"on", b"e\r\ntwo\nth", b"", b"ree", b"\n\n"):
        book.hear("f-1", piece, 5.0)
    assert heard == [("f-1", line, 5.0) for line in ("one", "two", "three", "")]
    assert book.latest("f-1", 100) == ["one", "two", "three", ""]
    assert book.latest("f-1", 2) == ["three", ""]
    assert book.latest("f-1", 0) == []


def test_instances_are_apart_and_one_that_only_began_is_known(book: Logs) -> None:
    book.hear("f-1", b"", 1.0)
    book.hear("f-2", b"x\n", 1.0)
    assert book.knows("f-1")
    assert not book.knows("f-3")
    assert (book.latest("f-1", 9), book.latest("f-2", 9), book.latest("f-3", 9)) == ([], ["x"], [])


@pytest.mark.parametrize("size", [logs._LONGEST_LINE, 3 * logs._LONGEST_LINE + 1])
def test_a_line_without_an_end_is_cut(book: Logs, size: int) -> None:
    book.hear("f-1", b"x" * size, 1.0)
    book.hear("f-1", b"y\n", 1.0)
    lines = book.latest("f-1", 100)
    assert "".join(lines) == "x" * size + "y"
    assert max(map(len, lines)) <= logs._LONGEST_LINE


def test_bytes_that_are_no_text_are_shown_as_such(book: Logs) -> None:
    book.hear("f-1", b"\xff\x00\n", 1.0)
    assert book.latest("f-1", 1) == ["\N{REPLACEMENT CHARACTER}\x00"]


def test_of_one_instance_the_latest_are_kept_and_of_many_the_latest_too(book: Logs) -> None:
    for number in range(10_000):
        book.hear("f-1", b"%050d\n" % number, 1.0)
    kept = book.latest("f-1", 10_000)
    assert sum(map(len, kept)) <= logs._KEPT
    assert kept[-1] == f"{9_999:050d}"
    for number in range(logs._INSTANCES):
        book.hear(f"g-{number}", b"x\n", 1.0)
    assert not book.knows("f-1")
    assert book.knows("g-0")


async def test_who_follows_gets_the_last_lines_and_then_each(book: Logs) -> None:
    book.hear("f-1", b"a\nb\nc\n", 1.0)
    async with aclosing(book.follow("f-1", 2)) as lines:
        assert [await anext(lines), await anext(lines)] == ["b", "c"]
        waiting = asyncio.create_task(anext(lines))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        book.hear("f-2", b"of another\n", 1.0)
        book.hear("f-1", b"d\ne\n", 1.0)
        assert [await waiting, await anext(lines)] == ["d", "e"]
    assert book._followers == {}


async def test_nothing_is_missed_between_the_last_lines_and_the_next(book: Logs) -> None:
    book.hear("f-1", b"a\nb\n", 1.0)
    async with aclosing(book.follow("f-1", 10)) as lines:
        assert await anext(lines) == "a"
        book.hear("f-1", b"c\n", 1.0)
        assert [await anext(lines), await anext(lines)] == ["b", "c"]


async def test_a_follower_that_does_not_read_costs_little(book: Logs) -> None:
    async with aclosing(book.follow("f-1", 0)) as lines:
        waiting = asyncio.create_task(anext(lines))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        for number in range(3 * logs._BEHIND):
            book.hear("f-1", b"%d\n" % number, 1.0)
        assert await waiting == "0"
        (queue,) = book._followers["f-1"]
        assert queue.qsize() < logs._BEHIND + 1
