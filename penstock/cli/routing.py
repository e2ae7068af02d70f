"""Custom domains of the files that are deployed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from penstock.domains import Domain
from penstock.errors import ConfigurationError
from penstock.store import Store


async def check(store: Store, domains: Mapping[str, Domain], functions: Collection[str]) -> None:
    """Raises ConfigurationError if another file has one of these: its routes lead to functions that are neither of
    this file nor named in its routes."""
    stored = await store.domains.all() if domains else {}
    for name, domain in domains.items():
        others = stored[name].functions - domain.functions - set(functions) if name in stored else set()
        if others:
            raise ConfigurationError(
                f"domain {name} leads to {', '.join(sorted(others))} already, which this file does not have: "
                f"remove it first (DELETE /v1/domains/{name}), or give its routes here, too"
            )


async def put(store: Store, domains: Mapping[str, Domain]) -> None:
    for name, domain in domains.items():
        await store.domains.put(name, domain)
