"""JSON as this gateway answers it: one line that ends, so that a shell's prompt stands below it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    text = json.dumps(body) + "\n"
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)
