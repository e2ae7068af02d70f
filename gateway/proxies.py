"""What a function learns of the client behind this gateway, and of the proxies before it.

X-Forwarded-For, -Proto and -Host are believed only from addresses in gateway.trusted_proxies: anybody can send
them. What a function gets is true as far as those proxies are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

from gateway.context import GATEWAY, host

_FOR, _PROTO, _HOST = "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"

Headers = tuple[tuple[str, str], ...]


def told(request: web.Request, headers: Iterable[tuple[str, str]]) -> Headers:
    """The headers of this request, or some of them, with what this hop adds."""
    return forwarded(
        headers,
        peer=request.remote or "",
        scheme=request.scheme,
        host=host(request) or "",
        trusted=request.app[GATEWAY].settings.trusted_proxies,
    )


def base_url(request: web.Request) -> str:
    """Where its client found us: https://HOST[:PORT]."""
    believed = {name.lower(): value for name, value in told(request, request.headers.items())}
    return f"{believed[_PROTO]}://{believed[_HOST] or 'localhost'}"


def forwarded(
    headers: Iterable[tuple[str, str]],
    *,
    peer: str,
    scheme: str,
    host: str,
    trusted: Sequence[IPv4Network | IPv6Network],
) -> Headers:
    """The headers with what this hop adds. `peer`: the address at the other end of the connection."""
    given = tuple(headers)
    before = given if _is_in(peer, trusted) else ()
    passed = [value for name, value in before if name.lower() == _FOR]
    first = {name.lower(): value for name, value in reversed(before)}
    kept = tuple(
        (name, value)
        for name, value in given
        if not (_tells(name) if not before else name.lower() in (_FOR, _PROTO, _HOST))
    )
    return (
        *kept,
        ("X-Forwarded-For", ", ".join([*passed, peer])),
        ("X-Forwarded-Proto", first.get(_PROTO, scheme)),
        ("X-Forwarded-Host", first.get(_HOST, host)),
    )


def _tells(name: str) -> bool:
    """Also with underscores: to many a server (CGI, WSGI) they are the same."""
    plain = name.lower().replace("_", "-")
    return plain in ("forwarded", "x-real-ip") or plain.startswith("x-forwarded-")


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not (networks and address):
        return False
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    return any(ip in network for network in networks)
