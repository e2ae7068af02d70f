"""`penstock batch`, and `penstock jobs --batch`, against a real gateway."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.batch import counts_line
from penstock.function import FunctionSpec
from penstock.invocation import Event, Failure, FailureCode, Outcome
from penstock.store import Store
from tests.unit.cli.conftest import InStore, Penstock, one_line
from tests.unit.cli.test_commands import answering, succeed

_FAILED = Outcome(event=Event.FAIL, failure=Failure(code=FailureCode.FUNCTION_ERROR, message="KeyError: 'x'"))


@pytest.fixture
def deployed(in_store: InStore[Any], unique: str) -> str:
    async def deploy(store: Store) -> None:
        await store.catalog.deploy(unique, FunctionSpec(command=("server",)))

    in_store(deploy)
    return unique


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of three jobs."""
    file = tmp_path / "jobs.ndjson"
    file.write_text('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    return file


def test_a_file_of_jobs_is_submitted_and_its_id_printed(
    penstock: Penstock, gateway_url: str, deployed: str, lines: Path
) -> None:
    ran = penstock("batch", deployed, lines, "--url", gateway_url)

    assert (ran.code, ran.err) == (0, "3 accepted, 0 refused\n")
    [batch] = ran.out.splitlines()
    listed = penstock("jobs", deployed, "--batch", batch, "--url", gateway_url)
    assert listed.code == 0
    assert [row.split()[1] for row in listed.out.splitlines()[1:]] == ["queued"] * 3


def test_jobs_come_from_standard_input(
    penstock: Penstock, gateway_url: str, deployed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1\n2\n")))

    assert penstock("batch", deployed, "-", "--url", gateway_url).err == "2 accepted, 0 refused\n"


def test_it_waits_until_all_have_ended(
    penstock: Penstock, gateway_url: str, deployed: str, lines: Path, in_store: InStore[Any]
) -> None:
    worker = answering(in_store, deployed, succeed(b"done"), count=3)
    ran = penstock("batch", deployed, lines, "--wait", "--url", gateway_url)
    worker.join()

    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == "3 succeeded"


def test_one_that_fails_is_told_by_the_exit_code(
    penstock: Penstock, gateway_url: str, deployed: str, lines: Path, in_store: InStore[Any]
) -> None:
    worker = answering(in_store, deployed, _FAILED, count=3)
    ran = penstock("batch", deployed, lines, "--wait", "--url", gateway_url)
    worker.join()

    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "3 failed"


def test_lines_that_are_refused_are_told_with_the_reason(
    penstock: Penstock, gateway_url: str, deployed: str, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.ndjson"
    file.write_text("1\n" + "{\n" * 7)
    ran = penstock("batch", deployed, file, "--url", gateway_url)

    assert ran.code == 1
    said = ran.err.splitlines()
    assert said[0] == (
        "job 1 refused: line 2 is not JSON: Expecting property name enclosed in double quotes at column 2"
    )
    assert said[-2:] == ["and 2 more", "1 accepted, 7 refused"]


def test_a_file_that_is_not_there(penstock: Penstock, gateway_url: str, tmp_path: Path) -> None:
    ran = penstock("batch", "any", tmp_path / "none", "--url", gateway_url)

    assert one_line(ran, 2) == f"{tmp_path / 'none'}: No such file or directory"


def test_counts_are_shown_without_the_zeros() -> None:
    assert counts_line({"queued": 3, "running": 0, "failed": 1}) == "3 queued, 1 failed"
    assert counts_line({"queued": 0}) == "no jobs"
