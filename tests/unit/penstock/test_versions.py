"""Aliases and the versions that they stand for."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from penstock import versions
from penstock.versions import Alias


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"version": "prod"}, "number of a published version"),
        ({"version": "0"}, "number of a published version"),
        ({"version": "3", "weights": {"prod": 0.1}}, "'prod' is not the number of a version"),
        ({"version": "3", "weights": {"LATEST": 0.1}}, "'LATEST' is not the number of a version"),
        ({"version": "3", "weights": {"3": 0.1}}, "3 is the version itself"),
        ({"version": "3", "weights": {"4": 0.6, "5": 0.5}}, "they come to 1.1"),
        ({"version": "3", "weights": {"4": -0.1}}, "greater than or equal to 0"),
        ({"version": "3", "weights": {"4": float("nan")}}, "finite number"),
        ({"version": "3", "weight": {}}, "Extra inputs"),
        ({}, "Field required"),
    ],
)
def test_an_alias_that_cannot_be(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Alias.model_validate(fields)


def test_every_way_to_say_latest_is_one() -> None:
    assert Alias(version="$LATEST").version == "LATEST"
    assert [versions.qualifier(text) for text in (None, "", "LATEST", "$LATEST", "latest")] == [None] * 5
    assert versions.named("chat", "LATEST") == versions.named("chat", None) == "chat"
    assert versions.named("chat", "3") == "chat@3"
    assert versions.split("chat@prod") == ("chat", "prod")
    assert versions.split("chat@LATEST") == versions.split("chat") == ("chat", None)


def test_names_that_an_alias_may_have() -> None:
    for name in ("prod", "Blue-2", "_x", "2nd", "a" * 128):
        assert versions.is_alias(name), name
    for name in ("LATEST", "latest", "3", "03", "", "a b", "a@b", "a/b", "-x", "ü", "a" * 129):
        assert not versions.is_alias(name), name


def test_points_are_shared_out_by_weight_and_a_point_is_always_the_same_version() -> None:
    alias = Alias(version="3", weights={"10": 0.2, "4": 0.1})
    points = [(n + 0.5) / 1000 for n in range(1000)]
    assert Counter(map(alias.choose, points)) == {"3": 700, "10": 200, "4": 100}
    assert dict(alias.shares) == pytest.approx({"3": 0.7, "10": 0.2, "4": 0.1})
    more = Alias(version="3", weights={"4": 0.15, "10": 0.2})
    moved = sum(alias.choose(one) != more.choose(one) for one in points)
    assert moved <= 100, "a larger share takes from its neighbours alone"


def test_without_weights_everything_is_the_version_and_with_all_of_them_nothing() -> None:
    assert {Alias(version="3").choose(point) for point in (0.0, 0.5, 0.999999)} == {"3"}
    assert {Alias(version="3", weights={"4": 0}).choose(point) for point in (0.0, 0.5)} == {"3"}
    assert {Alias(version="3", weights={"4": 1}).choose(point) for point in (0.0, 0.999999)} == {"4"}


def test_keys_are_spread_evenly() -> None:
    points = [versions.point(f"key-{number}") for number in range(4000)]
    assert all(0 <= one < 1 for one in points)
    assert versions.point("key-1") == points[1]
    # 4,000 draws at a quarter: the mean 1,000, six standard deviations 164.
    assert abs(sum(one < 0.25 for one in points) - 1000) < 165
