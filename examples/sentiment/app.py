"""Sentiment: says of each line of text whether it sounds negative, neutral or positive.

    curl -d 'Nice to meet you' "$URL"

The work is done by VADER, a lexicon and a set of rules for English; no GPU, no download.
"""

from functools import cache
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

KEYS = ("negative", "neutral", "positive")
"""What the labels 0, 1 and 2 stand for."""

THRESHOLD = 0.05
"""VADER's own advice: a compound score this far from 0 takes sides."""

LONGEST_LINE = 5_000
"""Characters. VADER's time grows with the square of the length: 0.1 s for these, minutes for 200,000."""


@cache
def analyser() -> Any:
    """The analyser with its lexicon, read at the first use and then kept."""
    return SentimentIntensityAnalyzer()


def initialize(context: Any) -> None:
    """Reads the lexicon while the instance starts, so that the first caller does not wait for it."""
    analyser()
    context.logger.info("the lexicon is loaded")


def handler(event: bytes, context: Any) -> list[dict[str, Any]]:
    return [sentiment(line) for line in lines(event)]


def lines(body: bytes) -> list[str]:
    """The lines of a body that say something. Raises ValueError for a body that cannot be used."""
    try:
        # "-sig" drops the mark that some Windows editors put in front of UTF-8.
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the body is not UTF-8 (byte {error.start} on); send plain text in UTF-8") from None
    # Not splitlines(): it also splits at characters that people do not take for the end of a line.
    found = [line.strip() for line in text.split("\n") if line.strip()]
    if not found:
        raise ValueError("the body is empty; send text, one sentence per line, such as: Nice to meet you")
    if (longest := max(map(len, found))) > LONGEST_LINE:
        raise ValueError(
            f"a line has {longest:,} characters, {LONGEST_LINE:,} are allowed; send one sentence per line"
        )
    return found


def sentiment(text: str) -> dict[str, Any]:
    scores = analyser().polarity_scores(text)
    label = label_of(scores["compound"])
    return {
        "text": text,
        "sentiment_label": label,
        "sentiment_key": KEYS[label],
        # From -1, as negative as can be, to 1.
        "compound": scores["compound"],
        # Which part of the text is of which kind; together they make 1.
        "positive": scores["pos"],
        "neutral": scores["neu"],
        "negative": scores["neg"],
    }


def label_of(compound: float) -> int:
    if compound >= THRESHOLD:
        return 2
    return 0 if compound <= -THRESHOLD else 1
