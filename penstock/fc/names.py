"""Names of other vendors' functions, with capitals or within a service, as names of ours. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from penstock.function import NAME

_LONGEST = 63


def original(service: str | None, function: str) -> str:
    """How the vendor calls it: `service/function`, or the function's name alone where there are no services."""
    return f"{service}/{function}" if service else function


def native(text: str) -> str:
    """A name of ours for any text: lower case, and a digest where it had to be cut."""
    name = re.sub(r"[^a-z0-9_-]", "-", text.lower()).lstrip("_-") or "f"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    assert NAME.fullmatch(name), name
    return name


def assign(functions: Iterable[tuple[str | None, str]]) -> Mapping[tuple[str | None, str], str]:
    """A name of ours for each (service, function) of one file: the function's, or `service-function` where several
    services have one of that name."""
    wanted = set(functions)
    plain = [native(name) for _, name in wanted]
    return {
        (service, name): native(f"{service}-{name}") if service and plain.count(native(name)) > 1 else native(name)
        for service, name in wanted
    }
