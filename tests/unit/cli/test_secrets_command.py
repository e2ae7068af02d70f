"""`penstock secrets` keeps values in files that nobody else reads, and never shows one."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Penstock, one_line


def give(monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(value)))


def test_a_secret_comes_from_standard_input_and_is_never_shown(
    penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--data-dir", str(tmp_path))
    for value in (b"hunter1\n", b"hunter2\n"):
        give(monkeypatch, value)
        ran = penstock("secrets", "set", "HF_TOKEN", *where)
        assert ran.code == 0, ran
        assert "hunter" not in ran.out + ran.err
    folder = tmp_path / "secrets"
    (kept,) = folder.iterdir()
    assert (kept.name, kept.read_bytes(), kept.stat().st_mode & 0o777) == ("HF_TOKEN", b"hunter2", 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700
    listed = penstock("secrets", "list", *where)
    assert (listed.code, listed.out) == (0, "HF_TOKEN\n")
    assert penstock("secrets", "remove", "HF_TOKEN", *where).code == 0
    assert penstock("secrets", "list", *where).out == ""
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("../HF", b"x", "is no name of a secret"),
        ("HF-TOKEN", b"x", "is no name of a secret"),
        ("HF_TOKEN", b"", "a secret has 1 to 65536 bytes, and this one 0"),
        ("HF_TOKEN", b"x" * 65_537, "and this one 65537"),
    ],
)
def test_what_is_no_secret_is_refused(
    penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: bytes, said: str
) -> None:
    give(monkeypatch, value)
    ran = penstock("secrets", "set", name, "--data-dir", str(tmp_path))
    assert said in one_line(ran, 2)
    assert not (tmp_path / "secrets").exists()


def test_one_that_is_not_there_cannot_be_removed(penstock: Penstock, tmp_path: Path) -> None:
    ran = penstock("secrets", "remove", "HF_TOKEN", "--data-dir", str(tmp_path))
    assert "secret HF_TOKEN is not in" in one_line(ran, 2)
