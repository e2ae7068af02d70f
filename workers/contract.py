"""The container contract as seen from here: paths, the headers that an instance gets with a call, and the
environment that our own runtime is started with.

Function Compute also sends a container the credentials of its role: here there are none, and a client's headers
of those names do not cross (penstock/headers.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from penstock import clock
from penstock.function import Function, FunctionSpec
from penstock.invocation import Invocation
from penstock.settings import FcSettings
from penstock.vendors.fc import QUALIFIER_HEADER
from penstock.versions import LATEST

STATUS_PATH = "/.penstock/status"
"""Answered by our own runtime: which calls it runs."""
STATUS_HEADER = "x-fc-status"
"""Set to 404 by a function that answers an event call and means that it failed."""
ANSWER_HEADER = "Penstock-Answer"
"""Set to `lambda` by our own runtime when the body is Lambda's `{statusCode, headers, body}`."""
ERROR_HEADER = "Penstock-Error"
"""Set by our own runtime when the handler raised: the class of the error."""


def call_headers(
    function: Function, invocation: Invocation, progress_url: str, fc: FcSettings
) -> list[tuple[str, str]]:
    """The headers of one call, the client's own first. `progress_url`: where it may report its progress."""
    event = invocation.request.path is None
    deadline = clock.now_ms() + invocation.timeout_ms
    # The alias by which it was called stands in the record, among its headers.
    called = any(name == QUALIFIER_HEADER for name, _ in invocation.request.headers)
    return [
        *invocation.request.headers,
        ("x-fc-request-id", invocation.id),
        *_function_headers(function, fc, qualifier=not called),
        ("x-fc-control-path", "/invoke" if event else "/http-invoke"),
        ("x-fc-invocation-type", "Async" if invocation.kind == "job" else "Sync"),
        ("penstock-attempt", str(invocation.attempt)),
        ("penstock-deadline", str(deadline)),
        ("penstock-progress-url", progress_url),
    ]


def hook_headers(
    function: Function, instance: str, control: str, fc: FcSettings, *, gpu: str | None = None
) -> list[tuple[str, str]]:
    """The headers of a hook, which belongs to no invocation: its id is the instance's. `control`: /initialize or
    /pre-stop; `gpu`: UUID of the card that our own runtime may use."""
    return [
        *([("penstock-gpu", gpu)] if gpu and function.spec.path else []),
        ("x-fc-request-id", instance),
        *_function_headers(function, fc, qualifier=True),
        ("x-fc-control-path", control),
    ]


def _function_headers(function: Function, fc: FcSettings, *, qualifier: bool) -> list[tuple[str, str]]:
    version = function.version or LATEST
    return [
        ("x-fc-function-name", function.base),
        ("x-fc-function-handler", function.spec.handler or ""),
        ("x-fc-function-memory", str(function.spec.resources.memory // 2**20)),
        ("x-fc-region", function.spec.region or fc.region),
        ("x-fc-account-id", fc.account_id),
        ("x-fc-version-id", version),
        *([("x-fc-qualifier", version)] if qualifier else []),
    ]


def secret_environment(spec: FunctionSpec, folder: str) -> Mapping[str, str]:
    """Where an instance finds its secrets: the files, never what is in them. `folder`: where they are."""
    if not spec.secrets:
        return {}
    files = {f"{name}_FILE": str(PurePath(folder) / name) for name in spec.secrets}
    return {"PENSTOCK_SECRETS": " ".join(spec.secrets), **files}


def runtime_environment(name: str, spec: FunctionSpec, folder: str) -> dict[str, str]:
    """What runtime/settings.py reads. `folder`: where the instance finds the function's code."""
    environment = {
        "PENSTOCK_FUNCTION": name,
        "PENSTOCK_HANDLER": spec.handler or "",
        "PENSTOCK_CODE": folder,
        "PENSTOCK_EVENT": spec.event,
        "PENSTOCK_CONCURRENCY": str(spec.concurrency),
        "PENSTOCK_WORKERS": spec.workers,
        "PENSTOCK_MEMORY": str(spec.resources.memory // 2**20),
    }
    if spec.preload:
        environment["PENSTOCK_PRELOAD"] = " ".join(spec.preload)
    if spec.batch is not None:
        environment["PENSTOCK_BATCH_SIZE"] = str(spec.batch.max_size)
        environment["PENSTOCK_BATCH_WAIT"] = str(spec.batch.max_wait)
    return environment
