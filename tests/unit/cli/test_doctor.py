"""`penstock doctor` says what is there and what to do about what is not."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.unit.cli.conftest import Penstock, Ran, free_port


@pytest.fixture
def doctor(penstock: Penstock, tmp_path: Path) -> Penstock:
    """`doctor(…)` on a data-dir of its own and a port that is free."""

    def doctor(*options: str, port: int | None = None) -> Ran:
        return penstock("doctor", "--data-dir", tmp_path, "--port", str(port or free_port()), *options)

    return doctor


def finding(ran: Ran, what: str) -> str:
    [line] = [line for line in ran.out.splitlines() if line[2:].startswith(f"{what}: ")]
    return line


def test_on_a_fresh_machine_all_is_well(doctor: Penstock) -> None:
    port = free_port()
    ran = doctor(port=port)
    assert ran.code == 0
    assert finding(ran, "Python") == f"✓ Python: {sys.version.split()[0]}"
    assert finding(ran, "Redis").startswith("✓ Redis: embedded, ")
    assert finding(ran, "Redis").endswith("; not running now")
    assert finding(ran, "Port") == f"✓ Port: 127.0.0.1:{port} is free"


def test_a_missing_docker_is_a_warning_with_what_needs_it(doctor: Penstock) -> None:
    ran = doctor()
    assert ran.code == 0
    assert finding(ran, "Docker").startswith("! Docker: ")
    assert "only --engine docker needs it" in finding(ran, "Docker")


def test_a_redis_that_keeps_everything_is_well(doctor: Penstock, redis_server: RedisServer) -> None:
    ran = doctor("--redis-url", redis_server.url)
    assert ran.code == 0
    assert finding(ran, "Redis") == (
        f"✓ Redis: answers at {redis_server.url}, keeps an append-only file, evicts nothing"
    )


@pytest.mark.parametrize(
    ("setting", "value", "normal", "says"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "set it to noeviction"),
        ("appendonly", "no", "yes", "set appendonly yes"),
    ],
)
def test_a_redis_that_may_lose_jobs_is_a_warning(
    doctor: Penstock, redis_server: RedisServer, setting: str, value: str, normal: str, says: str
) -> None:
    redis_server.cli("CONFIG", "SET", setting, value)
    try:
        ran = doctor("--redis-url", redis_server.url)
    finally:
        redis_server.cli("CONFIG", "SET", setting, normal)
    assert ran.code == 0
    assert finding(ran, "Redis").startswith("! Redis: ")
    assert says in finding(ran, "Redis")


@pytest.mark.parametrize("scheme", ["redis", "unix"])
def test_a_redis_that_does_not_answer_is_a_problem(doctor: Penstock, tmp_path: Path, scheme: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}" if scheme == "redis" else f"unix://{tmp_path}/gone.sock"
    ran = doctor("--redis-url", url)
    assert finding(ran, "Redis").startswith(f"✗ Redis: {url} does not answer")
    assert finding(ran, "Redis").endswith("start it, or give another --redis-url")
    assert ran.code == 1


def test_an_embedded_redis_that_was_stopped_is_no_problem(doctor: Penstock, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "redis" / "redis.sock"))
    ran = doctor()
    assert ran.code == 0
    assert finding(ran, "Redis").endswith("not running now")


def test_a_port_in_use_is_a_warning_with_what_to_do(doctor: Penstock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = doctor(port=port)
    assert ran.code == 0
    assert finding(ran, "Port") == (
        f"! Port: 127.0.0.1:{port}: Address already in use; "
        f"a gateway may run there already, else give another --port"
    )


def test_a_machine_without_redis_is_a_problem(doctor: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran = doctor()
    assert ran.code == 1
    assert finding(ran, "Redis").startswith("✗ Redis: no redis-server: install Redis")


def test_the_gpus_are_shown_or_why_there_is_none(doctor: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS__GPUS", '[{"uuid": "GPU-a", "memory": "24GiB", "name": "A10"}]')
    assert finding(doctor(), "GPU") == "✓ GPU: A10, 24 GiB"
    monkeypatch.setenv("PENSTOCK_WORKERS__GPUS", "[]")
    ran = doctor()
    assert ran.code == 0
    assert finding(ran, "GPU") == (
        "! GPU: none: the setting workers.gpus lists none; only functions with resources.gpu need one"
    )
