"""A function's folder as `penstock run` and `penstock build` are given it: its name, and its spec."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from penstock import specfile
from penstock.errors import ConfigurationError
from penstock.function import FunctionSpec

_SPEC_FILE = "penstock.yaml"


def function_of(folder: Path, *, handler: str | None, event: str | None) -> tuple[str, FunctionSpec]:
    """The function of a folder: what the penstock.yaml in it says of it, if there is one, and what is given here
    instead. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; give the folder that the handler is in")
    place = str(folder.resolve())
    name, fields = _described(place)
    given = {"path": place, "handler": handler, "event": event}
    try:
        spec = FunctionSpec.model_validate(
            fields | {key: value for key, value in given.items() if value is not None}
        )
    except ValidationError as error:
        where, message = specfile.explain(error)
        raise ConfigurationError(f"--{'.'.join(where)}: {message}") from None
    _check(folder, spec.handler or "")
    return name, spec


def _described(place: str) -> tuple[str, dict[str, object]]:
    file = Path(place) / _SPEC_FILE
    for name, spec in (specfile.load(file) if file.exists() else {}).items():
        if spec.path == place:
            return name, spec.model_dump(mode="json", exclude_unset=True)
    return name_of(Path(place).name), {}


def name_of(folder: str) -> str:
    """A function's name made of a folder's."""
    return re.sub(r"[^a-z0-9_-]+", "-", folder.lower()).strip("-_")[:63] or "function"


def _check(folder: Path, handler: str) -> None:
    """Sees without running it whether the handler is there. Raises ConfigurationError."""
    module, _, name = handler.partition(":")
    base = folder.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            text = file.read_text(errors="replace")
            if re.search(rf"\b{re.escape(name)}\b", text) or "import *" in text:
                return
            raise ConfigurationError(
                f"handler is {handler}, but {file} has no {name}; name another with --handler"
            )
    missing = base.with_suffix(".py")
    raise ConfigurationError(
        f"handler is {handler}, but {missing} is not there; name it with --handler module:name"
    )
