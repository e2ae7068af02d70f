"""A client of Server-Sent Events that can be cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import requests


def events(response: requests.Response) -> Iterator[tuple[str | None, str, Any]]:
    """Id, kind and data of each whole event."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "text/event-stream"
    fields: dict[str, str] = {}
    for line in response.iter_lines(chunk_size=1):
        name, _, value = line.decode().partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}
        else:
            fields = {}  # a comment
