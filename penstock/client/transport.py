"""One gateway over HTTP: requests that are sent again when that may help, refusals as errors, streams.

It knows what an answer of a function is, and nothing of invocations otherwise.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from penstock import clock
from penstock.client.errors import ApiError, Unreachable, refusal
from penstock.client.retries import retrying
from penstock.errors import ConfigurationError
from penstock.headers import retry_after

_CONNECT = 10.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def answered(self) -> bool:
        """It is how an invocation ended, not what the gateway itself says."""
        return answered(self.headers)

    def json(self) -> dict[str, Any]:
        """What the gateway itself says. Raises ApiError if it is none of its words."""
        found = _object(self.content)
        if found is None:
            problem = {"code": "not_penstock", "detail": "what answers there is no Penstock gateway"}
            raise ApiError(self.status, problem)
        return found


class Stream:
    """A reply as it comes."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers

    @property
    def answered(self) -> bool:
        """It is how an invocation ended, not what the gateway itself says."""
        return answered(self.headers)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Each as it comes. Raises Unreachable if it breaks off."""
        try:
            async for piece in self._reply.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the reply broke off before its end ({_said(error)})") from error

    async def whole(self) -> Reply:
        content = b"".join([piece async for piece in self.pieces()])
        return Reply(status=self.status, headers=self.headers, content=content)


def answered(headers: Mapping[str, str]) -> bool:
    """The gateway adds this to what became of an invocation and to nothing else."""
    return "Penstock-Cold-Start" in headers


def path(*parts: str) -> str:
    """Below /v1/functions."""
    return "/v1/functions/" + "/".join(quote(part, safe="") for part in parts)


class Transport:
    def __init__(
        self, url: str, api_key: str | None, *, timeout: float, retries: int, ca: str | None, cert: str | None
    ) -> None:
        """`timeout`: seconds without a byte after which a connection counts as lost, beside what the gateway was
        asked to wait. `ca`: file of the authorities that its certificate may come from; None: those of the system.
        `cert`: file of a certificate and its key to show. Raises ConfigurationError for an address or a file that
        is none."""
        _check(url)
        self._ssl = _context(ca, cert) if url.startswith("https:") and (ca or cert) else True
        self.url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout = timeout
        self._retries = retries
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """The session's; it serves no other."""

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
    ) -> Reply:
        """A whole reply. `wait`: seconds that the gateway may take for it. Raises Unreachable, and ApiError for
        what the gateway refuses, not for what a function answers."""
        async for attempt in retrying(self._retries):
            with attempt:
                async with self._open(
                    method, path, query=query, body=body, headers=headers, silence=self._timeout + wait
                ) as reply:
                    content = await reply.read()
                    return Reply(status=reply.status, headers=reply.headers, content=content)
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> AsyncGenerator[Stream, None]:
        """A reply as it comes; what breaks off after its beginning is not sent again. `silence`: seconds without
        a byte after which it counts as lost. Raises as `fetch` does."""
        async with AsyncExitStack() as opened:
            async for attempt in retrying(self._retries):
                with attempt:
                    reply = await opened.enter_async_context(
                        self._open(method, path, query=query, body=body, headers=headers, silence=silence)
                    )
            yield Stream(reply)

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        silence: float | None,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        try:
            async with self._http().request(
                method,
                self.url + path,
                params=query,
                data=body,
                headers={**self._headers, **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=silence),
            ) as reply:
                if reply.status >= 300 and not answered(reply.headers):
                    after = retry_after(reply.headers.items(), clock.now_ms())
                    raise refusal(reply.status, _object(await reply.read()) or {}, retry_after=after)
                yield reply
        except aiohttp.ClientConnectorCertificateError as error:
            message = (
                f"the certificate of {self.url} is not trusted ({error.certificate_error}); name the file of its "
                f"authority in PENSTOCK_CA"
            )
            raise Unreachable(message) from error
        except aiohttp.ClientConnectorError as error:
            message = (
                f"no gateway answers at {self.url} ({error}); start one with `penstock up`, or give another url"
            )
            raise Unreachable(message) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"the connection to the gateway at {self.url} was lost ({_said(error)})"
            raise Unreachable(message) from error

    def _http(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def _context(ca: str | None, cert: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert)
    except (OSError, ValueError) as error:  # an SSLError is the first
        wrong = f"PENSTOCK_CA={ca}" if cert is None else f"PENSTOCK_CA={ca or ''} or PENSTOCK_CERT={cert}"
        raise ConfigurationError(f"{wrong} is no readable file of certificates in PEM ({_said(error)})") from None
    return context


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{url!r} is no address of a gateway: write http://HOST:PORT")


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
