"""Which of our functions another vendor's name means."""

from __future__ import annotations

from gateway.context import Gateway
from penstock.errors import FunctionNotFound
from penstock.function import Function

_LATEST = ("", "LATEST", "$LATEST")


async def find(gateway: Gateway, name: str, qualifier: str | None = None) -> Function:
    """The function of this name. `qualifier`: its version or alias; None: the latest. Raises FunctionNotFound."""
    if (qualifier or "") not in _LATEST:
        raise FunctionNotFound(f"{name}:{qualifier}")
    return await gateway.directory.get(name)
