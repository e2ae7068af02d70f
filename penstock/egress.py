"""Where a URL that a client gives us may lead: the guard against server-side request forgery. Pure.

A URL says little of where it leads: a name resolves to anything, twice to two things, and an address has many
spellings. So a URL is only checked here for what is plain from its text, early, for a clear answer; what decides
is the address that a connection is about to be made to (penstock/outbound.py).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from penstock.errors import InvalidRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
SETTING = "PENSTOCK_CALLBACKS__ALLOW"

_DEFAULT_PORTS = {"http": 80, "https": 443}

# IANA's special-purpose registries (RFC 6890) and what clouds serve their secrets on. `is_global` of the standard
# library is true for multicast, NAT64 and 6to4, among others.
_REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an address of this machine"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "an address behind a carrier's NAT"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a metadata address"),
        ("169.254.0.0/16", "a link-local address, where clouds keep metadata"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "an address of this machine"),
        ("::1/128", "a loopback address"),
        ("64:ff9b:1::/48", "a local NAT64 address"),
        ("100::/64", "a discard-only address"),
        ("2001::/23", "a reserved address (Teredo, ORCHID, benchmarking)"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "a documentation address"),
        ("5f00::/16", "a segment-routing address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""All that IANA has ever given out for the internet; the rest of IPv6 leads nowhere public."""
_WITH_IPV4_INSIDE = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-compatible, IPv4-mapped, NAT64: what counts is the IPv4 address in their last 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Egress:
    """What may be reached."""

    allow: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public."""
    ports: tuple[tuple[int, int], ...] = ((80, 80), (443, 443), (1024, 65535))
    """Ranges, both ends included."""
    schemes: tuple[str, ...] = ("http", "https")

    def check(self, url: str, what: str) -> None:
        """Raises InvalidRequest for a URL that plainly leads where nothing may be sent; `what` names it."""
        parts = split(url)
        if parts is None:
            raise InvalidRequest(f"{what} {url!r} is not an http:// or https:// URL with a host")
        if parts.scheme not in self.schemes:
            allowed = " or ".join(f"{scheme}://" for scheme in self.schemes)
            raise InvalidRequest(f"{what} {url!r} must begin with {allowed}")
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        if refused := self.port_refused(port):
            raise InvalidRequest(f"{what} {url!r}: {refused}")
        address = _literal(parts.hostname or "")
        if address is not None and (refused := self.refused(address)):
            raise InvalidRequest(f"{what} {url!r} leads to {refused}")

    def refused(self, address: Address) -> str | None:
        """Why nothing is sent to this address, in words, and what to do; None: it may be."""
        inside = _inside(address)
        if any(one in network for one in {address, inside} for network in self.allow):
            return None
        what = next((what for network, what in _REFUSED if inside in network), None)
        if what is None and isinstance(inside, IPv6Address) and inside not in _GLOBAL_IPV6:
            what = "no public address"
        if what is None:
            return None
        return f"{address}, {what}: not allowed unless {SETTING} names it"

    def port_refused(self, port: int) -> str | None:
        """Why nothing is sent to this port; None: it may be."""
        if any(low <= port <= high for low, high in self.ports):
            return None
        spelled = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ports)
        return f"port {port} is not allowed; those of PENSTOCK_CALLBACKS__PORTS are: {spelled}"


def split(url: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL; None if it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    plain = url.isascii() and url.isprintable() and not any(character in " \\" for character in url)
    return parts if usable and plain else None


def origin(url: str) -> str:
    """Scheme, host and port, written in one way for all URLs of a host. The URL must be one for `split`."""
    parts = split(url)
    assert parts is not None, url
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def parse_ports(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of `80 443 1024-65535`. Raises ValueError."""
    ranges = []
    for word in text.replace(",", " ").split():
        low, dash, high = word.partition("-")
        high = high if dash else low
        if not (low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high) <= 65535):
            raise ValueError(f"{word!r} is neither a port nor a range of ports; write 443 or 1024-65535")
        ranges.append((int(low), int(high)))
    return tuple(ranges)


def _literal(host: str) -> Address | None:
    """The address that a host spells, in any way that a resolver understands (`2130706433`, `0x7f.1`); None: it is
    a name. `localhost` is one that everybody knows."""
    name = host.rstrip(".").partition("%")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if not isinstance(address, IPv6Address) or address in (IPv6Address("::"), IPv6Address("::1")):
        return address
    plain = IPv6Address(int(address))  # without a zone, which no network contains
    if any(plain in network for network in _WITH_IPV4_INSIDE):
        return IPv4Address(int(plain) & 0xFFFFFFFF)
    return plain
