"""The digits example reads 95 % or more of images it never saw, and says what is wrong with a bad request."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sklearn.datasets import load_digits

EXAMPLE = Path(__file__).parents[3] / "examples" / "digits"
BLANK = [[0] * 8 for _ in range(8)]


@pytest.fixture
def train(load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """train.py, with its files in a folder of the test's own: there may be a model in the real one."""
    module = load("digits", "train")
    monkeypatch.setattr(module, "MODEL_FILE", tmp_path / module.MODEL_FILE.name)
    monkeypatch.setattr(module, "HELD_OUT_FILE", tmp_path / module.HELD_OUT_FILE.name)
    return module


@pytest.fixture
def app(train: Any, load: Any) -> Any:
    return load("digits", "app")


def images(indexes: list[int]) -> list[list[list[float]]]:
    return load_digits().images[indexes].tolist()  # type: ignore[no-any-return]


def with_pixel(value: Any) -> list[list[Any]]:
    return [*BLANK[:2], [0, 0, 0, 0, 0, value, 0, 0], *BLANK[3:]]


def test_the_split_is_fixed_stratified_and_without_overlap(train: Any) -> None:
    trained_on, held_out = train.split()
    assert train.split() == (trained_on, held_out)
    assert sorted(trained_on + held_out) == list(range(1797))
    assert len(held_out) == 450
    # No image is there twice, so none of those held out has a copy among the others.
    assert len({image.tobytes() for image in load_digits().data}) == 1797

    labels = load_digits().target
    everywhere, here = Counter(labels.tolist()), Counter(labels[held_out].tolist())
    assert all(abs(here[digit] - everywhere[digit] / 4) <= 1 for digit in range(10))


def test_training_sees_no_held_out_image(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    make_pipeline = train.make_pipeline

    def watched(*steps: Any) -> Any:
        pipeline = make_pipeline(*steps)
        fit = pipeline.fit

        def watched_fit(data: Any, target: Any) -> Any:
            seen.extend(row.tobytes() for row in data)
            return fit(data, target)

        pipeline.fit = watched_fit
        return pipeline

    monkeypatch.setattr(train, "make_pipeline", watched)
    train.train()

    data = load_digits().data
    trained_on, held_out = train.split()
    assert seen == [data[index].tobytes() for index in trained_on]
    assert not set(seen) & {data[index].tobytes() for index in held_out}


def test_it_reads_95_percent_of_unseen_images(app: Any, train: Any, context: SimpleNamespace) -> None:
    _, held_out = train.split()
    answers = app.handler({"images": images(held_out)}, context)
    labels = load_digits().target[held_out].tolist()
    right = sum(answer["digit"] == label for answer, label in zip(answers, labels, strict=True))
    assert right / len(labels) >= 0.95

    # The probabilities say how often it is right: on average, and not by being sure of everything.
    sure = sum(max(answer["probabilities"]) for answer in answers) / len(answers)
    assert sure == pytest.approx(right / len(labels), abs=0.02)
    for answer in answers:
        probabilities = answer["probabilities"]
        assert len(probabilities) == 10
        assert sum(probabilities) == pytest.approx(1, abs=0.001)
        assert probabilities[answer["digit"]] == max(probabilities)
    json.dumps(answers, allow_nan=False)


def test_the_committed_listing_is_what_training_gives(train: Any) -> None:
    train.main()
    made = json.loads(train.HELD_OUT_FILE.read_text())
    committed = json.loads((EXAMPLE / "held_out.json").read_text())
    assert committed["indexes"] == made["indexes"] == train.split()[1]
    assert committed["images"] == made["images"] == len(made["indexes"])
    # Another processor may round otherwise and so read an image or two differently.
    assert committed["accuracy"] == pytest.approx(made["accuracy"], abs=0.01)
    assert committed["accuracy"] >= 0.95


def test_without_a_model_file_it_trains_in_memory(
    app: Any, train: Any, context: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    app.initialize(context)
    assert f"trained: no {train.MODEL_FILE.name} here" in caplog.text
    assert list(train.MODEL_FILE.parent.iterdir()) == []


def test_a_model_file_is_loaded_and_answers_alike(
    app: Any, train: Any, context: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    event = {"images": images(train.split()[1][:20])}
    trained = app.handler(event, context)

    train.main()
    app.classifier.cache_clear()
    app.train = lambda: pytest.fail("trained although there is a model file")
    app.initialize(context)
    assert f"loaded from {train.MODEL_FILE.name}" in caplog.text
    assert app.handler(event, context) == trained


def test_the_classifier_is_made_once(app: Any, context: SimpleNamespace) -> None:
    app.initialize(context)
    made = app.classifier()
    app.handler({"pixels": BLANK}, context)
    assert app.classifier() is made


def test_one_image_and_many_get_the_same_answers(app: Any, context: SimpleNamespace) -> None:
    several = images([0, 1, 2])
    one_by_one = [app.handler({"pixels": one}, context) for one in several]
    assert app.handler({"images": several}, context) == one_by_one


def test_the_request_of_the_readme(app: Any, context: SimpleNamespace) -> None:
    answer = app.handler(json.loads((EXAMPLE / "two.json").read_text()), context)
    assert answer["digit"] == 2
    assert answer["probabilities"][2] > 0.9


@pytest.mark.parametrize(
    "event",
    [
        None,
        "two",
        BLANK,
        {},
        {"pixel": BLANK},
        {"pixels": BLANK, "scale": 255},
        {"pixels": BLANK, "images": [BLANK]},
        {"images": []},
        {"images": "all"},
        {"images": {"0": BLANK}},
    ],
)
def test_another_request_is_told_what_to_send(app: Any, context: SimpleNamespace, event: Any) -> None:
    with pytest.raises(ValueError, match=r'send \{"pixels": .*8 rows of 8 numbers from 0 to 16'):
        app.handler(event, context)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "pixels must be a list of 8 rows, got None"),
        ("x" * 1000, f"pixels must be a list of 8 rows, got '{'x' * 39}..."),
        ([], "pixels must be a list of 8 rows, got a list of 0"),
        ([0] * 64, "pixels must be a list of 8 rows, got a list of 64"),
        (BLANK[:7], "pixels must be a list of 8 rows, got a list of 7"),
        ([*BLANK[:3], [0] * 9, *BLANK[4:]], "pixels, row 3 must be a list of 8 numbers, got a list of 9"),
        ([*BLANK[:7], None], "pixels, row 7 must be a list of 8 numbers, got None"),
        (with_pixel(17), "pixels, row 2, column 5 must be a number from 0 to 16, got 17"),
        (with_pixel(-0.5), "pixels, row 2, column 5 must be a number from 0 to 16, got -0.5"),
        (with_pixel("9"), "pixels, row 2, column 5 must be a number from 0 to 16, got '9'"),
        (with_pixel(True), "pixels, row 2, column 5 must be a number from 0 to 16, got True"),
        (with_pixel(None), "pixels, row 2, column 5 must be a number from 0 to 16, got None"),
        (with_pixel([1]), "pixels, row 2, column 5 must be a number from 0 to 16, got a list of 1"),
        (with_pixel(math.nan), "pixels, row 2, column 5 must be a number from 0 to 16, got nan"),
        (with_pixel(math.inf), "pixels, row 2, column 5 must be a number from 0 to 16, got inf"),
    ],
)
def test_a_bad_image_is_told_why(app: Any, context: SimpleNamespace, image: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        app.handler({"pixels": image}, context)
    assert str(raised.value) == message
    with pytest.raises(ValueError) as raised:
        app.handler({"images": [BLANK, image]}, context)
    assert str(raised.value) == message.replace("pixels", "images[1]", 1)
