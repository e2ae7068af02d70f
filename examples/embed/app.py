"""Embed: turns text into vectors whose scalar product says how alike two texts are in meaning.

    curl -d '{"text": "The weather is lovely today."}' "$URL"

{"text": "..."} is answered {"vector": [...]}, and {"texts": [...]} at once {"vectors": [[...], ...]}: 384 numbers
each, of length 1. Calls that come at the same time are computed together: penstock.yaml says `batch`, so that
the handler gets a list of events.
"""

import os
import time
from functools import cache
from typing import Any

from encoders import ENCODERS, Encoder

MOST = 256
"""Texts in one call."""
LONGEST = 20_000
"""Characters of a text; the model reads its first 256 word pieces."""
DIGITS = 7
"""What 32 bits can tell apart; more would only make answers longer."""


@cache
def encoder() -> Encoder:
    name = os.environ.get("ENCODER", "torch")
    if name not in ENCODERS:
        raise ValueError(f"ENCODER is {name!r}; set it to one of {', '.join(ENCODERS)}")
    return ENCODERS[name]()


def initialize(context: Any) -> None:
    """Loads the model and computes once, since the first time takes longer."""
    start = time.perf_counter()
    encoder()(["warm up"])
    context.logger.info("the model is ready after %.2f s", time.perf_counter() - start)


def handler(events: list[Any], contexts: list[Any]) -> list[Any]:
    """An answer for each event, or the exception that says what is wrong with it."""
    asked = [texts_or_error(event) for event in events]
    together = [text for texts in asked if isinstance(texts, list) for text in texts]
    vectors = iter(encoder()(together) if together else [])
    return [
        answer(event, [next(vectors) for _ in texts]) if isinstance(texts, list) else texts
        for event, texts in zip(events, asked, strict=True)
    ]


def texts_or_error(event: Any) -> list[str] | ValueError:
    match event:
        case {"text": text, **rest} if not rest:
            texts = [text]
        case {"texts": [_, *_] as texts, **rest} if not rest:
            pass
        case _:
            return ValueError('send {"text": "..."} with one text or {"texts": [...]} with at least one')
    if len(texts) > MOST:
        return ValueError(f"{len(texts)} texts, {MOST} are allowed in one call; send several")
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
            got = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
            return ValueError(f"text {number} must be 1 to {LONGEST:,} characters of text, got {got}")
    return texts


def answer(event: dict[str, Any], vectors: list[Any]) -> dict[str, Any]:
    rounded = [[round(number, DIGITS) for number in vector.tolist()] for vector in vectors]
    return {"vector": rounded[0]} if "text" in event else {"vectors": rounded}
