"""The embed example answers each event of a batch for itself. Its models take minutes to install: they are looked
at in tests/e2e/test_e2e_embed.py; here vectors come from a stand-in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from penstock.function import FunctionSpec

EXAMPLE = Path(__file__).parents[3] / "examples" / "embed"


class Lengths:
    """A stand-in: a text's vector is its length. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return np.array([[len(text), 1 / 3] for text in texts], np.float32)


@pytest.fixture
def lengths() -> Lengths:
    return Lengths()


@pytest.fixture
def app(load: Any, lengths: Lengths, monkeypatch: pytest.MonkeyPatch) -> Any:
    app = load("embed", "app")
    monkeypatch.setitem(app.ENCODERS, "torch", lambda: lengths)
    return app


def only(app: Any, event: Any) -> Any:
    (answer,) = app.handler([event], [None])
    return answer


def test_its_spec_is_valid_and_gives_the_handler_lists() -> None:
    spec = FunctionSpec.model_validate(
        yaml.safe_load((EXAMPLE / "penstock.yaml").read_text())["functions"]["embed"]
    )
    assert spec.batch is not None
    assert (spec.event, spec.handler, spec.scaling.min, spec.slots) == ("json", "app:handler", 0, 32)


def test_one_text_and_several(app: Any) -> None:
    assert only(app, {"text": "four"}) == {"vector": [4.0, 0.3333333]}
    assert only(app, {"texts": ["one", "three"]}) == {"vectors": [[3.0, 0.3333333], [5.0, 0.3333333]]}
    json.dumps(only(app, {"text": "four"}), allow_nan=False)


def test_a_batch_is_computed_at_once_and_each_gets_its_own(app: Any, lengths: Lengths) -> None:
    events = [{"text": "a"}, {"texts": ["bb", "ccc"]}, {"wrong": 1}, {"text": "dddd"}]
    first, second, third, fourth = app.handler(events, [None] * 4)
    assert lengths.asked == [["a", "bb", "ccc", "dddd"]]
    assert first["vector"][0] == 1
    assert [vector[0] for vector in second["vectors"]] == [2, 3]
    assert isinstance(third, ValueError)
    assert fourth["vector"][0] == 4


def test_a_batch_of_nothing_but_errors_computes_nothing(app: Any, lengths: Lengths) -> None:
    assert isinstance(only(app, {"text": ""}), ValueError)
    assert lengths.asked == []


@pytest.mark.parametrize(
    "event", [None, "text", [], {}, {"texts": []}, {"text": "a", "texts": ["b"]}, {"texts": "a"}]
)
def test_another_request_is_told_what_to_send(app: Any, event: Any) -> None:
    assert str(only(app, event)) == 'send {"text": "..."} with one text or {"texts": [...]} with at least one'


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"text": 7}, "text 0 must be 1 to 20,000 characters of text, got int"),
        ({"text": ["a"]}, "text 0 must be 1 to 20,000 characters of text, got list"),
        ({"texts": ["a", ""]}, "text 1 must be 1 to 20,000 characters of text, got 0 characters"),
        ({"texts": ["a" * 20_001]}, "text 0 must be 1 to 20,000 characters of text, got 20,001 characters"),
        ({"texts": ["a"] * 257}, "257 texts, 256 are allowed in one call; send several"),
    ],
)
def test_a_bad_text_is_told_why(app: Any, event: Any, message: str) -> None:
    assert str(only(app, event)) == message


def test_initialize_loads_the_model_and_calls_do_not_again(
    app: Any, context: SimpleNamespace, lengths: Lengths
) -> None:
    app.initialize(context)
    assert lengths.asked == [["warm up"]]
    only(app, {"text": "a"})
    assert app.encoder.cache_info().misses == 1


def test_an_encoder_that_there_is_not_is_told(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODER", "gguf")
    with pytest.raises(ValueError, match="ENCODER is 'gguf'; set it to one of torch, onnx, onnx-int8"):
        app.encoder()
