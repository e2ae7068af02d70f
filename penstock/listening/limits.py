"""What a listener grants its clients. Pure: time and figures come in as arguments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

_MOST = 20_000
"""Connections at a time, where file descriptors allow them: some 20 KiB of memory each."""
_RESERVED = 256
"""File descriptors for everything but clients."""
_PREFIX = 64
"""Bits of an IPv6 address that stand for one client: it has all addresses below them."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    header_timeout: float = 10.0
    """Seconds from a connection, or from the first byte of a further request, to the end of the headers."""
    body_timeout: float = 30.0
    """Seconds in which a body must come on by `least_rate`."""
    idle_timeout: float = 75.0
    """Seconds that a connection may wait for its next request."""
    write_timeout: float = 30.0
    """Seconds in which a client must take what is sent to it by `least_rate`."""
    least_rate: float = 240.0
    """Bytes per second; 0: whatever comes on at all is fast enough."""
    connections: int = _MOST
    connections_per_address: int | None = None
    """None: as many as there are in all."""
    uncounted: tuple[IPv4Network | IPv6Network, ...] = ()
    """Proxies, behind whose address there are many clients. Loopback is never counted."""


class Census:
    """Who is connected."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        self._by_client: Counter[str] = Counter()

    def enter(self, address: str) -> str | None:
        """Counts a connection from this address (empty: a Unix socket); why it may not stay, if it is one too
        many."""
        limits = self._limits
        if self._count >= limits.connections:
            return f"this gateway holds {limits.connections} connections, as many as it may"
        who, most = _client(address, limits.uncounted), limits.connections_per_address
        if who is not None and most is not None and self._by_client[who] >= most:
            return f"there are {most} connections from your address, as many as there may be"
        self._count += 1
        if who is not None:
            self._by_client[who] += 1
        return None

    def leave(self, address: str) -> None:
        """One that entered."""
        self._count -= 1
        who = _client(address, self._limits.uncounted)
        if who is not None:
            self._by_client[who] -= 1
            if not self._by_client[who]:
                del self._by_client[who]

    @property
    def count(self) -> int:
        return self._count


@lru_cache(4_096)
def _client(address: str, uncounted: tuple[IPv4Network | IPv6Network, ...]) -> str | None:
    """Whom an address is counted as; None: nobody."""
    if not address:
        return None
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback or any(ip in network for network in uncounted):
        return None
    return str(IPv6Network((ip, _PREFIX), strict=False)) if ip.version == 6 else str(ip)


class Progress:
    """Whether something comes on: in each stretch of `length` seconds by so many bytes a second."""

    def __init__(self, now: float, total: int) -> None:
        """`total`: bytes so far, at the time `now`."""
        self._since = now
        self._total = total

    def stalled(self, now: float, total: int, *, length: float, rate: float) -> bool:
        if now - self._since < length:
            return False
        if total - self._total < max(rate * length, 1.0):
            return True
        self._since, self._total = now, total
        return False


def most_connections(wanted: int | None, files: int) -> int:
    """At a time, with this many file descriptors: an answer that is read along takes a second one.

    Raises ValueError for more than that."""
    possible = max((files - _RESERVED) // 2, 1)
    if wanted is not None and wanted > possible:
        raise ValueError(f"{files} open files allow {possible} connections: raise the limit of open files")
    return wanted or min(possible, _MOST)
