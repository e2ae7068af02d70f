"""The description of the interface: for programs (/openapi.json) and for people (/docs).

The page is Swagger UI out of the installed package fastapi-swagger; nothing of it comes from another host, and its
policy lets the browser load nothing from one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from functools import cache
from pathlib import Path

from aiohttp import web

from gateway import problems

_PACKAGE = "fastapi_swagger"
_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_START = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock: HTTP interface</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page">The description is being loaded; as JSON it is at <a href="/openapi.json">/openapi.json</a>.</div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Styles may stand in elements, where Swagger UI puts some; scripts may not."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json: OpenAPI 3.1."""
    return web.Response(text=await asyncio.to_thread(_text), content_type="application/json")


async def docs(request: web.Request) -> web.Response:
    """GET /docs: the same for people."""
    return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)


async def asset(request: web.Request) -> web.StreamResponse:
    """GET /docs/{asset}: what that page is made of."""
    name = request.match_info["asset"]
    headers = _HEADERS | {"Cache-Control": "max-age=3600"}
    if name == "start.js":
        return web.Response(text=_START, content_type="text/javascript", headers=headers)
    if name not in _ASSETS:
        return problems.problem(404, "not_found", f"the page has no part {name!r}")
    return web.FileResponse(_folder() / name, headers=headers | {"Content-Type": _ASSETS[name]})


@cache
def _text() -> str:
    from gateway.openapi.document import document  # a quarter of a second, for whoever asks

    return json.dumps(document()) + "\n"


@cache
def _folder() -> Path:
    """Where the package keeps its files; it is not imported, since it would import a web framework."""
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None and found.origin is not None, "it is one of our requirements"
    return Path(found.origin).parent / "resources"
