"""What is imported before the first call: each module is part of every cold start."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.unit.runtime.conftest import ROOT

SERVER = "uvicorn, uvicorn.protocols.http.httptools_impl, uvicorn.lifespan.on"
OURS = {
    "answers",
    "application",
    "context",
    "errors",
    "events",
    "exchange",
    "function",
    "handlers",
    "loader",
    "progress",
    "server",
    "settings",
    "slots",
}
FEW_MORE = {
    "base64",
    "binascii",
    "concurrent.futures.thread",
    "faulthandler",
    "queue",
    "_queue",
    "dataclasses",
}


def modules(code: str) -> set[str]:
    """All that are loaded after an import of these."""
    look = f"import {code}, sys; print(sorted(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", look]
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
    return set(ast.literal_eval(output))


def test_beside_the_http_server_next_to_nothing_is_imported() -> None:
    added = modules(f"{SERVER}, runtime.__main__") - modules(SERVER)
    assert added <= FEW_MORE | {"runtime", "runtime.__main__"} | {f"runtime.{name}" for name in OURS}


def test_a_process_of_a_slot_does_without_the_http_server() -> None:
    assert not {
        name for name in modules("runtime.child") if name.partition(".")[0] in ("uvicorn", "httptools", "click")
    }


@pytest.mark.parametrize(
    "heavy",
    [
        "http.client",
        "urllib.request",
        "statistics",
        "decimal",
        "sqlite3",
        "unittest",
        "h11",
        "uvloop",
        "websockets",
    ],
)
def test_what_takes_long_is_imported_for_whom_it_is_needed(heavy: str) -> None:
    assert heavy not in modules(f"{SERVER}, runtime.__main__")
