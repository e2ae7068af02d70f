"""Loads the examples' code as the runtime does: from its own folder; several files are called app.py."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"

Load = Callable[[str, str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """`load("digits", "app")`: that module, fresh, with its folder first on the path for one test."""
    for name in ("app", "model", "train"):  # another test may have loaded an app.py of its own
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)

    def load(folder: str, module: str) -> ModuleType:
        monkeypatch.syspath_prepend(EXAMPLES / folder)
        return importlib.import_module(module)

    yield load
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(EXAMPLES):
            del sys.modules[name]


@pytest.fixture
def context() -> SimpleNamespace:
    """What a handler is given beside the event."""
    return SimpleNamespace(
        request_id="req-1",
        attempt=1,
        function=SimpleNamespace(name="example"),
        deadline=4_000_000_000.0,
        logger=logging.getLogger("example"),
    )
