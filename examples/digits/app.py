"""Digits: reads handwritten digits from images of 8x8 pixels, each from 0 (paper) to 16 (ink).

    curl -d @two.json "$URL"

One image is {"pixels": [[...], ...]} and answered {"digit": 2, "probabilities": [...]}, where the ten
probabilities are those of the digits 0 to 9. {"images": [...]} takes many at once and answers a list.
"""

import time
from functools import cache
from typing import Any

import joblib
from train import MODEL_FILE, train

SIZE = 8
INK = 16


@cache
def classifier() -> Any:
    """The classifier: from its file where there is one, else trained in memory, once per instance."""
    # A model file is a pickle: loading one runs code from it. Use only files that your own train.py made.
    return joblib.load(MODEL_FILE) if MODEL_FILE.exists() else train()


def initialize(context: Any) -> None:
    """Gets the classifier ready while the instance starts, and says where it came from."""
    how = f"loaded from {MODEL_FILE.name}" if MODEL_FILE.exists() else f"trained: no {MODEL_FILE.name} here"
    start = time.perf_counter()
    classifier()
    context.logger.info("the classifier is ready after %.2f s, %s", time.perf_counter() - start, how)


def handler(event: Any, context: Any) -> dict[str, Any] | list[dict[str, Any]]:
    match event:
        case {"pixels": pixels, **rest} if not rest:
            return read([flat(pixels, "pixels")])[0]
        case {"images": [_, *_] as images, **rest} if not rest:
            return read([flat(image, f"images[{n}]") for n, image in enumerate(images)])
    raise ValueError(
        'send {"pixels": [...]} with one image or {"images": [...]} with at least one; '
        f"an image is {SIZE} rows of {SIZE} numbers from 0 to {INK}"
    )


def read(images: list[list[float]]) -> list[dict[str, Any]]:
    """The digit that each image shows most probably. All go in one call, faster than one by one."""
    return [
        # Four places are all that a reader can use; the digits 0 to 9 are the positions themselves.
        {"digit": int(row.argmax()), "probabilities": [round(p, 4) for p in row.tolist()]}
        for row in classifier().predict_proba(images)
    ]


def flat(image: Any, name: str) -> list[float]:
    """The 64 pixels of an image, row after row. Raises ValueError when it is no such image."""
    if not is_list_of(SIZE, image):
        raise ValueError(f"{name} must be a list of {SIZE} rows, got {shown(image)}")
    for y, row in enumerate(image):
        if not is_list_of(SIZE, row):
            raise ValueError(f"{name}, row {y} must be a list of {SIZE} numbers, got {shown(row)}")
        for x, value in enumerate(row):
            # True and False are numbers to Python; NaN is in no range.
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= INK:
                raise ValueError(
                    f"{name}, row {y}, column {x} must be a number from 0 to {INK}, got {shown(value)}"
                )
    return [value for row in image for value in row]


def is_list_of(count: int, value: Any) -> bool:
    return isinstance(value, list) and len(value) == count


def shown(value: Any) -> str:
    """A value as an error shows it: short, however much was sent."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
