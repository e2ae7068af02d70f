"""examples/embed: a real transformer behind the gateway, its vectors held against published figures."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import embedding
from tests.e2e.embedding import SENTENCES, SIMILARITIES
from tests.e2e.harness import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

ENCODERS = {"torch": 1e-4, "onnx": 1e-4, "onnx-int8": 0.015}
"""How far a similarity may be off: published ones have four places, and 8 bits say less than 32."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    with Stack("process") as stack:
        embedding.keep_environments(stack)
        stack.start()
        specs = {encoder: embedding.spec(encoder, models) for encoder in ENCODERS}
        specs["torch"]["preload"] = ["sentence_transformers"]
        embedding.deploy(stack, {"torch": specs["torch"]})
        embedding.export(embedding.interpreter(stack), models)
        embedding.deploy(stack, specs)
        yield stack


def vectors(stack: Stack, encoder: str, *texts: str) -> list[list[float]]:
    reply = stack.call(encoder, {"texts": list(texts)}, timeout=120)
    assert reply.status_code == 200, reply.text
    found: list[list[float]] = reply.json()["vectors"]
    return found


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_similarities_are_the_published_ones(stack: Stack, encoder: str) -> None:
    found = vectors(stack, encoder, *SENTENCES)
    assert {len(vector) for vector in found} == {384}
    assert [dot(vector, vector) for vector in found] == pytest.approx([1.0] * 3, abs=1e-5)
    for (one, other), published in SIMILARITIES.items():
        assert dot(found[one], found[other]) == pytest.approx(published, abs=ENCODERS[encoder])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_long_text_counts_as_far_as_the_model_reads(stack: Stack, encoder: str) -> None:
    long = "The weather is lovely today. " * 300
    one, other = vectors(stack, encoder, long, long + "He drove to the stadium.")
    assert dot(one, other) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_calls_that_come_together_are_answered_as_if_alone(stack: Stack, encoder: str) -> None:
    texts = [f"{sentence} {n}" for n in range(8) for sentence in SENTENCES]
    alone = vectors(stack, encoder, *texts[:4])

    def ask(text: str) -> Any:
        return stack_call(stack, encoder, text)

    with ThreadPoolExecutor(24) as clients:
        together = list(clients.map(ask, texts))
    for one, other in zip(alone, together[:4], strict=True):
        # Padding to another length changes the last digits; with 8 bits, scales follow what is in a batch.
        assert dot(one, other) == pytest.approx(1.0, abs=1e-5 if encoder != "onnx-int8" else 0.02)


def stack_call(stack: Stack, encoder: str, text: str) -> list[float]:
    import requests  # a session is not for several threads

    reply = requests.post(stack.path(encoder), json={"text": text}, timeout=60)
    assert reply.status_code == 200, reply.text
    vector: list[float] = reply.json()["vector"]
    return vector


def test_models_that_were_not_exported_are_told(stack: Stack, tmp_path: Path) -> None:
    embedding.deploy(stack, {"nowhere": embedding.spec("onnx", tmp_path, retry={"attempts": 1})})
    reply = stack.call("nowhere", {"text": "a"}, timeout=120)
    assert reply.status_code == 503, reply.text
    assert f"no model.onnx in {tmp_path}: make it with `python export.py`, or set MODEL_DIR" in reply.text
