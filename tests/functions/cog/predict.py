"""A Cog model as its users write them, for the contract tests: the cog package serves it, unchanged."""

import os
import time
from pathlib import Path

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def setup(self) -> None:
        seconds, fail = os.environ.get("SETUP_SECONDS"), os.environ.get("SETUP_FAILS")
        time.sleep(float(seconds or 0))
        if fail:
            raise OSError(f"no weights at {fail}")

    def predict(
        self,
        text: str = Input(description="What is said", default=""),
        times: int = Input(description="How often", default=1, ge=0),
        seconds: float = Input(description="How long it takes", default=0),
        deaf: bool = Input(description="Whether it takes no notice of a cancellation", default=False),
        release: str = Input(description="A file until which it waits", default=""),
    ) -> str:
        if text == "boom":
            raise ValueError("no such text")
        end = time.monotonic() + seconds
        while time.monotonic() < end or (release and not Path(release).exists()):
            try:
                time.sleep(0.05)
            except BaseException:
                if not deaf:
                    raise
        return text * times
