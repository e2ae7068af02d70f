"""`penstock keys`: straight in Redis, in one that runs or in a data-dir's own, and through a gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import apikey
from tests.conftest import RedisServer


def penstock(*args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return subprocess.run(
        (sys.executable, "-P", "-m", "penstock.cli", "keys", *args),
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def empty(redis_server: RedisServer) -> RedisServer:
    redis_server.cli("FLUSHALL")
    return redis_server


def test_a_key_is_printed_once_and_stored_as_a_hash(empty: RedisServer) -> None:
    made = penstock("create", "ci", "--scope", "invoke:chat", "--expires", "90d", "--redis-url", empty.url)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert apikey.well_formed(key)
    assert key not in made.stderr
    stored = empty.cli("HVALS", "ps:apikeys")
    assert apikey.digest(key) in stored
    assert key.split("_")[2] not in stored


def test_keys_are_listed_and_revoked(empty: RedisServer) -> None:
    key_id = penstock("create", "first", "--admin", "--redis-url", empty.url).stdout.split("_")[1]
    listed = penstock("list", "--redis-url", empty.url).stdout
    assert [key_id, "first"] == listed.splitlines()[1].split()[:2]
    assert "good" in listed
    assert "*:*" in listed
    assert penstock("revoke", key_id, "--redis-url", empty.url).returncode == 0
    assert "revoked" in penstock("list", "--redis-url", empty.url).stdout


def test_a_data_dir_that_was_never_used_has_a_redis_for_the_moment(tmp_path: Path) -> None:
    """So that there can be keys before anything listens."""
    made = penstock("create", "first", "--data-dir", str(tmp_path / "data"))
    assert made.returncode == 0, made.stderr
    listed = penstock("list", "--data-dir", str(tmp_path / "data"))
    assert made.stdout.split("_")[1] in listed.stdout
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("create", "x", "--scope", "fly:*"), "write VERB:FUNCTION"),
        (("create", "x", "--admin", "--scope", "read:*"), "give --admin or --scope, not both"),
        (("create", "x", "--expires", "soon"), "--expires: 'soon' is not a duration"),
        (("create", "x", "--rate", "fast"), "rate: 'fast' is not a rate"),
        (("create", "x", "--tenant", "A B"), "tenant"),
        (("revoke", "nothing"), "no API key has the id 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(empty: RedisServer, args: tuple[str, ...], says: str) -> None:
    done = penstock(*args, "--redis-url", empty.url)
    assert done.returncode == 2
    assert done.stderr.startswith("penstock: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not empty.cli("HVALS", "ps:apikeys")
