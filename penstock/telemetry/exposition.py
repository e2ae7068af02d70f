"""The text format of Prometheus (0.0.4): written, and several joined into one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from penstock.telemetry.metrics import Family, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def lines(family: Family, more: str = "") -> Iterator[str]:
    """One family; `more` are labels that each of its series has beside its own, as `pair` writes them."""
    metric = family.metric
    name = metric.prometheus
    yield f"# HELP {name} {metric.question}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, value in family.series.items():
        pairs = ",".join(filter(None, [more, *map(pair, metric.labels, labels)]))
        if isinstance(value, Histogram):
            yield from _histogram(name, pairs, value)
        else:
            yield f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def pair(name: str, value: str) -> str:
    """A label with its value."""
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{escaped}"'


def _histogram(name: str, pairs: str, histogram: Histogram) -> Iterator[str]:
    before = f"{name}_bucket{{{pairs}," if pairs else f"{name}_bucket{{"
    after = f"{{{pairs}}}" if pairs else ""
    seen = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        seen += count
        yield f'{before}le="{bound:g}"}} {seen}'
    seen += histogram.counts[-1]
    yield f'{before}le="+Inf"}} {seen}'
    yield f"{name}_sum{after} {_number(histogram.sum)}"
    yield f"{name}_count{after} {seen}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def join(texts: Iterable[str]) -> str:
    """Several expositions, which have no series in common, as one: no family stands there twice."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for text in texts:
        for head, samples in _families(text).values():
            kept = families.setdefault(head[0].split(" ", 3)[2], (head, []))
            kept[1].extend(samples)
    ordered = (families[name] for name in sorted(families))
    return "".join(f"{line}\n" for head, samples in ordered for line in (*head, *samples))


def _families(text: str) -> Mapping[str, tuple[list[str], list[str]]]:
    """Their heads (HELP and TYPE) and samples, by name; each family stands together, as `lines` writes it."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    current: tuple[list[str], list[str]] = ([], [])
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = found.setdefault(line.split(" ", 3)[2], ([], []))
        if line:
            current[line[0] != "#"].append(line)
    return found
