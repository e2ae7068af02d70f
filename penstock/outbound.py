"""The HTTP client for URLs that clients give us: it connects to no address that `egress` refuses.

The address is looked at when a socket is made for it, so that neither the spelling of a host, nor a name that
resolves to something else the second time, nor one of several addresses of a name gets around it. Proxies and
cookies are off; who sends a request says `allow_redirects=False`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from penstock.egress import Egress

_NAMES_AT_ONCE = 64


class Refused(OSError):
    """A connection that was not made. The message says where it would have led, and why not."""


class _Resolver(AbstractResolver):
    """Names, resolved in threads of its own: an event loop has a few, which names that nobody answers for would
    keep from all others."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_NAMES_AT_ONCE, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def open_session(egress: Egress, *, timeout: float) -> aiohttp.ClientSession:
    """`timeout` in seconds bounds a whole exchange. Requests raise aiohttp.ClientConnectorError from Refused."""

    def guarded(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address_info = info
        host, port = str(address_info[0]).partition("%")[0], int(address_info[1])
        if refused := egress.refused(ipaddress.ip_address(host)):
            raise Refused(errno.EACCES, f"leads to {refused}")
        if refused := egress.port_refused(port):
            raise Refused(errno.EACCES, refused)
        return socket.socket(family, kind, protocol)

    return aiohttp.ClientSession(
        # The caller bounds how many connections there are: the connector would let one host have them all.
        connector=aiohttp.TCPConnector(limit=0, socket_factory=guarded, resolver=_Resolver()),
        timeout=aiohttp.ClientTimeout(total=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
