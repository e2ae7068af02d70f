"""Which processes may work on which data: the rule of upgrades. Pure.

What Redis holds has a number, its *schema*, and says from which one on a process can work on it (compatible_from).
A change that older processes can live with (a new key, a new field, which they leave alone) raises neither or only
the first; one that they cannot raises both. So a process and data fit together if

- the data is of the process's own schema, or
- it is newer, and compatible from the process's schema on: a rolling upgrade has begun, or
- it is older: the process migrates it first (penstock/store/migrations.py).

docs/upgrades.md says what that means for whoever upgrades, and for whoever changes what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SCHEMA = 1
"""What this code writes. 1 is also what data without a version is of: it was written before there was one."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """What Redis says of its data."""

    schema: int
    compatible_from: int
    """The oldest schema whose processes can work on it."""
    written_by: str = ""
    """The release of Penstock that made it so; empty: nobody knows."""


UNVERSIONED = Version(schema=1, compatible_from=1)
"""Of data from before there was a version, and of no data at all."""


class Verdict(StrEnum):
    RUN = "run"
    STAMP = "stamp"
    """There is no version yet: it is written down, and then the process runs."""
    MIGRATE = "migrate"
    REFUSE = "refuse"


def verdict(found: Version | None, *, mine: int = SCHEMA, empty: bool = False) -> Verdict:
    """What a process of schema `mine` is to do. `found` None: the data has no version; `empty`: there is none."""
    if found is None and empty:
        return Verdict.STAMP
    at = found or UNVERSIONED
    if at.compatible_from > mine:
        return Verdict.REFUSE
    if at.schema < mine:
        return Verdict.MIGRATE
    return Verdict.STAMP if found is None else Verdict.RUN
