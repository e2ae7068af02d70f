"""What a process counts, and how it is read: bound counters and histograms, and gauges that are asked for when
somebody looks.

The SDK's own synchronous instruments are not used on the way of a call: each record looks its attributes up (7 us
here, against 0.3), a series once made is never forgotten, and beyond 2,000 attribute sets of an instrument it
lumps everything together. What is exported is the SDK's data model (`otlp.py`). Everything here belongs to one
thread, that of the event loop.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.errors import PenstockError
from penstock.telemetry.catalogue import Metric

Labels = tuple[str, ...]


class Counter:
    """One series that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        self.value += amount


class Histogram:
    """One distribution."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, not cumulative; the last has what is beyond all bounds."""
        self.sum = 0.0

    def record(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class _DeafCounter(Counter):
    """Where nothing is counted."""

    __slots__ = ()

    def add(self, amount: float = 1) -> None:
        pass


class _DeafHistogram(Histogram):
    __slots__ = ()

    def record(self, value: float) -> None:
        pass


_DEAF_COUNTER, _DEAF_HISTOGRAM = _DeafCounter(), _DeafHistogram(())


@dataclass(frozen=True)
class Gauge:
    """What somebody found when asked."""

    metric: Metric
    labels: Labels
    value: float


@dataclass
class Family:
    """All series of one metric at one moment."""

    metric: Metric
    series: dict[Labels, float | Histogram] = field(default_factory=dict)


Ask = Callable[[], Awaitable[Iterable[Gauge]]]


class Metrics:
    """Of one process."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._counters: dict[Metric, dict[Labels, Counter]] = {}
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {}
        self._asked: list[Ask] = []

    def counter(self, metric: Metric, *labels: str) -> Counter:
        """The series with these labels, to be kept by whoever counts."""
        if not self.enabled:
            return _DEAF_COUNTER
        series = self._counters.setdefault(metric, {})
        return series.get(labels) or series.setdefault(labels, Counter())

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        if not self.enabled:
            return _DEAF_HISTOGRAM
        series = self._histograms.setdefault(metric, {})
        return series.get(labels) or series.setdefault(labels, Histogram(metric.bounds))

    def forget(self, label: str, values: Collection[str]) -> None:
        """Drops every series with such a label: whoever still holds one counts for nobody."""
        for families in (self._counters, self._histograms):
            for metric, series in families.items():
                if label in metric.labels:
                    place = metric.labels.index(label)
                    for labels in [one for one in series if one[place] in values]:
                        del series[labels]

    def ask(self, gauges: Ask) -> Callable[[], None]:
        """Has `gauges` asked whenever somebody looks; it may raise PenstockError. Returns what ends that."""
        self._asked.append(gauges)
        return lambda: self._asked.remove(gauges)

    async def read(self) -> list[Family]:
        """All that there is to tell, ordered by name. What cannot be asked now is not told."""
        asked: list[Gauge] = []
        for ask in list(self._asked):
            with contextlib.suppress(PenstockError):
                asked += await ask()
        families: dict[Metric, Family] = {}
        for counted in (self._counters, self._histograms):
            for metric, series in counted.items():
                family = families.setdefault(metric, Family(metric))
                family.series |= _values(series)
        for gauge in asked:
            families.setdefault(gauge.metric, Family(gauge.metric)).series[gauge.labels] = (
                gauge.value + 0
            )  # no bool
        return sorted((one for one in families.values() if one.series), key=lambda one: one.metric.prometheus)


def _values(series: Mapping[Labels, Counter] | Mapping[Labels, Histogram]) -> dict[Labels, float | Histogram]:
    return {labels: one.value if isinstance(one, Counter) else one for labels, one in series.items()}
