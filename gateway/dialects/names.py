"""Which of our functions another vendor's name means."""

from __future__ import annotations

from gateway.context import Gateway
from penstock.errors import FunctionNotFound
from penstock.fc.names import original
from penstock.function import NAME, Function

_LATEST = ("", "LATEST", "$LATEST")


async def find(
    gateway: Gateway, name: str, qualifier: str | None = None, *, service: str | None = None
) -> Function:
    """The function of this name, our own or the vendor's, in which a service may stand before a `$`, too.
    `qualifier`: its version or alias; None: the latest. Raises FunctionNotFound."""
    if (qualifier or "") not in _LATEST:
        raise FunctionNotFound(f"{name}:{qualifier}")
    if service is None and "$" in name:
        service, _, name = name.partition("$")
    known = None
    if service is not None or not NAME.fullmatch(name):
        known = await gateway.store.aliases.get(original(service, name))
    return await gateway.directory.get(known or name)
