"""The picture: it parses, has a row for each policy, its scales hold what is drawn, and only SVG is drawn."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from penstock.errors import ConfigurationError
from tests.unit.workers.simulate.traffic import workload
from workers.simulate import cases
from workers.simulate.chart import check, draw
from workers.simulate.policies.penstock import Penstock
from workers.simulate.report import replay


def test_each_policy_has_a_row_with_labelled_axes() -> None:
    traffic = cases.build("B", length=300.0)
    picture = draw("B & more", [replay(traffic, Penstock(name)) for name in ("one", "<two>")])
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("B & more", "one", "<two>", "instances that serve", "requests queued"):
        assert text in texts
    assert texts.count("minutes") == 4
    assert texts.count("queue (requests)") == 2


def test_nothing_is_drawn_outside() -> None:
    picture = draw("B", [replay(cases.build("B", length=300.0), Penstock())])
    height = float(re.findall(r'height="(\d+)"', picture)[0])
    areas = re.findall(r'<path d="(M[^"]+Z)"', picture)
    assert len(areas) == 3
    for area in areas:
        assert all(84 <= float(y) <= height for y in re.findall(r"V([\d.]+)", area))
        assert all(0 <= float(x) <= 1116 for x in re.findall(r"H([\d.]+)", area))


def test_a_peak_of_one_second_is_seen() -> None:
    times = [float(second) for second in range(0, 7_200, 600)]
    quiet = draw("x", [replay(workload(*times), Penstock())])
    busy = draw("x", [replay(workload(*times, *[3_000.5] * 50, duration=0.001), Penstock())])
    assert quiet != busy


def test_an_empty_trace_can_be_drawn() -> None:
    ElementTree.fromstring(draw("nothing", [replay(workload(), Penstock())]))


def test_other_formats_are_refused_with_the_name_to_use(tmp_path: Path) -> None:
    check(tmp_path / "a.svg")
    with pytest.raises(ConfigurationError, match=r"only SVG is drawn; name it .*a\.svg"):
        check(tmp_path / "a.png")
    with pytest.raises(ConfigurationError, match="there is no folder"):
        check(tmp_path / "nowhere" / "a.svg")
