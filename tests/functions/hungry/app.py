"""Takes as much memory as it is asked to, and says so first."""

from typing import Any

kept: list[bytearray] = []


def handler(event: bytes, context: Any) -> str:
    print(f"taking {event.decode()} MiB", flush=True)
    kept.append(bytearray(b"x" * (int(event) << 20)))
    return "taken"
