"""Exit code 2 for bad input or configuration and 1 for what failed, each with one line that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Penstock, free_port, one_line, process

BAD_SPEC = "functions:\n  echo:\n    command: [server]\n    scalling: {max: 3}\n"


@pytest.fixture
def bad_spec(tmp_path: Path) -> Path:
    file = tmp_path / "penstock.yaml"
    file.write_text(BAD_SPEC)
    return file


# As a user's shell sees it.


def test_an_unknown_field_of_a_spec(bad_spec: Path) -> None:
    said = one_line(process("deploy", "-f", bad_spec), 2)
    assert said.startswith(f"{bad_spec}:4: functions.echo.scalling: unknown field; did you mean scaling?")


def test_an_address_that_others_reach_without_keys() -> None:
    said = one_line(process("gateway", "--host", "0.0.0.0", PENSTOCK_SECRET="s"), 2)
    assert said.startswith("0.0.0.0 is reachable by others and whether there are keys nobody can say")
    assert "`penstock keys create NAME --admin`" in said
    assert "--insecure" in said


def test_a_port_that_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(process("up", "--port", str(port), "--data-dir", tmp_path / "data"), 2)
    assert said == f"cannot listen on 127.0.0.1:{port}: Address already in use; give another --port"


def test_no_gateway_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = one_line(process("functions", "--url", url), 1)
    assert said.startswith(f"no gateway answers at {url}")
    assert said.endswith("start one with `penstock up`, or give another url")


# The rest in this process.


def test_up_refuses_what_gateway_refuses(penstock: Penstock, tmp_path: Path, bad_spec: Path) -> None:
    data = tmp_path / "data"
    assert "--insecure" in one_line(penstock("up", "--host", "0.0.0.0", "--data-dir", data), 2)
    assert "did you mean scaling?" in one_line(penstock("up", "-f", bad_spec, "--data-dir", data), 2)


def test_up_refuses_a_data_dir_that_another_one_uses(penstock: Penstock, tmp_path: Path) -> None:
    import fcntl

    data = tmp_path / "data"
    data.mkdir()
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = one_line(penstock("up", "--data-dir", data), 2)
    assert said == f"another `penstock up` uses {data}; stop it, or give --data-dir"


def test_a_gateway_needs_a_secret(penstock: Penstock) -> None:
    assert "PENSTOCK_SECRET" in one_line(penstock("gateway"), 2)


def test_a_gateways_port_that_is_in_use(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET", "s")
    monkeypatch.setenv("PENSTOCK_LOG_LEVEL", "CRITICAL")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(penstock("gateway", "--port", str(port), "--data-dir", tmp_path), 2)
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize(
    ("command", "option", "value", "says"),
    [
        ("up", "--engine", "swarm", "'process' or 'docker' (got 'swarm')"),
        ("workers", "--engine", "kubernetes", "'process' or 'docker' (got 'kubernetes')"),
        ("gateway", "--port", "70000", "less than or equal to 65535 (got 70000)"),
        ("up", "--port", "-1", "greater than or equal to 0 (got -1)"),
    ],
)
def test_a_flag_with_a_bad_value(penstock: Penstock, command: str, option: str, value: str, says: str) -> None:
    assert says in one_line(penstock(command, option, value), 2)


def test_a_setting_with_a_bad_value(penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_GATEWAY__HOLD", "soon")
    assert one_line(penstock("gateway"), 2).startswith("setting gateway.hold: ")


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("gateway", "localhost:6379"),
        ("gateway", "http://127.0.0.1:6379"),
        ("gateway", "redis://127.0.0.1:port/0"),
        ("workers", "localhost:6379"),
        ("doctor", "localhost:6379"),
    ],
)
def test_a_redis_url_that_is_none(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch, command: str, url: str
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET", "s")
    assert url in one_line(penstock(command, "--redis-url", url), 2)


@pytest.mark.parametrize("arguments", [["deploy"], ["deploy", "-f", "gone.yaml"], ["up", "-f", "gone.yaml"]])
def test_a_spec_file_that_is_not_there(
    penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one_line(penstock(*arguments), 2).endswith("No such file or directory")


def test_data_from_a_file_that_is_not_there(penstock: Penstock, tmp_path: Path) -> None:
    said = one_line(penstock("invoke", "echo", "-d", f"@{tmp_path}/gone"), 2)
    assert said == f"--data @{tmp_path}/gone: No such file or directory"


def test_listening_for_callbacks_needs_a_secret(penstock: Penstock, tmp_path: Path) -> None:
    said = one_line(penstock("listen", "--data-dir", tmp_path), 2)
    assert said == (
        f"no secret to verify with: {tmp_path}/callback-secret is not there yet (start `penstock up`), "
        f"or give --secret"
    )
    assert "whsec_" in one_line(penstock("listen", "--secret", "whsec_!"), 2)


def test_listening_for_callbacks_on_a_port_in_use(penstock: Penstock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = one_line(penstock("listen", "--secret", "whsec_AAAA", "--port", port), 2)
    assert said == f"cannot listen on port {port}: Address already in use; give another --port"


@pytest.mark.parametrize(
    "command",
    [
        ["instances", "echo"],
        ["logs", "echo"],
        ["logs", "echo", "i-1"],
        ["jobs", "echo"],
        ["invoke", "echo"],
        ["jobs", "e", "i"],
    ],
)
def test_every_command_of_a_client_needs_a_gateway(penstock: Penstock, command: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert one_line(penstock(*command, "--url", url), 1).startswith("no gateway answers at")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["up", "--nonsense"], ["gateway", "--port", "http"], ["invoke"]]
)
def test_a_command_line_that_is_none(penstock: Penstock, arguments: list[str]) -> None:
    ran = penstock(*arguments)
    assert ran.code == 2
    assert ran.err
    assert "Traceback" not in ran.err


def test_help_names_every_command(penstock: Penstock) -> None:
    ran = penstock("--help")
    assert ran.code == 0
    for command in (
        "up",
        "deploy",
        "invoke",
        "functions",
        "jobs",
        "instances",
        "logs",
        "cost",
        "listen",
        "doctor",
        "gateway",
        "workers",
    ):
        assert f" {command} " in ran.out
