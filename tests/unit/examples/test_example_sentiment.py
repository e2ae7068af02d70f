"""The sentiment example gives VADER's own figures, labels them by VADER's thresholds and refuses the rest."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# Sentences with the figures (positive, neutral, negative, compound) that VADER's README states for them.
PUBLISHED = [
    ("VADER is smart, handsome, and funny.", 0.746, 0.254, 0.0, 0.8316),
    ("VADER is VERY SMART, handsome, and FUNNY!!!", 0.767, 0.233, 0.0, 0.9342),
    ("VADER is not smart, handsome, nor funny.", 0.0, 0.354, 0.646, -0.7424),
    ("The book was good.", 0.492, 0.508, 0.0, 0.4404),
    ("VADER is very smart, handsome, and funny.", 0.701, 0.299, 0.0, 0.8545),
    ("Today SUX!", 0.0, 0.221, 0.779, -0.5461),
    ("Today only kinda sux! But I'll get by, lol", 0.317, 0.556, 0.127, 0.5249),
    ("Make sure you :) or :D today!", 0.706, 0.294, 0.0, 0.8633),
    ("Not bad at all", 0.487, 0.513, 0.0, 0.431),
]


@pytest.fixture
def app(load: Any) -> Any:
    return load("sentiment", "app")


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published[0])
def test_figures_are_those_of_vaders_readme(app: Any, context: SimpleNamespace, published: Any) -> None:
    text, positive, neutral, negative, compound = published
    (item,) = app.handler(text.encode(), context)
    key = "positive" if compound > 0 else "negative"
    assert item == {
        "text": text,
        "sentiment_label": {"negative": 0, "positive": 2}[key],
        "sentiment_key": key,
        "compound": compound,
        "positive": positive,
        "neutral": neutral,
        "negative": negative,
    }


def test_figures_are_those_of_the_package(app: Any, context: SimpleNamespace) -> None:
    texts = ["Nice to meet you", "Sent with 💘", "The table is made of wood.", "..."]
    texts += [published[0] for published in PUBLISHED]
    own = SentimentIntensityAnalyzer()
    items = app.handler("\n".join(texts).encode(), context)
    assert [item["text"] for item in items] == texts
    for item in items:
        scores = own.polarity_scores(item["text"])
        given = {"pos": item["positive"], "neu": item["neutral"], "neg": item["negative"]}
        assert {**given, "compound": item["compound"]} == scores
    json.dumps(items, allow_nan=False)


def test_the_sentence_of_the_readme(app: Any, context: SimpleNamespace) -> None:
    app.initialize(context)
    assert app.handler(b"Nice to meet you", context) == [
        {
            "text": "Nice to meet you",
            "sentiment_label": 2,
            "sentiment_key": "positive",
            "compound": 0.4215,
            "positive": 0.483,
            "neutral": 0.517,
            "negative": 0.0,
        }
    ]


@pytest.mark.parametrize(
    ("compound", "label"),
    [(-1.0, 0), (-0.05, 0), (-0.0499, 1), (0.0, 1), (0.0499, 1), (0.05, 2), (1.0, 2)],
)
def test_thresholds_belong_to_the_sides(app: Any, compound: float, label: int) -> None:
    assert app.label_of(compound) == label


def test_a_line_is_an_item_and_blank_lines_are_none(app: Any, context: SimpleNamespace) -> None:
    body = "\ufeffGreat!\r\n\r\n  Awful.  \n \t\nThe table\u2028is made of wood.\n"
    items = app.handler(body.encode(), context)
    assert [(item["text"], item["sentiment_key"]) for item in items] == [
        ("Great!", "positive"),
        ("Awful.", "negative"),
        ("The table\u2028is made of wood.", "neutral"),
    ]


def test_initialize_reads_the_lexicon_and_calls_do_not_again(app: Any, context: SimpleNamespace) -> None:
    app.initialize(context)
    assert app.analyser.cache_info().misses == 1
    app.handler(b"Good\nBad", context)
    assert app.analyser.cache_info().misses == 1


@pytest.mark.parametrize("body", [b"", b" \r\n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_told_what_to_send(app: Any, context: SimpleNamespace, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty; send text, one sentence per line"):
        app.handler(body, context)


@pytest.mark.parametrize("body", [b"Sch\xf6n", b"\xff\xfeH\x00i\x00", b"\x89PNG\r\n"])
def test_a_body_that_is_no_utf8_is_told_what_to_send(app: Any, context: SimpleNamespace, body: bytes) -> None:
    # A UnicodeDecodeError is a ValueError too, but its text helps nobody.
    with pytest.raises(ValueError, match=r"not UTF-8 \(byte \d+ on\); send plain text") as raised:
        app.handler(body, context)
    assert type(raised.value) is ValueError


def test_a_line_that_would_take_minutes_is_refused(app: Any, context: SimpleNamespace) -> None:
    fits = "good " * 999 + "good!"
    assert app.handler(fits.encode(), context)[0]["sentiment_label"] == 2
    with pytest.raises(ValueError, match=r"5,001 characters, 5,000 are allowed"):
        app.handler(f"fine\n{fits}!".encode(), context)
