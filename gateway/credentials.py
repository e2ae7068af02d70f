"""Where a request may carry an API key, in the forms of all clients that we serve. Pure.

Official clients of other vendors are given a key where they ask for one of theirs; those that sign their requests
show it as the id of their access key. Signatures are not checked: the key itself is the secret. It is never read
from an address, which ends up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from multidict import CIMultiDictProxy

_SIGNED = re.compile(r"(?:AWS4|ACS3)-[A-Z0-9-]+\s+(?:.*?[\s,])?Credential=([^/,\s]+)")
"""AWS's signature 4 and Alibaba Cloud's signature 3: `Credential=<id of an access key>…`."""
_FC = re.compile(r"FC\s+([^:\s]+):\S*")
"""Function Compute's own signature of its older APIs: `FC <id of an access key>:<signature>`."""
_PLAIN = re.compile(r"(?:(?:Bearer|Token)\s+)?(\S+)", re.IGNORECASE)
"""Bearer of nearly everybody, Token of older Replicate clients, or nothing before it."""

HEADERS = ("Authorization", "X-Api-Key")


def find(headers: CIMultiDictProxy[str], is_key: Callable[[str], bool]) -> tuple[str | None, frozenset[str]]:
    """The first key that a request carries (None: it has none), and the names of all its headers that carry one,
    in lower case: those are for us, and for nobody behind us."""
    key, carriers = None, set()
    for name, text in _given(headers):
        if is_key(text):
            key = key or text
            carriers.add(name.lower())
    return key, frozenset(carriers)


def _given(headers: CIMultiDictProxy[str]) -> Iterator[tuple[str, str]]:
    for value in headers.getall("Authorization", ()):
        for form in (_SIGNED, _FC, _PLAIN):
            match = form.fullmatch(value.strip()) if form is not _SIGNED else form.match(value.strip())
            if match is not None:
                yield "Authorization", match[1]
                break
    for value in headers.getall("X-Api-Key", ()):
        yield "X-Api-Key", value.strip()
