"""A function of Function Compute as a spec of ours: which field becomes which, and what has none. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.egress import split
from penstock.fc import destinations
from penstock.fc.container import runs
from penstock.fc.floor import provision
from penstock.fc.gpu import gpu
from penstock.fc.notes import Notes, Place
from penstock.fc.schema import HealthCheck, Hook, VendorFunction
from penstock.function import FunctionSpec, Retry
from penstock.specfile import explain

_SHM = "FCGPU_RUNTIME_SHMSIZE"
"""Bytes of shared memory, by a variable of the environment."""
_LONGEST_PRE_STOP = 90
_HEALTH = {"initial_delay_seconds": 0, "period_seconds": 3, "timeout_seconds": 1, "failure_threshold": 3}
"""How health is asked for here, whatever a file says."""


def translate(
    function: VendorFunction,
    place: Place,
    notes: Notes,
    *,
    folder: Path,
    internet: bool,
    older: bool,
    region: str | None = None,
) -> FunctionSpec:
    """The spec. `folder` is the file's, `internet` whether its service reaches it, `older` the shape of 1.0.0.
    Raises ConfigurationError for a value that cannot be."""
    concurrency = function.instance_concurrency or 1
    fields = {
        **runs(function, place, notes, folder, older=older),
        "concurrency": concurrency,
        "timeout": function.timeout,
        "env": function.environment,
        "resources": _resources(function, place, notes),
        "lifecycle": _lifecycle(function, place, notes),
        "provision": provision(function, place, notes),
        "region": region,
        "network": "internet" if internet else "none",
        **_bounds(function, concurrency, place, notes),
        **_asynchronous(function, place, notes),
    }
    if fields.get("web_server") is False:
        _leave_out_what_needs_a_server(fields, place, notes)
    try:
        return FunctionSpec.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        inner, message = explain(error)
        # What both sides bound has the vendor's bounds, so this is about how fields go together.
        raise notes.error(place, f"as a spec, {'.'.join(inner) or 'it'}: {message}") from None


def _leave_out_what_needs_a_server(fields: dict[str, Any], place: Place, notes: Notes) -> None:
    where = (*place, "customContainerConfig", "webServerMode")
    if fields["concurrency"] > 1:
        notes.warn(where, "instanceConcurrency is 1: without a server each call is a run of its own")
    for name in ("lifecycle", "provision"):
        if fields[name]:
            notes.warn(where, f"{name} is left out: without a server nothing stays, each call is a run of its own")
    fields |= {"concurrency": 1, "lifecycle": {}, "provision": None}


def _resources(function: VendorFunction, place: Place, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": function.cpu, "gpu": gpu(function, place, notes)}
    if function.memory_size is not None:
        found["memory"] = function.memory_size * 2**20
    shared = function.environment.get(_SHM)
    if shared is not None:
        if not re.fullmatch(r"[1-9][0-9]{0,14}", shared):
            raise notes.error(
                (*place, "environmentVariables", _SHM),
                f"must be a number of bytes, such as 8589934592 (got {shared!r})",
            )
        found["shm_size"] = int(shared)
    return {name: value for name, value in found.items() if value is not None}


def _lifecycle(function: VendorFunction, place: Place, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hooks, inside = function.hooks, (*place, "instanceLifecycleConfig")
    initialize = hooks.initializer if hooks else None
    if _is_set(initialize) or function.initializer:
        seconds = function.initialization_timeout
        if initialize is not None and initialize.timeout is not None:
            if seconds not in (None, initialize.timeout):
                notes.warn(
                    (*place, "initializationTimeout"),
                    f"ignored: {'.'.join((*inside, 'initializer'))} says {initialize.timeout}",
                )
            seconds = initialize.timeout
        found["initialize"] = {"path": "/initialize", "timeout": seconds or 300}
    before = hooks.pre_stop if hooks else None
    if before is not None and _is_set(before):
        seconds = before.timeout or _LONGEST_PRE_STOP
        if seconds > _LONGEST_PRE_STOP:
            notes.warn((*inside, "preStop", "timeout"), f"{seconds} is more than 90 s: it gets 90")
        found["pre_stop"] = {"path": "/pre-stop", "timeout": min(seconds, _LONGEST_PRE_STOP)}
    if hooks is not None and hooks.pre_freeze is not None:
        notes.warn((*inside, "preFreeze"), "ignored: instances are not frozen here, so nothing is asked before")
    health = _health(function, place, notes)
    return found | ({"health": health} if health else {})


def _is_set(hook: Hook | None) -> bool:
    # The vendor's console writes hooks that are switched off with an empty handler.
    return hook is not None and hook.handler != ""


def _health(function: VendorFunction, place: Place, notes: Notes) -> dict[str, str] | None:
    given: tuple[HealthCheck | None, Place] = (function.health_check, (*place, "customHealthCheckConfig"))
    if given[0] is None and function.container is not None:
        given = (
            function.container.health_check_config,
            (*place, "customContainerConfig", "healthCheckConfig"),
        )
    check, inside = given
    if check is None:
        return None
    for name, ours in {**_HEALTH, "success_threshold": 1}.items():
        value = getattr(check, name)
        if value not in (None, ours):
            field = str(HealthCheck.model_fields[name].alias)
            notes.warn((*inside, field), f"{value} is ignored: here it is {ours}")
    if check.http_get_url is None:
        notes.warn(inside, "ignored without httpGetUrl, the path to ask")
        return None
    return {"path": check.http_get_url}


def _bounds(function: VendorFunction, concurrency: int, place: Place, notes: Notes) -> dict[str, Any]:
    """Reserved concurrency is of calls: so many instances as hold no more of them."""
    if function.concurrency is None or function.concurrency.reserved_concurrency is None:
        return {}
    reserved, where = (
        function.concurrency.reserved_concurrency,
        (*place, "concurrencyConfig", "reservedConcurrency"),
    )
    if reserved == 0:
        notes.warn(where, "0 is ignored: to let no call run, `penstock pause` the function")
        return {}
    each = min(concurrency, reserved)
    if reserved % each:
        notes.warn(
            where, f"{reserved} is not a multiple of instanceConcurrency: it comes to {reserved // each * each}"
        )
    return {"concurrency": each, "scaling": {"max": reserved // each}}


def _asynchronous(function: VendorFunction, place: Place, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    given = function.asynchronous
    if given is None:
        return found
    if given.max_age is not None:
        found["queue"] = {"max_age": given.max_age}
    if given.max_retries is not None:
        # The vendor runs what failed in the function's own code again, too: here that is to list 500.
        found["retry"] = {"attempts": given.max_retries + 1, "on": sorted({*Retry().on, 500})}
    told = {}
    for field, name in (("on_success", "onSuccess"), ("on_failure", "onFailure")):
        one = getattr(given.destinations, field) if given.destinations else None
        if one is None or not one.destination:
            continue
        if split(one.destination) is not None:
            told[field] = one.destination
        elif destinations.parse(one.destination) is None:
            where = (*place, function.spelled("asynchronous"), given.spelled("destinations"), name)
            notes.warn(
                where, f"{one.destination} is told nothing: only functions and http:// or https:// URLs are"
            )
    return found | ({"callbacks": told} if told else {})
