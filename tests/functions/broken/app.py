"""Can be imported, but not initialized."""

from typing import Any


def initialize(context: Any) -> None:
    print("looking for the model")
    raise FileNotFoundError("model.bin is not there")


def handler(event: bytes, context: Any) -> bytes:
    return b"never reached"
