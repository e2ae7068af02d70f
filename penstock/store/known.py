"""Reading what a process of the next version wrote: it may say more than this one knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known(kind: type[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the stored fields that a dataclass has."""
    names = kind.__dataclass_fields__
    return {name: value for name, value in fields.items() if name in names}
