"""The next release, as far as this one has to get on with it.

Its processes are ours, but of the next schema; their scripts have another text, and so another name in Redis; and
all that they write down says more than this release knows.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from penstock.cli import main
from penstock.function import Function
from penstock.store import connection, pools, records, schema, scripts
from penstock.store.connection import Connection
from penstock.store.migrations import Step

_NEWS = {"of_tomorrow": {"more": 1}}


async def _nothing(connection: Connection) -> Any:
    await connection.command("SET", "ps:of-tomorrow", "1")
    yield


def run() -> None:
    """The command line of the next release."""
    step = Step(schema=2, compatible_from=1, what="what an older release can live with", apply=_nothing)
    schema.Schema.__init__.__kwdefaults__ |= {"mine": 2, "steps": (step,)}

    write, dump, load, decision = records._dump, Function.dump, scripts.load, pools._decision
    records._dump = lambda value: write(_more(value))
    pools._decision = lambda view: decision(view) | _NEWS
    Function.dump = lambda self: json.dumps(_more(json.loads(dump(self))))  # type: ignore[method-assign]
    connection.scripts.load = lambda: {name: _reworded(script) for name, script in load().items()}
    main()


def _more(value: Any) -> Any:
    """A field more in every object, also in those inside; headers and env are the user's own."""
    if not isinstance(value, dict):
        return value
    whole = {name: part if name in ("env", "timeline") else _more(part) for name, part in value.items()}
    return whole | _NEWS


def _reworded(script: scripts.Script) -> scripts.Script:
    source = f"-- of tomorrow\n{script.source}"
    return scripts.Script(script.name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
