"""`penstock doctor` says what is there and what to do about what is not."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.checks import docker as docker_checks
from penstock.cli.checks import machine, redis
from penstock.cli.checks import settings as settings_checks
from penstock.settings import load
from penstock.store.health import Health
from tests.conftest import RedisServer
from tests.unit.cli.conftest import Penstock, Ran, free_port


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """Of our own: what is wrong with it is not for the gateway of other tests to see."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def doctor(penstock: Penstock, tmp_path: Path) -> Penstock:
    """`doctor(…)` on a data-dir of its own and a port that is free."""

    def doctor(*options: str, port: int | None = None) -> Ran:
        return penstock("doctor", "--data-dir", tmp_path, "--port", str(port or free_port()), *options)

    return doctor


def finding(ran: Ran, what: str) -> str:
    """The line of a check, with what to do behind an arrow."""
    lines = ran.out.splitlines()
    [at] = [number for number, line in enumerate(lines) if line[2:].startswith(f"{what}: ")]
    advice = lines[at + 1] if lines[at + 1].startswith("    → ") else ""
    return f"{lines[at]}{advice and ' ' + advice.strip()}"


def test_on_a_fresh_machine_nothing_is_a_problem(doctor: Penstock) -> None:
    port = free_port()
    ran = doctor(port=port)
    assert ran.code == 0
    assert finding(ran, "Python") == f"✓ Python: {sys.version.split()[0]}"
    assert finding(ran, "Redis").startswith("✓ Redis: embedded, ")
    assert finding(ran, "Redis").endswith("; not running now")
    assert finding(ran, "Port") == f"✓ Port: 127.0.0.1:{port} is free"
    assert finding(ran, "Data folder").startswith("✓ Data folder: ")
    assert ran.out.splitlines()[-1].startswith("no problems, ")


def test_all_of_it_as_json(doctor: Penstock) -> None:
    ran = doctor("--json", "--redis-url", f"redis://127.0.0.1:{free_port()}")
    told = json.loads(ran.out)
    assert (ran.code, told["problems"]) == (1, 1)
    [redis] = [one for one in told["findings"] if one["verdict"] == "problem"]
    assert redis["check"] == "Redis"
    assert redis["advice"] == "start it, or give another --redis-url"


def test_every_warning_and_every_problem_says_what_to_do(doctor: Penstock, redis_server: RedisServer) -> None:
    ran = doctor("--json", "--redis-url", redis_server.url, "--engine", "docker", "--set", "secret=short")
    told = json.loads(ran.out)["findings"]
    silent = [one for one in told if one["verdict"] != "ok" and not one["advice"] and one["check"] != "GPU"]
    assert silent == []
    assert ran.code == 1, "no engine answers, and this one was asked for"


def test_a_missing_docker_is_a_warning_unless_it_is_asked_for(doctor: Penstock) -> None:
    ran = doctor()
    assert ran.code == 0
    assert finding(ran, "Docker").startswith("! Docker: ")
    assert "only --engine docker needs it" in finding(ran, "Docker")
    asked = doctor("--engine", "docker")
    assert asked.code == 1
    assert finding(asked, "Docker").startswith("✗ Docker: no engine answers")


def test_a_redis_that_keeps_everything_is_well(doctor: Penstock, redis_server: RedisServer) -> None:
    ran = doctor("--redis-url", redis_server.url, "--set", "secret=" + "s" * 32)
    assert ran.code == 0
    assert finding(ran, "Redis").endswith(f"answers at {redis_server.url}")
    assert finding(ran, "Redis durability") == (
        "✓ Redis durability: keeps an append-only file, appendfsync everysec, evicts nothing"
    )
    for check in ("Redis memory", "Redis latency", "Clock of Redis", "Data", "Settings"):
        assert finding(ran, check).startswith(f"✓ {check}: "), ran.out


def test_a_redis_user_that_may_not_see_the_configuration_is_no_problem(
    doctor: Penstock, redis_server: RedisServer
) -> None:
    redis_server.cli("ACL", "SETUSER", "plain", "on", ">passed", "~*", "&*", "+@all", "-config")
    try:
        ran = doctor("--redis-url", f"unix://plain:passed@{redis_server.socket}")
    finally:
        redis_server.cli("ACL", "DELUSER", "plain")
    assert finding(ran, "Redis durability") == ("✓ Redis durability: keeps an append-only file, evicts nothing")
    assert "passed" not in ran.out


@pytest.mark.parametrize(
    ("setting", "value", "normal", "says"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "set it to noeviction"),
        ("appendonly", "no", "yes", "set appendonly yes"),
        ("appendfsync", "no", "everysec", "set appendfsync everysec"),
    ],
)
def test_a_redis_that_may_lose_jobs_is_a_warning_and_in_production_a_problem(
    doctor: Penstock, redis_server: RedisServer, setting: str, value: str, normal: str, says: str
) -> None:
    redis_server.cli("CONFIG", "SET", setting, value)
    try:
        ran = doctor("--redis-url", redis_server.url)
        strict = doctor("--redis-url", redis_server.url, "--set", "mode=production")
    finally:
        redis_server.cli("CONFIG", "SET", setting, normal)
    assert (ran.code, strict.code) == (0, 1)
    assert finding(ran, "Redis durability").startswith("! ")
    assert finding(strict, "Redis durability").startswith("✗ ")
    assert finding(ran, "Redis durability").endswith(f"→ {says}")


def test_a_redis_that_is_nearly_full_is_a_problem(doctor: Penstock, redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        ran = doctor("--redis-url", redis_server.url)
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")
    assert ran.code == 1
    assert finding(ran, "Redis memory").startswith("✗ Redis memory: ")


def test_data_of_a_newer_release_is_a_problem(doctor: Penstock, redis_server: RedisServer) -> None:
    redis_server.cli("HSET", "ps:version", "schema", "9", "compatible_from", "9")
    try:
        ran = doctor("--redis-url", redis_server.url)
    finally:
        redis_server.cli("DEL", "ps:version")
    assert ran.code == 1
    assert finding(ran, "Data") == "✗ Data: of schema 9, written by a newer Penstock → upgrade this one"


HEALTH = Health(
    version="7.0.15",
    role="master",
    appendonly=True,
    appendfsync="everysec",
    policy="noeviction",
    used=2**20,
    limit=None,
    machine=2**33,
    errors=(),
    latency_ms=0.2,
    ahead_ms=0.1,
)


@pytest.mark.parametrize(
    ("health", "check", "verdict"),
    [
        (replace(HEALTH, version="6.0.16"), "Redis", "problem"),
        (replace(HEALTH, version="6.2.0"), "Redis", "ok"),
        (replace(HEALTH, role="slave"), "Redis role", "problem"),
        (replace(HEALTH, errors=("its last snapshot",)), "Redis disk", "problem"),
        (replace(HEALTH, limit=2**20), "Redis memory", "problem"),
        (replace(HEALTH, limit=2**20 * 10 // 8), "Redis memory", "warning"),
        (replace(HEALTH, machine=None), "Redis memory", "ok"),
        (replace(HEALTH, appendfsync=None), "Redis durability", "ok"),
        (replace(HEALTH, latency_ms=20.0), "Redis latency", "warning"),
        (replace(HEALTH, latency_ms=200.0), "Redis latency", "problem"),
        (replace(HEALTH, ahead_ms=-2_000.0), "Clock of Redis", "warning"),
        (replace(HEALTH, ahead_ms=60_000.0), "Clock of Redis", "problem"),
    ],
)
def test_what_is_said_of_a_redis(health: Health, check: str, verdict: str) -> None:
    assert {one.check: one.verdict for one in redis.judge(health, "url", production=False)}[check] == verdict
    assert all(one.verdict == "ok" for one in redis.judge(HEALTH, "url", production=True))


ENGINE = {
    "ServerVersion": "26.1.0",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "Runtimes": {"runc": {}, "nvidia": {}},
}


@pytest.mark.parametrize(
    ("engine", "missing", "check", "says"),
    [
        ({"ServerVersion": "19.03.1"}, None, "Docker", "20.10 is the oldest"),
        ({"Driver": "vfs"}, None, "Docker storage", "overlay2"),
        ({"MemoryLimit": False, "PidsLimit": False}, None, "Docker limits", "memory, processes"),
        ({"Runtimes": {"runc": {}}}, None, "Docker GPUs", "nvidia-ctk runtime configure"),
        ({}, "python:3.11-slim", "Base image", "docker pull python:3.11-slim"),
    ],
)
def test_what_is_said_of_a_docker_engine(
    engine: dict[str, Any], missing: str | None, check: str, says: str
) -> None:
    found = {one.check: one for one in docker_checks.judge(ENGINE | engine, missing, gpus=True, wanted=True)}
    assert says in f"{found[check].text} {found[check].advice}"
    assert found[check].verdict != "ok"
    assert {one.verdict for one in docker_checks.judge(ENGINE, None, gpus=True, wanted=True)} == {"ok"}


@pytest.mark.parametrize("scheme", ["redis", "unix"])
def test_a_redis_that_does_not_answer_is_a_problem(doctor: Penstock, tmp_path: Path, scheme: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}" if scheme == "redis" else f"unix://{tmp_path}/gone.sock"
    ran = doctor("--redis-url", url)
    assert finding(ran, "Redis").startswith(f"✗ Redis: {url} does not answer")
    assert finding(ran, "Redis").endswith("→ start it, or give another --redis-url")
    assert ran.code == 1


def test_an_embedded_redis_that_was_stopped_is_no_problem(doctor: Penstock, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(tmp_path / "redis" / "redis.sock"))
    ran = doctor()
    assert ran.code == 0
    assert finding(ran, "Redis").endswith("not running now")


def test_a_port_in_use_is_a_warning_with_whose_it_is(doctor: Penstock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = doctor(port=port)
    assert ran.code == 0
    assert f"127.0.0.1:{port}: Address already in use by " in finding(ran, "Port")
    assert f"(pid {os.getpid()})" in finding(ran, "Port")
    assert finding(ran, "Port").endswith("→ a gateway may run there already, else give another --port")


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


@contextmanager
def few_files(soft: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_of_open_files_is_a_warning() -> None:
    with few_files(1_024):
        [found] = [one for one in machine.look(load()) if one.check == "Open files"]
    assert (found.verdict, found.text.split()[0]) == ("warning", "1024")
    assert "ulimit -n" in found.advice


def test_a_data_folder_that_others_can_read_is_a_warning(doctor: Penstock, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert finding(doctor(), "Data folder").endswith(f"→ chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "secret").chmod(0o644)
    assert finding(doctor(), "Secrets").endswith(f"→ chmod 600 {tmp_path}/secret")


def test_a_name_that_is_no_setting_is_a_warning() -> None:
    names = {
        "PENSTOCK_GATWAY__PORT": "1",
        "PENSTOCK_GATEWAY__PORT": "1",
        "PENSTOCK_URL": "u",
        "PENSTOCK_GATEWAY": "{}",
    }
    [found] = settings_checks.look(load(), names)
    assert "PENSTOCK_GATWAY__PORT" in found.text
    assert found.advice == "did you mean PENSTOCK_GATEWAY__PORT?"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"redis.url": "redis://127.0.0.1"}, "same random text on every process"),
        ({"secret": "short"}, "openssl rand -hex 32"),
        ({"redis.url": "redis://127.0.0.1", "secret": "s" * 32}, None),
        ({}, None),
    ],
)
def test_a_secret_that_is_missing_or_weak_is_a_warning(
    flags: dict[str, str], says: str | None, tmp_path: Path
) -> None:
    found = [
        one for one in settings_checks.look(load({"data_dir": tmp_path, **flags}), {}) if one.check == "Secret"
    ]
    assert [says in one.advice for one in found if says] == ([True] if says else [])
    assert bool(found) == bool(says)
