"""Lambda's answers `{statusCode, headers, multiValueHeaders, cookies, body, isBase64Encoded}` as HTTP ones. Pure.

As AWS documents it for function URLs and API Gateway proxies: without a content type it is JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import replace
from typing import Any

from penstock.headers import crossing
from penstock.invocation import Response

_MOST = 80
"""Headers; Python's own HTTP client takes 100 of an answer, ours among them."""


def unwrap(response: Response, body: bytes) -> tuple[Response, bytes]:
    """What an HTTP client gets of it. One that is none after all passes through as it is."""
    try:
        said: dict[str, Any] = json.loads(body)
        status = int(said["statusCode"])
        given = said.get("body")
        content = base64.b64decode(str(given), validate=True) if said.get("isBase64Encoded") else _content(given)
    except (ValueError, TypeError, KeyError, binascii.Error):
        return response, body
    if not 200 <= status <= 599:
        return response, body
    headers = _headers(said)
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers = (("Content-Type", "application/json"), *headers)
    return replace(response, status=status, headers=headers, size=len(content), blob=None), content


def _content(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _headers(said: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    many = said.get("multiValueHeaders") or {}
    for name, values in many.items():
        pairs += [(str(name), str(value)) for value in values]
    taken = {name.lower() for name, _ in pairs}
    pairs += [
        (str(name), str(value))
        for name, value in (said.get("headers") or {}).items()
        if str(name).lower() not in taken
    ]
    pairs += [("Set-Cookie", str(cookie)) for cookie in said.get("cookies") or ()]
    return crossing(pairs)[:_MOST]
