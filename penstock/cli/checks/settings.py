"""The settings themselves: names that set nothing, files that others can read, secrets that are missing."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock.cli.checks import Finding
from penstock.settings import Settings, variable
from penstock.settingslist import entries

_OTHERS = ("CONFIG", "URL", "KEY", "LOG_LEVEL", "REDIS_URL")
"""Variables that are no setting: of the command line and of clients."""
_GIVEN = ("secret", "callback-secret")
"""Files of the data-dir that hold a secret."""


def look(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Those that could be read; what could not ended the command before."""
    found = [*_names(environment), *_files(settings, environment), *_secrets(settings)]
    config = environment.get("PENSTOCK_CONFIG")
    return found or [
        Finding("Settings", "ok", config or "no file (PENSTOCK_CONFIG); penstock settings lists them")
    ]


def _names(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = {variable(entry.key) for entry in entries()} | {f"PENSTOCK_{name}" for name in _OTHERS}
    known |= {variable(entry.group) for entry in entries() if entry.group}
    for name in sorted(environment):
        if name.startswith("PENSTOCK_") and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            advice = f"did you mean {near[0]}?" if near else "penstock settings lists them"
            yield Finding("Settings", "warning", f"{name} is the name of no setting, and does nothing", advice)


def _files(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    secret = [settings.folder / name for name in _GIVEN]
    config = environment.get("PENSTOCK_CONFIG")
    if config and (settings.secret or settings.callbacks.secret):
        secret.append(Path(config))
    for path in secret:
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("Secrets", "warning", f"{path} can be read by other users", f"chmod 600 {path}")


def _secrets(settings: Settings) -> Iterator[Finding]:
    if "url" in settings.redis.model_fields_set and not settings.secret:
        text = "there is none: a gateway that is not run by `penstock up` needs it"
        yield Finding("Secret", "warning", text, "set PENSTOCK_SECRET to the same random text on every process")
    elif settings.secret and len(settings.secret) < 16:
        text = f"it has {len(settings.secret)} characters: ids that it signs could be guessed"
        yield Finding("Secret", "warning", text, "openssl rand -hex 32 makes a good one; old ids become unknown")
