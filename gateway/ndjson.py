"""The body of a batch: one job's JSON in each line, told apart as it arrives, and passed on byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from penstock.batch import MOST_JOBS
from penstock.errors import InvalidRequest, PayloadTooLarge, TooManyJobs

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_CHUNK = 64 * 1024


@dataclass(kw_only=True)
class Lines:
    """Lines that are not empty, the first is 0."""

    bodies: list[bytes] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    """What is wrong with a line that is no JSON."""
    digest: Hash = field(default_factory=hashlib.sha256)
    """SHA-256 of the whole body."""
    read: int = 0
    """Lines so far, empty ones included, as an editor numbers them."""

    def add(self, line: bytes) -> None:
        """Raises TooManyJobs."""
        self.read += 1
        line = line.removesuffix(b"\r")
        if not line.strip():
            return
        if len(self.bodies) == MOST_JOBS:
            raise TooManyJobs(MOST_JOBS)
        if (problem := _problem(line)) is not None:
            self.problems[len(self.bodies)] = f"line {self.read} is not JSON: {problem}"
            line = b""
        self.bodies.append(line)


async def receive(request: web.Request, *, limit: int) -> Lines:
    """Reads the body to its end. Raises PayloadTooLarge, TooManyJobs, and InvalidRequest if it holds no job."""
    if request.content_length is not None and request.content_length > limit:
        raise PayloadTooLarge(limit)
    lines, size, begun = Lines(), 0, bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(limit)
        lines.digest.update(chunk)
        first, *rest = chunk.split(b"\n")
        begun += first
        for part in rest:
            lines.add(bytes(begun))
            begun = bytearray(part)
        await asyncio.sleep(0)  # what has arrived already is read without a pause, and others wait for this loop
    if begun:
        lines.add(bytes(begun))
    if not lines.bodies:
        raise InvalidRequest("the body holds no job: send one JSON value in each line (NDJSON)")
    return lines


def _problem(line: bytes) -> str | None:
    """Why it is no JSON; None if it is."""
    try:
        # Numbers are not for us to read: the longest ones would be refused.
        json.loads(line.decode(), parse_int=str, parse_float=str, parse_constant=_no_json)
    except RecursionError:
        return "it is nested too deeply"
    except json.JSONDecodeError as error:
        return f"{error.msg} at column {error.colno}"
    except ValueError as error:
        return str(error)
    return None


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
