"""Which config keeps instances of which version."""

from __future__ import annotations

from typing import Any

from penstock.provision import ProvisionConfig
from penstock.versions import Alias, Versions
from workers.qualified import ruling, scaled


def config(target: int, **more: Any) -> ProvisionConfig:
    return ProvisionConfig.model_validate({"target": target, **more})


def kept(**aliases: Alias) -> dict[str, Versions]:
    return {"chat": Versions(last=9, aliases=aliases)}


def targets(configs: dict[str, ProvisionConfig], versions: dict[str, Versions]) -> dict[str, int]:
    return {name: one.default_target for name, one in ruling(configs, versions).items()}


def test_a_functions_and_a_versions_config_are_their_own() -> None:
    configs = {"chat": config(1), "chat@3": config(2)}
    assert targets(configs, kept()) == {"chat": 1, "chat@3": 2}


def test_an_aliass_config_goes_to_its_versions_by_their_shares() -> None:
    prod = Alias(version="3", weights={"4": 0.1})
    assert targets({"chat@prod": config(10)}, kept(prod=prod)) == {"chat@3": 9, "chat@4": 1}
    assert targets({"chat@prod": config(1)}, kept(prod=prod)) == {"chat@3": 1, "chat@4": 1}
    assert targets({"chat@prod": config(3)}, kept(prod=Alias(version="LATEST"))) == {"chat": 3}


def test_a_version_without_calls_needs_no_instances() -> None:
    prod = Alias(version="3", weights={"4": 1.0})
    assert targets({"chat@prod": config(2)}, kept(prod=prod)) == {"chat@4": 2}


def test_a_versions_own_config_comes_first_and_of_aliases_the_one_that_asks_for_most() -> None:
    aliases = kept(prod=Alias(version="3"), test=Alias(version="3"))
    configs = {"chat@prod": config(1), "chat@test": config(4)}
    assert targets(configs, aliases) == {"chat@3": 4}
    assert targets({**configs, "chat@3": config(2)}, aliases) == {"chat@3": 2}


def test_schedules_and_policies_are_scaled_too() -> None:
    rules = config(
        0,
        scheduledActions=[{"name": "a", "target": 5, "scheduleExpression": "cron(0 0 8 * * *)"}],
        targetTrackingPolicies=[
            {
                "name": "p",
                "metricType": "ProvisionedConcurrencyUtilization",
                "metricTarget": 0.6,
                "minCapacity": 2,
                "maxCapacity": 11,
            }
        ],
    )
    part = scaled(rules, 0.3)
    (action,), (policy,) = part.scheduled_actions, part.target_tracking_policies
    assert (action.target, policy.min_capacity, policy.max_capacity) == (2, 1, 4)
    assert scaled(config(10), 1 - 0.9).default_target == 1, "nine tenths and a tenth are whole"
