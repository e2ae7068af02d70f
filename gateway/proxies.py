"""What a function learns of the client behind this gateway, and of the proxies before it.

X-Forwarded-For, -Proto and -Host are believed only from addresses in gateway.trusted_proxies: anybody can send
them. What a function gets is true as far as those proxies are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

_FORWARDED = frozenset({"forwarded", "x-real-ip"})


def forwarded(
    headers: Iterable[tuple[str, str]],
    *,
    peer: str,
    scheme: str,
    host: str,
    trusted: Sequence[IPv4Network | IPv6Network],
) -> tuple[tuple[str, str], ...]:
    """The headers with what this hop adds. `peer`: the address at the other end of the connection."""
    given = tuple(headers)
    kept = tuple((name, value) for name, value in given if not _tells(name))
    before: dict[str, list[str]] = {}
    if _is_in(peer, trusted):
        for name, value in given:
            before.setdefault(name.lower(), []).append(value)
        kept = tuple((name, value) for name, value in given if name.lower() not in _OURS)
    chain = ", ".join([*before.get("x-forwarded-for", ()), peer])
    return (
        *kept,
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Proto", before.get("x-forwarded-proto", [scheme])[0]),
        ("X-Forwarded-Host", before.get("x-forwarded-host", [host])[0]),
    )


_OURS = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})


def _tells(name: str) -> bool:
    lower = name.lower()
    return lower in _FORWARDED or lower.startswith("x-forwarded-")


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if not networks:
        return False
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    return any(ip in network for network in networks)
