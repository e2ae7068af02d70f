"""The HTTP client for URLs that clients give us: it connects to no address that `egress` refuses.

The address is looked at when a socket is made for it, so that neither the spelling of a host, nor a name that
resolves to something else the second time, nor one of several addresses of a name gets around it. Proxies and
cookies are off; who sends a request says `allow_redirects=False`.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

import aiohttp
from aiohttp import AddrInfoType

from penstock.egress import Egress


class Refused(OSError):
    """A connection that was not made. The message says where it would have led, and why not."""


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
        connector=aiohttp.TCPConnector(limit=0, socket_factory=guarded),
        timeout=aiohttp.ClientTimeout(total=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
