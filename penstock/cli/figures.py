"""Figures of a bill as text. Pure.

Shares are cut off, never rounded up: nobody is promised more than there is, and so Function Compute's own examples
print theirs.
"""

from __future__ import annotations

from math import floor, log10

_STEPS = (99.9, 99.0, *range(90, 0, -10))
"""What one says of a saving in percent: more than that."""
_NOISE = 1e-9
"""Of binary fractions: 57 % is kept as 56.99999999999999."""


def money(amount: float) -> str:
    """To the hundredth; below 1, to three digits that tell something."""
    size = abs(amount)
    if size < 0.5e-6:
        return "0"
    text = f"{amount:,.{2 if size >= 1 else 2 - floor(log10(size))}f}"
    return text.rstrip("0").rstrip(".")


def part(share: float | None) -> str:
    """Percent, cut off after two digits that tell something."""
    if share is None:
        return "-"
    percent = abs(share) * 100
    if percent < _NOISE:
        return "0 %"
    digits = max(1 - floor(log10(percent)), 0)
    cut = floor(percent * 10**digits + _NOISE) / 10**digits
    text = f"{cut:.{digits}f}"
    return f"{'-' if share < 0 else ''}{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def saving(share: float) -> str:
    """What follows the money that is saved; nothing where it is little, or none."""
    step = next((step for step in _STEPS if share * 100 > step), None)
    return "" if step is None else f", more than {step:g} %"


def compact(number: float) -> str:
    """To the hundredth, without what says nothing."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")


def spent(seconds: float) -> str:
    return f"{compact(seconds)} s"
