"""What runs in a function of Function Compute: a container, or a folder with a Python handler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from penstock.fc.notes import Notes, Place
from penstock.fc.schema import VendorFunction

_HANDLER = re.compile(r"([A-Za-z_][\w/]*)\.([A-Za-z_]\w*)")


def runs(function: VendorFunction, place: Place, notes: Notes, folder: Path, *, older: bool) -> dict[str, Any]:
    """The fields of a spec that say what runs. `folder` is the file's, `older` that it has the shape of 1.0.0.
    Raises ConfigurationError."""
    if function.runtime == "custom-container":
        return _container(function, place, notes, older)
    if function.runtime.startswith("python3"):
        return _python(function, place, notes, folder)
    raise notes.error(
        (*place, "runtime"), f"{function.runtime} is not available; custom-container and python3 are"
    )


def _container(function: VendorFunction, place: Place, notes: Notes, older: bool) -> dict[str, Any]:
    container, inside = function.container, (*place, "customContainerConfig")
    if container is None or container.image is None:
        raise notes.error((*inside, "image"), "missing: the image that a custom-container function runs")
    port = function.ca_port
    if container.port is not None:
        if port not in (None, container.port):
            notes.warn((*place, "caPort"), f"{port} is ignored: customContainerConfig.port says {container.port}")
        port = container.port
    # 1.0.0 calls the entrypoint command and what follows it args; 3.0.0 entrypoint and command.
    entrypoint, command = container.entrypoint, container.command
    if container.args or (older and not entrypoint):
        if entrypoint:
            notes.warn((*inside, "entrypoint"), "ignored: beside args, command is the entrypoint")
        entrypoint, command = container.command, container.args
    return {
        "image": container.image,
        "port": port,
        "entrypoint": entrypoint or None,
        "command": command or None,
        # As the vendor runs it: as whom the image says, and it may write where it likes.
        "user": "",
        "read_only": False,
        "web_server": container.web_server_mode,
    }


def _python(function: VendorFunction, place: Place, notes: Notes, folder: Path) -> dict[str, Any]:
    if not isinstance(function.code, str):
        raise notes.error((*place, function.spelled("code")), "missing: the folder with the handler's code")
    path = (folder / function.code).resolve()
    if not path.is_dir():
        raise notes.error((*place, function.spelled("code")), f"{path} is not a folder")
    handler = _HANDLER.fullmatch(function.handler or "index.handler")
    if handler is None:
        raise notes.error(
            (*place, "handler"), f"must be MODULE.FUNCTION, such as index.handler (got {function.handler!r})"
        )
    if function.initializer and not function.initializer.endswith(".initialize"):
        notes.warn(
            (*place, "initializer"), "only a function that is called initialize is run before the first call"
        )
    return {"path": str(path), "handler": f"{handler[1].replace('/', '.')}:{handler[2]}"}
