"""A character n-gram model: it continues a text with characters that followed the same few characters before.

It knows nothing. It stands in for a language model wherever what matters is how tokens travel.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ORDER = 7
"""Characters that the next one depends on, at most."""
END = "\n\n"
"""A paragraph is where it may stop by itself."""


def corpus() -> str:
    """What it is trained on: the text beside this file, and the project's own documents where they can be seen."""
    here = Path(__file__).resolve().parent
    project = here.parent.parent
    files = [here / "about.md", project / "README.md", *sorted((project / "docs").glob("*.md"))]
    return END.join(file.read_text(encoding="utf-8") for file in files if file.is_file())


class Model:
    def __init__(self, text: str) -> None:
        self._follows: dict[str, list[str]] = {}
        """Some characters -> what followed them, as often as it did."""
        for order in range(ORDER + 1):
            for end in range(order, len(text)):
                self._follows.setdefault(text[end - order : end], []).append(text[end])

    def continue_(self, prompt: str, *, temperature: float, seed: int | None) -> Iterator[str]:
        """One character after the other, until it has finished a paragraph. At temperature 0 always the likeliest;
        with the same seed always the same."""
        dice = random.Random(seed)
        text = prompt[-ORDER:]
        said = ""
        while not (said.strip() and said.endswith(END)):
            character = self._next(text, temperature, dice)
            text = (text + character)[-ORDER:]
            said += character
            yield character

    def _next(self, text: str, temperature: float, dice: random.Random) -> str:
        start = next(start for start in range(len(text) + 1) if text[start:] in self._follows)
        counted = Counter(self._follows[text[start:]])
        if temperature == 0:
            return max(sorted(counted), key=counted.__getitem__)
        most = max(counted.values())  # or a small temperature makes numbers that no float can hold
        weights = [(count / most) ** (1 / temperature) for count in counted.values()]
        return dice.choices(list(counted), weights)[0]
