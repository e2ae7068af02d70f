"""What a function of Function Compute keeps warm, from either of the two fields that say so. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from penstock import provisionfile
from penstock.errors import ConfigurationError
from penstock.fc.notes import Notes, Place
from penstock.fc.schema import Scaling, VendorFunction
from penstock.provision import ProvisionConfig

_POLICY = {"minInstances": "minCapacity", "maxInstances": "maxCapacity"}
"""What a horizontal scaling policy calls otherwise than a tracking policy."""
_WRITTEN = {
    "defaultTarget": "minInstances",
    "targetTrackingPolicies": "horizontalScalingPolicies",
    "scheduledActions": "scheduledPolicies",
    **{tracking: written for written, tracking in _POLICY.items()},
}
"""A provision config's fields as a scaling config has them."""


def provision(function: VendorFunction, place: Place, notes: Notes) -> ProvisionConfig | None:
    """None: the file says nothing. Raises ConfigurationError with the field that is wrong."""
    document, inside = function.provision, (*place, "provisionConfig")
    if function.scaling is not None and document is not None:
        notes.warn((*place, "scalingConfig"), "ignored beside provisionConfig, which says the same")
    elif function.scaling is not None:
        document, inside = _of_scaling(function.scaling), (*place, "scalingConfig")
    if document is None:
        return None
    try:
        config, warnings = provisionfile.read_vendor(document, "")
    except ConfigurationError as error:
        raise notes.error(*_at(inside, str(error))) from None
    for warning in warnings:
        notes.warn(*_at(inside, warning))
    return config


def _of_scaling(scaling: Scaling) -> dict[str, Any]:
    return {
        "defaultTarget": scaling.min_instances or 0,
        "targetTrackingPolicies": [_renamed(one) for one in scaling.horizontal_scaling_policies],
        "scheduledActions": scaling.scheduled_policies,
    }


def _renamed(policy: Mapping[str, Any]) -> dict[str, Any]:
    return {_POLICY.get(name, name): value for name, value in policy.items()}


def _at(inside: Place, said: str) -> tuple[Place, str]:
    """Place and message of `.scheduledActions[0].target: …`."""
    path, _, message = said.partition(": ")
    parts = [part for part in re.split(r"[.\[\]]+", path) if part]
    if inside[-1] == "scalingConfig":
        parts = [_WRITTEN.get(part, part) for part in parts]
    return (*inside, *parts), message
