"""schemathesis against our own description and a real `penstock up`: no 5xx, no status, header or body that is not
described, nothing invalid accepted."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import apikey
from tests.e2e import specs
from tests.e2e.harness import Stack, wait_until

ROOT = Path(__file__).parents[2]
_SPARE = 120
"""Seconds to start, and to report."""


@pytest.mark.waits
@pytest.mark.timeout(120 + _SPARE)
def test_schemathesis_finds_nothing_in_two_minutes() -> None:
    _try(seconds=120, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1200 + _SPARE)
def test_schemathesis_finds_nothing_in_twenty_minutes() -> None:
    _try(seconds=1200, seed=random.randrange(2**32))


def _try(*, seconds: int, seed: int) -> None:
    key, _ = apikey.mint()  # without one, the first key that is tried out would lock the rest out
    settings = {"GATEWAY__HOLD": "10s", "GATEWAY__MAX_HOLD": "10s", "GATEWAY__MAX_BODY": "1MiB"}
    with Stack("process", GATEWAY__ADMIN_KEY=key, **settings) as stack:
        stack.http.headers["Authorization"] = f"Bearer {key}"
        file = stack.write_specs({"echo": specs.folder("echo", concurrency=4, scaling={"idle_timeout": "60s"})})
        stack.run("up", "-f", str(file), "--port", str(stack.port), "--data-dir", str(stack.data_dir))
        wait_until(stack.ready, 30, "the function can be invoked")
        assert stack.call("echo", b"before").content == b"before"
        config = str(Path(__file__).with_name("schemathesis.toml"))
        command = ("--config-file", config, "run", f"{stack.url}/openapi.json", "--seed", str(seed))
        command += ("--header", f"Authorization: Bearer {key}")
        ran = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), *command, "--max-time", str(seconds)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            cwd=stack.folder,  # it keeps what it learnt where it runs
            capture_output=True,
            check=False,
            text=True,
            timeout=seconds + _SPARE,
        )
        found = ran.stdout.partition("= WARNINGS =")[0]
        assert ran.returncode == 0, f"seed {seed}\n{found[-20_000:]}{ran.stderr[-2_000:]}"
        assert re.search(r"Tested: 7\d\b", ran.stdout), ran.stdout
        assert "only 401/403" not in ran.stdout, "it came to what is behind the door"
        assert stack.call("echo", b"after").content == b"after", "it lives on"
