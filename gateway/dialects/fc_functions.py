"""Functions themselves, as Function Compute's official SDKs create, show, change and delete them.

Those that are images may be created and changed here; what names things of the host comes from files only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from gateway import bodies, functions
from gateway.access import LATE_CREATE, LATE_DEPLOY, LATE_READ, LIST
from gateway.auth import CALLER, needs, permit, visible
from gateway.context import GATEWAY
from gateway.dialects.fc import FUNCTIONS, named
from gateway.rendering import json_response
from penstock import clock
from penstock.errors import ConfigurationError, Forbidden, InvalidRequest, RequestError
from penstock.fc.mapping import translate
from penstock.fc.names import native
from penstock.fc.notes import Notes
from penstock.fc.reading import read
from penstock.fc.schema import VendorFunction
from penstock.function import Function, FunctionSpec
from penstock.vendors.fc import arn

_BODY = Path("body")
_UPLOADED = frozenset({"zipFile", "ossBucketName", "ossObjectName"})
_NO_UPLOADS = (
    "code: it is not taken over HTTP, where anybody could send it to be run; put it in a folder beside an "
    "s.yaml or a penstock.yaml and run `penstock deploy`, or build an image and give customContainerConfig.image"
)


class _Exists(RequestError):
    code = "FunctionAlreadyExists"
    status = 409


async def create(request: web.Request) -> web.Response:
    """POST /2023-03-30/functions"""
    gateway = request.app[GATEWAY]
    given = await bodies.receive_object(request, limit=gateway.settings.max_body)
    vendor, spec = _read(given)
    if vendor.name is None:
        raise InvalidRequest("functionName: missing")
    name = native(vendor.name)
    await permit(request, name)
    if await gateway.store.catalog.get(name) is not None:
        raise _Exists(f"{vendor.name} would be called {name} here, and there is a function of that name")
    if name != vendor.name:
        await gateway.store.aliases.put({vendor.name: name})
    return json_response(_shown(await _deploy(request, name, spec)))


async def update(request: web.Request) -> web.Response:
    """PUT /2023-03-30/functions/{f}: what is given changes, and nothing else."""
    function = await named(request)
    given = await bodies.receive_object(request, limit=request.app[GATEWAY].settings.max_body)
    if function.version is not None:
        raise InvalidRequest(f"version {function.version} does not change: update LATEST, and publish that")
    _check_code(given)
    if function.spec.image is None:
        raise Forbidden(f"{function.name} is no image: it is changed where it comes from (penstock deploy)")
    before = _shown(function)
    _, old = _read(before)
    _, new = _read({**before, **given})
    changed = {
        name: getattr(new, name) for name in FunctionSpec.model_fields if getattr(new, name) != getattr(old, name)
    }
    spec = FunctionSpec.model_validate(function.spec.model_copy(update=changed).model_dump())
    return json_response(_shown(await _deploy(request, function.name, spec)))


async def show(request: web.Request) -> web.Response:
    """GET …/functions/{f}"""
    return json_response(_shown(await named(request)))


async def listing(request: web.Request) -> web.Response:
    """GET /2023-03-30/functions?prefix="""
    prefix = request.query.get("prefix", "")
    found = await request.app[GATEWAY].store.catalog.list()
    sees = await visible(request)
    shown = [_shown(one) for one in found if one.name.startswith(prefix) and sees(one.name)]
    return json_response({"functions": shown, "nextToken": None})


async def delete(request: web.Request) -> web.Response:
    """DELETE …/functions/{f}"""
    await functions.remove(request.app[GATEWAY], (await named(request)).base)
    return web.Response(status=204)


def _read(given: dict[str, Any]) -> tuple[VendorFunction, FunctionSpec]:
    """As an s.yaml has it; raises InvalidRequest, and Forbidden for what names things of the host."""
    _check_code(given)
    if given.get("runtime") != "custom-container":
        raise Forbidden("only a custom-container function is created over HTTP; deploy others with their folder")
    notes = Notes(_BODY, {})
    try:
        vendor = read(VendorFunction, given, (), notes)
        internet = vendor.internet_access is not False
        spec = translate(vendor, (), notes, folder=_BODY, internet=internet, older=False)
    except ConfigurationError as error:
        raise InvalidRequest(str(error).partition(": ")[2]) from None
    for field in functions.FROM_FILES_ONLY:
        if getattr(spec, field):
            raise Forbidden(f"{field} names things of the host: it comes from files only (penstock deploy)")
    return vendor, spec


def _check_code(given: dict[str, Any]) -> None:
    if isinstance(given.get("code"), dict) and given["code"].keys() & _UPLOADED:
        raise InvalidRequest(_NO_UPLOADS)


async def _deploy(request: web.Request, name: str, spec: FunctionSpec) -> Function:
    gateway = request.app[GATEWAY]
    function = await gateway.store.catalog.deploy(name, spec, tenant=request[CALLER].deploys_for)
    gateway.directory.forget(name)
    return function


def _shown(function: Function) -> dict[str, Any]:
    spec = function.spec
    said: dict[str, Any] = {
        "functionName": function.base,
        "functionId": function.digest,
        "functionArn": arn(function.name),
        "runtime": "custom-container" if spec.image else "python3" if spec.path else "custom",
        "cpu": spec.resources.cpu,
        "memorySize": spec.resources.memory // 2**20,
        "timeout": int(spec.timeout),
        "instanceConcurrency": spec.concurrency,
        "environmentVariables": spec.env,
        "lastModifiedTime": clock.rfc3339(function.created_at),
        "state": "Active",
    }
    if spec.handler is not None:
        said["handler"] = spec.handler.replace(":", ".")
    if spec.image is not None:
        said["customContainerConfig"] = {"image": spec.image, "port": spec.port}
    if spec.resources.gpu is not None:
        memory = spec.resources.gpu.memory
        size = None if memory is None else memory // 2**20
        said["gpuConfig"] = {"gpuMemorySize": size, "gpuType": spec.resources.gpu.type}
    return said


ROUTES = (
    *needs(LATE_CREATE, web.post("/2023-03-30/functions", create)),
    *needs(LIST, web.get("/2023-03-30/functions", listing)),
    *needs(LATE_READ, *(web.get(base, show) for base in FUNCTIONS)),
    *needs(
        LATE_DEPLOY,
        web.put("/2023-03-30/functions/{function}", update),
        *(web.delete(base, delete) for base in FUNCTIONS),
    ),
)
