"""Which functions have a name of their own in metrics: the active ones, up to a number. Pure.

Whoever looks at metrics pays for each series, so that a function that nobody calls has none, and what is beyond
the number shares one name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

OTHER = "other"


class Names:
    def __init__(self, most: int, *, idle: float) -> None:
        """`most` have a name of their own, until they were idle for so many seconds."""
        self._most = most
        self._idle = idle
        self._seen: dict[str, float] = {}
        """When each that has one was last active; monotonic."""

    def of(self, function: str, now: float) -> str:
        """What it is called; it is active now."""
        if function not in self._seen and len(self._seen) >= self._most:
            return OTHER
        self._seen[function] = now
        return function

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def __contains__(self, function: str) -> bool:
        return function in self._seen

    def forget_idle(self, now: float) -> set[str]:
        """Those that have lost their name now."""
        idle = {function for function, seen in self._seen.items() if now - seen > self._idle}
        for function in idle:
            del self._seen[function]
        return idle

    def forget(self, functions: Collection[str]) -> set[str]:
        """They are not there any more. Returns those of them that had a name."""
        return {function for function in functions if self._seen.pop(function, None) is not None}
