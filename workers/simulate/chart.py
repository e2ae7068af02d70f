"""Draws instances and queue over time as SVG, one row for each policy. The scales are shared: rows compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from penstock.errors import ConfigurationError
from workers.simulate.report import Replay
from workers.simulate.world import Sample

_WIDTH, _HEIGHT = 470, 130
"""Of one plot."""
_LEFT, _TOP, _GAP, _ROW = 64, 84, 84, 196
_READY, _STARTING, _QUEUE = "#2b6cb0", "#f0a63c", "#b83280"
_TEXT = 'font-family="system-ui, sans-serif" fill="#2d3748"'


@dataclass(frozen=True, kw_only=True)
class _Plot:
    """Where a plot is, and what its edges stand for."""

    left: float
    top: float
    seconds: float
    most: float
    """Value at the upper edge."""

    def x(self, at: float) -> float:
        return self.left + _WIDTH * min(at / self.seconds, 1.0)

    def y(self, value: float) -> float:
        return self.top + _HEIGHT * (1 - value / self.most)


def check(path: Path) -> None:
    """Raises ConfigurationError for a file that no chart can be written to."""
    if path.suffix.lower() != ".svg":
        raise ConfigurationError(f"--chart {path}: only SVG is drawn; name it {path.with_suffix('.svg')}")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--chart {path}: there is no folder {path.parent}")


def draw(title: str, replays: Sequence[Replay]) -> str:
    """The whole picture as text."""
    samples = [sample for replay in replays for sample in replay.samples]
    seconds = max((sample.at for sample in samples), default=1.0) or 1.0
    instances = _ceiling(max((sample.ready + sample.starting for sample in samples), default=1))
    queue = _ceiling(max((sample.queued for sample in samples), default=1))
    width, height = _LEFT + 2 * _WIDTH + _GAP + 28, _TOP + _ROW * len(replays)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 28, title, size=17, bold=True),
        *_legend(),
    ]
    for number, replay in enumerate(replays):
        top = _TOP + number * _ROW
        left_plot = _Plot(left=_LEFT, top=top, seconds=seconds, most=instances)
        right_plot = _Plot(left=_LEFT + _WIDTH + _GAP, top=top, seconds=seconds, most=queue)
        parts += _row(replay, left_plot, right_plot)
    return "\n".join([*parts, "</svg>", ""])


def _row(replay: Replay, left: _Plot, right: _Plot) -> list[str]:
    thinned = _thin(replay.samples)
    return [
        _text(left.left, left.top - 8, replay.result.policy, size=13, bold=True),
        *_axes(left, "instances"),
        _area(left, thinned, lambda one: one.ready + one.starting, _STARTING),
        _area(left, thinned, lambda one: one.ready, _READY),
        *_axes(right, "queue (requests)"),
        _area(right, thinned, lambda one: one.queued, _QUEUE),
    ]


def _legend() -> list[str]:
    parts, left = [], float(_LEFT)
    for colour, label in (
        (_READY, "instances that serve"),
        (_STARTING, "instances that start"),
        (_QUEUE, "requests queued"),
    ):
        parts.append(f'<rect x="{left:g}" y="42" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(left + 18, 52, label, size=12))
        left += 40 + 7 * len(label)
    return parts


def _axes(plot: _Plot, label: str) -> list[str]:
    bottom, right = plot.top + _HEIGHT, plot.left + _WIDTH
    parts = []
    for value in _ticks(plot.most):
        y = plot.y(value)
        parts.append(f'<path d="M{plot.left:g} {y:.1f}H{right:g}" stroke="#e2e8f0"/>')
        parts.append(_text(plot.left - 6, y + 4, f"{value:g}", size=11, anchor="end"))
    unit, name = (60.0, "minutes") if plot.seconds < 3 * 3600 else (3600.0, "hours")
    for value in _ticks(plot.seconds / unit):
        x = plot.x(value * unit)
        parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#718096"/>')
        parts.append(_text(x, bottom + 16, f"{value:g}", size=11, anchor="middle"))
    parts.append(f'<path d="M{plot.left:g} {plot.top}V{bottom}H{right:g}" fill="none" stroke="#718096"/>')
    parts.append(_text(right, bottom + 30, name, size=11, anchor="end"))
    middle = plot.top + _HEIGHT / 2
    turned = f'transform="rotate(-90 {plot.left - 44:g} {middle:g})" '
    parts.append(_text(plot.left - 44, middle, label, size=11, anchor="middle", more=turned))
    return parts


def _area(plot: _Plot, samples: Sequence[Sample], value: Callable[[Sample], int], colour: str) -> str:
    """Steps: a value holds until the next sample."""
    if not samples:
        return ""
    steps = "".join(f"H{plot.x(sample.at):.1f}V{plot.y(value(sample)):.1f}" for sample in samples)
    bottom = f"{plot.y(0):.1f}"
    return f'<path d="M{plot.x(samples[0].at):.1f} {bottom}{steps}V{bottom}Z" fill="{colour}"/>'


def _thin(samples: Sequence[Sample]) -> list[Sample]:
    """About two for each pixel, each with the most of what it stands for, so that no peak is lost."""
    step = max(len(samples) // (2 * _WIDTH), 1)
    groups = [samples[first : first + step] for first in range(0, len(samples), step)]
    return [
        Sample(
            group[0].at,
            max(one.ready for one in group),
            max(one.ready + one.starting for one in group) - max(one.ready for one in group),
            max(one.queued for one in group),
        )
        for group in groups
    ]


def _ceiling(value: float) -> float:
    """The tick at or above it."""
    step = _step(max(value, 1))
    return step * ceil(max(value, 1) / step)


def _step(most: float) -> float:
    """Of 1, 2 or 5 times a power of ten, the one that gives about five ticks."""
    rough = most / 5
    power = 10 ** floor(log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    return float(max(step, 1))


def _ticks(most: float) -> list[float]:
    step = _step(most)
    return [step * number for number in range(ceil((most + 1e-9) / step) + 1) if step * number <= most + 1e-9]


def _text(
    x: float, y: float, text: str, *, size: int, bold: bool = False, anchor: str = "start", more: str = ""
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" {more}{_TEXT} font-size="{size}"{weight} text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
