"""The Lua scripts: one state transition each, read from penstock/lua under a head of the domain's own tables.

What a script must agree on with Python (the transition table, the order of a record's fields, names of global
keys) is rendered into its head from the one place that defines it, so that the two cannot drift apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from penstock import keys
from penstock.invocation import DEAD_STATES, MOVES
from penstock.series import PEAKS
from penstock.store.records import RUN_FIELDS

HINT_LIMIT = 64 * 1024
"""Bytes of an answer that travel in the wake-up itself; a longer one is read from its record."""
UPDATE_INTERVAL_MS = 500
"""Between two callbacks about the progress of one invocation, and between two about its output."""
LEDGER_KEEP_MS = 7 * 24 * 3600 * 1000
"""How long a delivery stays in the ledger after it has ended."""
LEDGER_MOST = 10_000
"""Ended deliveries that the ledger of a function holds."""
ATTEMPTS_KEPT = 20
"""The last attempts of a delivery that are remembered."""

_FUNCTION = re.compile(r"^local function .*?^end\n", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"local (?:function )?(\w+)")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Script:
    name: str
    source: str
    sha: str


def _table(rows: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key} = {value}" for key, value in rows.items()) + "}"


def _list(items: Iterable[str]) -> str:
    return "{" + ", ".join(f"'{item}'" for item in items) + "}"


def _head() -> Sequence[str]:
    """A line for each constant."""
    moves = {
        state.value: _table({event.value: f"'{target.value}'" for event, target in row.items()})
        for state, row in MOVES.items()
    }
    constants = {
        "MOVES": _table(moves),
        "FIELDS": _list(RUN_FIELDS),
        "HINT_LIMIT": str(HINT_LIMIT),
        "ATTEMPTS_KEPT": str(ATTEMPTS_KEPT),
        "LEDGER_KEEP": str(LEDGER_KEEP_MS),
        "LEDGER_MOST": str(LEDGER_MOST),
        "UPDATE_INTERVAL": str(UPDATE_INTERVAL_MS),
        "ACCESS_CHANGES": f"'{keys.ACCESS_CHANGES}'",
        "ACTIVE": f"'{keys.ACTIVE}'",
        "BATCH": f"'{keys.batch('%s', '%s')}'",
        "BATCH_ACCEPTED": f"'{keys.batch_accepted('%s', '%s')}'",
        "CANCELS": f"'{keys.CANCELS}'",
        "CHANGED": f"'{keys.CHANGED}'",
        "CHANGES": f"'{keys.CHANGES}'",
        "DEAD": f"'{keys.dead('%s')}'",
        "DEAD_STATES": _table({state.value: "true" for state in sorted(DEAD_STATES)}),
        "DELIVERY": f"'{keys.delivery_prefix('%s')}'",
        "EVENTS": f"'{keys.events('%s', '%s')}'",
        "FEED": f"'{keys.feed('')}'",
        "FUNCTIONS": f"'{keys.FUNCTIONS}'",
        "GPUS": f"'{keys.GPUS}'",
        "KEY_FLYING": f"'{keys.key_flying('%s')}'",
        "KEY_RATE": f"'{keys.key_rate('%s')}'",
        "LANE": f"'{keys.LANE}'",
        "LANES": f"'{keys.LANES}'",
        "LEADER": f"'{keys.LEADER}'",
        "METERED": f"'{keys.metered('%s')}'",
        "MIGRATING": f"'{keys.MIGRATING}'",
        "OUTBOX": f"'{keys.OUTBOX}'",
        "OWNERS": f"'{keys.OWNERS}'",
        "PEAKS": _table(dict.fromkeys(PEAKS, "true")),
        "RATE": f"'{keys.rate('%s')}'",
        "RECORD": f"'{keys.record('%s', '%s')}'",
        "REPLY": f"'{keys.reply('')}'",
        "RUNNING": f"'{keys.running('%s')}'",
        "SERIES": f"'{keys.SERIES}'",
        "SHARES": f"'{keys.shares('%s')}'",
        "UNREADY": f"'{keys.UNREADY}'",
        "VERSION": f"'{keys.VERSION}'",
        "VERSIONS": f"'{keys.VERSIONS}'",
        "WAKE": f"'{keys.WAKE}'",
    }
    return [f"local {name} = {value}\n" for name, value in constants.items()]


def _needed(definitions: Sequence[str], script: str) -> str:
    """Those of the definitions that the script uses, or that one of these uses, in their order: Redis runs the
    whole text each time, and all of it would take longer than most scripts do."""
    needed: list[str] = []
    words = set(_WORD.findall(script))
    for definition in reversed(definitions):  # each uses only what stands before it
        if _NAME.search(definition)[1] in words:  # type: ignore[index]
            needed.append(definition)
            words.update(_WORD.findall(definition))
    return "".join(reversed(needed))


def load() -> Mapping[str, Script]:
    """Every script by name, ready to be sent."""
    folder = resources.files("penstock") / "lua"
    definitions = [*_head(), *_FUNCTION.findall((folder / "_prelude.lua").read_text())]
    scripts = {}
    for entry in folder.iterdir():
        name = entry.name.removesuffix(".lua")
        if entry.name.endswith(".lua") and not name.startswith("_"):
            text = entry.read_text()
            source = _needed(definitions, text) + text
            # SHA-1 is the name that Redis itself gives a script.
            sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            scripts[name] = Script(name, source, sha)
    return scripts
