"""Penstock: serverless GPU inference on your own machines.

This package is the domain: what a function, an invocation and an instance are, and where they are kept.
It holds no process, no loop and no policy; `gateway` and `workers` stand on it.

Users of a gateway need two names of it: `from penstock import Client, AsyncClient`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # On demand: the gateway, the workers and most commands import this package and need no client.
    if name in ("AsyncClient", "Client"):
        from penstock import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
