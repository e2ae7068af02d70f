"""A client of the gateway's HTTP interface, for the command line."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import aiohttp

from penstock.errors import PenstockError


class ApiError(PenstockError):
    """The gateway refused. The message is its own `detail`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", f"the gateway answered {status}"))
        self.status = status
        self.code = problem.get("code", "unknown")
        self.retryable = problem.get("retryable", False)
        self.problem = problem


class Unreachable(PenstockError):
    """No gateway answers there."""

    code = "unreachable"


class AsyncClient:
    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncClient:
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """JSON of a GET. Raises ApiError and Unreachable."""
        status, _, body = await self.send("GET", path, query=query)
        return _json(status, body)

    async def change(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """JSON of what a PUT, POST or DELETE answers; `body` is sent as JSON. Raises ApiError and Unreachable."""
        sent = None if body is None else json.dumps(body).encode()
        status, _, reply = await self.send(method, path, body=sent)
        return _json(status, reply)

    async def submit(self, function: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Submits an async job; its record. Raises ApiError and Unreachable."""
        status, _, reply = await self.send(
            "POST",
            f"/v1/functions/{function}/invocations",
            body=body,
            headers={"Prefer": "respond-async", **headers},
        )
        return _json(status, reply)

    async def submit_batch(self, function: str, lines: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Submits each line, one job's JSON, as an async job; the batch's id and what became of each. Raises
        ApiError and Unreachable."""
        status, _, reply = await self.send(
            "POST",
            f"/v1/functions/{function}/invocations:batch",
            body=lines,
            headers={"Content-Type": "application/x-ndjson", **headers},
        )
        return _json(status, reply)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str | int] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, whatever they are. Raises Unreachable."""
        assert self._http is not None, "use it as a context manager"
        try:
            async with self._http.request(
                method, self._url + path, params=query, data=body, headers=headers, allow_redirects=False
            ) as reply:
                return reply.status, dict(reply.headers), await reply.read()
        except (aiohttp.ClientError, OSError) as error:
            message = f"no gateway answers at {self._url} ({error}); start one with `penstock up`, or give --url"
            raise Unreachable(message) from error


def _json(status: int, body: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(body)
    except ValueError:
        loaded = None
    value: dict[str, Any] = loaded if isinstance(loaded, dict) else {}
    if status >= 400:
        raise ApiError(status, value)
    return value
