"""Functions that are told how the async jobs of another end, by the names that an s.yaml has for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.fc.names import native
from penstock.fc.schema import Async

_ARN = re.compile(
    r"acs:fc:[^:]*:[^:]*:(?:services/(?P<service>[^/.]+)(?:\.[^/]*)?/)?functions/(?P<function>[^/]+)(?:/[^/]*)?"
)


@dataclass(frozen=True)
class Named:
    """A function as the vendor calls it."""

    service: str | None
    """None: it is not said."""
    function: str

    def here(self, assigned: Mapping[tuple[str | None, str], str]) -> str:
        """Its name here. `assigned`: those of the functions in the same file."""
        same = {name for (_, function), name in assigned.items() if function == self.function}
        found = assigned.get((self.service, self.function))
        return found or (same.pop() if len(same) == 1 else native(self.function))


def parse(arn: str) -> Named | None:
    """None: it is no function's."""
    match = _ARN.fullmatch(arn)
    return Named(match["service"], match["function"]) if match else None


def functions(given: Async | None) -> dict[str, Named]:
    """By the field of a spec's callbacks."""
    told = given.destinations if given is not None else None
    found = {}
    for field in ("on_success", "on_failure"):
        one = getattr(told, field) if told is not None else None
        named = parse(one.destination) if one is not None and one.destination else None
        if named is not None:
            found[field] = named
    return found
