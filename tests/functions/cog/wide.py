"""A Cog model with several predictions at a time, as its users write them."""

import asyncio

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    running = 0
    most = 0

    async def predict(self, seconds: float = Input(description="How long it takes", default=0)) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1
        return self.most
