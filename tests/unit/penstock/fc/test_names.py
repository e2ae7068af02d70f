"""Vendors' names as names of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigurationError
from penstock.fc.names import assign, native, original
from penstock.function import NAME
from tests.unit.penstock.fc.files import FC, read


@given(st.text())
def test_every_text_has_a_name_of_ours(text: str) -> None:
    assert NAME.fullmatch(native(text))


def test_names() -> None:
    assert native("Sentiment_Model-2") == "sentiment_model-2"
    assert native("__main__") == "main__"
    assert native("ok") == "ok"
    long = "Long" * 30
    assert native(long) != native(long + "er"), "what is cut keeps names apart"
    assert (original("S", "F"), original(None, "F")) == ("S/F", "F")


def test_a_name_that_several_services_have() -> None:
    found = assign([("a", "Index"), ("b", "index"), ("b", "other"), (None, "alone")])
    assert found == {
        ("a", "Index"): "a-index",
        ("b", "index"): "b-index",
        ("b", "other"): "other",
        (None, "alone"): "alone",
    }


def test_names_that_come_to_the_same_are_refused(tmp_path: Path) -> None:
    block = FC[FC.index("  best-practice:") :]
    other = block.replace("  best-practice:", "  again:", 1).replace(
        "name: text-detection", "name: Text-Detection"
    )
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, FC + other)
    assert str(caught.value) == (
        f"{tmp_path}/s.yaml:48: services.again.props.function: best-practice-service/Text-Detection and "
        f"best-practice-service/text-detection would both be called best-practice-service-text-detection here: "
        f"rename one"
    )
