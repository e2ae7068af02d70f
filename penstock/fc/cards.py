"""The card types of Function Compute."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CARD_TYPES: Mapping[str, int] = MappingProxyType(
    {
        "fc.gpu.tesla.1": 16,
        "fc.gpu.ampere.1": 24,
        "fc.gpu.ada.1": 48,
        "fc.gpu.ada.2": 24,
        "fc.gpu.ada.3": 48,
        "fc.gpu.hopper.1": 96,
        "fc.gpu.hopper.2": 141,
        "fc.gpu.blackwell.1": 32,
        "fc.gpu.xpu.1": 96,
    }
)
"""Their memory in GB as it is sold: a card shows a little less, in GiB."""

_OLD_SPELLINGS = {"g1": "fc.gpu.tesla.1"}


def canonical_type(type: str) -> str:
    """Today's spelling of a card type; what is in no table stays as it is."""
    return _OLD_SPELLINGS.get(type, type)
