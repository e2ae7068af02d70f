"""Trains the classifier of handwritten digits on three quarters of the 1,797 images in scikit-learn.

`python train.py` stores it beside this file for app.py to load, and lists the images it never saw in
held_out.json. Without that, app.py trains the same classifier in memory, which takes well under a second.
"""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

FOLDER = Path(__file__).parent
# The version is in the name because one version of scikit-learn cannot be trusted to read another's models.
MODEL_FILE = FOLDER / f"model-{sklearn.__version__}.joblib"
HELD_OUT_FILE = FOLDER / "held_out.json"

SEED = 42
HELD_OUT_SHARE = 0.25


def split() -> tuple[list[int], list[int]]:
    """Indexes of the images to train on, and of those held out; always the same ones.

    Stratified: each digit is as frequent in one part as in the other.
    """
    labels = load_digits().target
    images = np.arange(len(labels))
    parts = train_test_split(images, test_size=HELD_OUT_SHARE, stratify=labels, random_state=SEED)
    trained_on, held_out = (sorted(part.tolist()) for part in parts)
    return trained_on, held_out


def train() -> Any:
    """A classifier that has seen nothing but the images to train on."""
    digits = load_digits()
    trained_on, _ = split()
    # A regression over how alike an image is to 500 of those: quick to train, and as sure of its answers as
    # they are right. The figures were chosen by cross-validation within the images to train on.
    classifier = make_pipeline(
        Nystroem(gamma=0.00125, n_components=500, random_state=SEED),
        LogisticRegression(C=1000, max_iter=1000),
    )
    return classifier.fit(digits.data[trained_on], digits.target[trained_on])


def accuracy(classifier: Any, indexes: list[int]) -> float:
    """The share of these images that the classifier reads right."""
    digits = load_digits()
    return float(classifier.score(digits.data[indexes], digits.target[indexes]))


def main() -> None:
    classifier = train()
    _, held_out = split()
    measured = accuracy(classifier, held_out)
    joblib.dump(classifier, MODEL_FILE)
    listing = {"accuracy": round(measured, 4), "images": len(held_out), "indexes": held_out}
    HELD_OUT_FILE.write_text(json.dumps(listing) + "\n")
    print(f"{MODEL_FILE.name}: {measured:.2%} of {len(held_out)} unseen images read right")  # noqa: T201


if __name__ == "__main__":
    main()
