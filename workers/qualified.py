"""Which provision config rules which version, where configs belong to aliases, too. Pure.

A version's own config comes first. Else it is that of an alias which stands for it, of which it gets its share:
of each number the part that its weight is of all calls, rounded up. Of several aliases the one that asks for most
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from penstock.provision import ProvisionConfig
from penstock.versions import Versions, named


def ruling(
    configs: Mapping[str, ProvisionConfig], versions: Mapping[str, Versions]
) -> Mapping[str, ProvisionConfig]:
    """By the name of a function or a version. `configs`: those that were put, by that of an alias, too;
    `versions`: by function."""
    aliases = {
        named(function, name): (function, alias)
        for function, kept in versions.items()
        for name, alias in kept.aliases.items()
    }
    found = {name: config for name, config in configs.items() if name not in aliases}
    asked: dict[str, list[ProvisionConfig]] = {}
    for name, config in sorted(configs.items()):
        if name in aliases:
            function, alias = aliases[name]
            for version, share in alias.shares.items():
                if share > 0:
                    asked.setdefault(named(function, version), []).append(scaled(config, share))
    return {name: max(some, key=_most) for name, some in asked.items()} | found


def scaled(config: ProvisionConfig, share: float) -> ProvisionConfig:
    """A config of which only a part is wanted."""

    def part(instances: int) -> int:
        return ceil(round(instances * share, 6))

    return config.model_copy(
        update={
            "default_target": part(config.default_target),
            "scheduled_actions": tuple(
                one.model_copy(update={"target": part(one.target)}) for one in config.scheduled_actions
            ),
            "target_tracking_policies": tuple(
                one.model_copy(
                    update={"min_capacity": part(one.min_capacity), "max_capacity": part(one.max_capacity)}
                )
                for one in config.target_tracking_policies
            ),
        }
    )


def _most(config: ProvisionConfig) -> int:
    """The most that it can come to."""
    actions = [one.target for one in config.scheduled_actions]
    return max([config.default_target, *actions, *(one.max_capacity for one in config.target_tracking_policies)])
