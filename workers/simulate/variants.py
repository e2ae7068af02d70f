"""A policy file: scaling fields as in a spec file, and what the simulation must know beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from penstock.errors import ConfigurationError
from penstock.function import Scaling
from penstock.units import Duration
from workers.simulate.trace import Profile, Workload


class Variant(Scaling):
    """Holds for every function of the traffic."""

    cold_start: Annotated[Duration, Field(gt=0)] | None = None
    """Seconds that a start takes; None: as the case has it, 15 s for a trace."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Calls at a time in one instance; None: as the case has it, 1 for a trace."""

    def applied(self, workload: Workload) -> Workload:
        """The same traffic on functions as this says."""
        return replace(
            workload, profiles={name: self._profile(profile) for name, profile in workload.profiles.items()}
        )

    def _profile(self, profile: Profile) -> Profile:
        return replace(
            profile,
            cold_start=profile.cold_start if self.cold_start is None else self.cold_start,
            concurrency=profile.concurrency if self.concurrency is None else self.concurrency,
            floor=self.min if "min" in self.model_fields_set else profile.floor,
        )


def load(path: Path) -> Variant:
    """Raises ConfigurationError, which names the file, and the line or the field."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as text: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigurationError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"{path}: expected fields such as `idle_timeout: 60s`, one on each line")
    try:
        return Variant.model_validate(dict(document))
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_explain(error.errors()[0])}") from None


def _explain(first: Any) -> str:
    """The first thing that is wrong, and what would be right."""
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field}: unknown field; allowed are {', '.join(Variant.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{field}: {message} (got {first['input']!r})" if field else message
