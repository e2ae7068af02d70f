"""GET /v1/functions/{function}/metrics: what a function did over time, under Function Compute's names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gateway import names
from gateway.context import GATEWAY
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import InvalidRequest
from penstock.series import FIGURES, HELD_MS, MINUTE_KEPT_MS, SECOND_KEPT_MS, SHORT, Figure, Point, steps

_MOST_POINTS = 3_600
"""Of one answer, for each name."""
_SHOWN = 600
"""Points that an answer has by itself."""
_SLACK_MS = 5_000
"""An hour ago, for a client whose clock is not ours."""
_DEFAULT_MS = 10 * 60_000


async def series(request: web.Request) -> web.Response:
    """…/metrics?name=&from=&to=&step=: several names by `name` again, or commas."""
    gateway = request.app[GATEWAY]
    function = (await names.asked(request)).name
    now = clock.now_ms()
    wanted = _names(request.query.getall("name", []))
    end = _time(request, "to", now)
    start = _time(request, "from", end - _DEFAULT_MS)
    if start >= end:
        raise InvalidRequest("from is not before to")
    step = _step(request, start, end)
    by_second = start >= now - SECOND_KEPT_MS - _SLACK_MS
    if not by_second:
        step, start = -(-step // 60) * 60, max(start, now - MINUTE_KEPT_MS)
    start -= start % (1_000 if by_second else 60_000)
    held = HELD_MS if by_second else 0
    read = gateway.store.series.seconds if by_second else gateway.store.series.minutes
    points = steps(await read(function, start - held, end), start, end, step, held_ms=held)
    found = {name: _figure(FIGURES[full], points) for name, full in wanted.items()}
    times = {"from": clock.rfc3339(start), "to": clock.rfc3339(end)}
    return json_response({"function": function, **times, "step": step, "metrics": found})


def _figure(figure: Figure, points: list[tuple[int, Point]]) -> dict[str, Any]:
    told = [{"time": clock.rfc3339(at), "value": figure.of(point)} for at, point in points]
    return {"unit": figure.unit, "means": figure.means, "points": told}


def _names(given: list[str]) -> dict[str, str]:
    """As they were asked for -> as they are called. Raises InvalidRequest."""
    names = [name for text in given for name in text.split(",") if name]
    if unknown := [name for name in names if SHORT.get(name, name) not in FIGURES]:
        raise InvalidRequest(f"no metric is named {unknown[0]!r}; there are {', '.join(FIGURES)}")
    return {name: SHORT.get(name, name) for name in names or FIGURES}


def _time(request: web.Request, name: str, default: int) -> int:
    """Milliseconds since 1970 of a parameter that is RFC 3339, or seconds or milliseconds since 1970."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        if text.replace(".", "", 1).isdigit() and text.isascii():
            number = float(text)
            moment: datetime | None = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            moment = datetime.fromisoformat(text.replace(" ", "+"))  # a + that was not escaped
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest(f"{name}={text!r} is no time: write 2026-01-31T12:00:00Z, or seconds since 1970")
    return max(int(moment.timestamp() * 1000), 0)


def _step(request: web.Request, start: int, end: int) -> int:
    """Whole seconds; by itself as many as make a chart."""
    text = request.query.get("step")
    seconds = -(-(end - start) // 1000)
    if text is None:
        return max(-(-seconds // _SHOWN), 1)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= 7 * 86_400:
        raise InvalidRequest(f"step={text!r} is not a number of seconds from 1 to {7 * 86_400}")
    if seconds / int(text) > _MOST_POINTS:
        raise InvalidRequest(f"these are more than {_MOST_POINTS} points: ask for a larger step or a shorter time")
    return int(text)
