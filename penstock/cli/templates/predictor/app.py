class Predictor:
    def setup(self):
        """Runs once per instance, before its first call: load the model here."""
        self.words = {"good": 1.0, "bad": -1.0}

    def predict(self, text: str, scale: float = 1.0):
        """Runs once per call. The call's body is a JSON object with these arguments."""
        return {"score": scale * sum(self.words.get(word, 0.0) for word in text.split())}
