"""`penstock settings` says what is in force and why; a `--set` reaches every process that is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Penstock, one_line


def test_every_setting_with_its_value_and_where_that_comes_from(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "settings.yaml").write_text("gateway: {hold: 30s, max_body: 1MiB}\nsecret: hush\n")
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "settings.yaml"))
    monkeypatch.setenv("PENSTOCK_GATEWAY__MAX_BODY", "2MiB")
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://me:hunter2@host/0")
    ran = penstock("settings", "--set", "gateway.port=9000")
    assert ran.code == 0, ran
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line}
    assert rows["gateway.port"] == ["9000", "flag"]
    assert rows["gateway.max_body"] == ["2MiB", "PENSTOCK_GATEWAY__MAX_BODY"]
    assert rows["gateway.hold"] == ["30s", str(tmp_path / "settings.yaml")]
    assert rows["gateway.host"] == ["127.0.0.1", "default"]
    assert rows["secret"] == ["***", str(tmp_path / "settings.yaml")]
    assert rows["redis.url"] == ["redis://me:***@host/0", "PENSTOCK_REDIS_URL"]


def test_as_json(penstock: Penstock) -> None:
    ran = penstock("settings", "--json", "--set", "workers.slots=3")
    found = {one["setting"]: (one["value"], one["from"]) for one in json.loads(ran.out)["settings"]}
    assert found["workers.slots"] == ("3", "flag")
    assert found["gateway.hold"] == ("55s", "default")


def test_a_bad_flag_is_one_line_and_exit_code_2(penstock: Penstock) -> None:
    assert "did you mean gateway.port?" in one_line(penstock("gateway", "--set", "gateway.prot=1"), 2)
    assert "setting gateway.port: flag: " in one_line(penstock("workers", "--set", "gateway.port=x"), 2)
    assert "did you mean workers.slots?" in one_line(penstock("up", "--set", "workers.slot=1"), 2)
