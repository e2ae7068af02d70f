"""Lines of JSON: whole, on one line, and about what they say they are."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from penstock.telemetry import logs


def line(record: logging.LogRecord) -> dict[str, Any]:
    text = logs.Json().format(record)
    assert "\n" not in text
    assert text.isascii()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def record(message: str = "said %s", *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("workers.pool", logging.WARNING, "pool.py", 1, message, arguments or ("a",), None)
    made.created = 1_700_000_000.0625
    made.__dict__.update(more)
    return made


def test_a_line_says_when_how_bad_where_and_what() -> None:
    assert line(record()) == {
        "time": "2023-11-14T22:13:20.062Z",
        "level": "warning",
        "logger": "workers.pool",
        "message": "said a",
    }


def test_any_text_is_one_line() -> None:
    assert line(record("%s", 'a\n"b"\u2028\ud800 €'))["message"] == 'a\n"b"\u2028\ud800 €'


def test_an_error_is_told_with_its_stack_as_one_string() -> None:
    try:
        int("x")
    except ValueError as error:
        told = line(record(exc_info=(ValueError, error, error.__traceback__)))["error"]
    assert (told["type"], told["message"]) == ("ValueError", "invalid literal for int() with base 10: 'x'")
    assert told["stack"].startswith("Traceback (most recent call last)")
    assert 'int("x")' in told["stack"]


async def test_what_a_task_is_about_is_known_to_those_that_it_starts_and_to_no_other() -> None:
    seen: list[dict[str, Any]] = []

    async def child() -> None:
        seen.append(line(record()))

    async def task(name: str) -> None:
        logs.about(lambda: {"function": name, "instance": None})
        await asyncio.sleep(0)
        await asyncio.create_task(child())

    await asyncio.gather(asyncio.create_task(task("a")), asyncio.create_task(task("b")))
    assert sorted(one["function"] for one in seen) == ["a", "b"]
    assert not any("instance" in one for one in seen), "what is not known is not said"
    assert "function" not in line(record())


def test_a_line_may_say_itself_what_it_is_about() -> None:
    assert line(record(facts={"function": "f", "invocation": None}))["function"] == "f"
