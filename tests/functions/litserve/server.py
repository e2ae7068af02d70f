"""A LitServe model as its users write them, for the contract tests: the litserve package serves it, unchanged."""

import os
import time

import litserve as ls


class Shout(ls.LitAPI):
    def setup(self, device: str) -> None:
        time.sleep(float(os.environ.get("SETUP_SECONDS", "0")))

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def predict(self, x: str) -> str:
        return x.upper()

    def encode_response(self, output: str) -> dict[str, str]:
        return {"said": output}


if __name__ == "__main__":
    paths = {"healthcheck_path": "/ping"} if "SAGEMAKER" in os.environ else {}
    api = Shout(api_path="/invocations" if "SAGEMAKER" in os.environ else "/predict")
    server = ls.LitServer(api, accelerator="cpu", **paths)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
