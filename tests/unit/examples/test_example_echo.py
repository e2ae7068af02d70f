"""The echo example answers every body unchanged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.parametrize("body", [b"", b"Hello", bytes(range(256)), "Grüße\n".encode(), b"x" * 1_000_000])
def test_a_body_comes_back_unchanged(load: Any, context: SimpleNamespace, body: bytes) -> None:
    assert load("echo", "app").handler(body, context) == body
