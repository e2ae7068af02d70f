"""What `penstock doctor` looks at: one file for each part, each gives findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    check: str
    verdict: Verdict
    """A problem keeps Penstock from working; a warning breaks a promise, or only some functions."""
    text: str
    advice: str = ""
    """What to do; empty where nothing needs to be done."""


def gib(count: int) -> str:
    """Bytes, for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
