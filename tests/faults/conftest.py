"""Fault tests mostly wait, for leases to run out and for processes to come back: three of them run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

pytest.register_assert_rewrite("tests.faults.ledger", "tests.faults.soak")

from tests.faults.deployment import ALONE, MEASURED  # noqa: E402

_AT_A_TIME = 3
_room = threading.Semaphore(_AT_A_TIME)
_running: dict[str, Future[None]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """The first one begins all of the chosen tests, in their order; each waits for its own end."""
    if not _running:
        chosen = [item for item in pyfuncitem.session.items if _may_share(item)]
        for item in chosen:
            _running[item.nodeid] = Future()
        threading.Thread(target=_begin, args=(chosen,), name="fault tests", daemon=True).start()
    if pyfuncitem.nodeid in _running:
        _running[pyfuncitem.nodeid].result()
    else:
        for end in _running.values():
            end.exception()
        pyfuncitem.obj()
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, those that run alone last."""
    ours = [item for item in items if "tests/faults/" in item.nodeid]
    ours.sort(key=lambda item: (not _may_share(item), "test_fault_soak" not in item.nodeid))
    items[:] = [item for item in items if "tests/faults/" not in item.nodeid] + ours


def _may_share(item: pytest.Item) -> bool:
    """Not those that measure, or take minutes."""
    ours = "tests/faults/" in item.nodeid and isinstance(item, pytest.Function)
    return ours and item.name not in ALONE and item.get_closest_marker("long") is None


def _begin(items: list[pytest.Function]) -> None:
    for item in items:
        _room.acquire()
        threading.Thread(target=_run, args=(item.obj, _running[item.nodeid]), name=item.name, daemon=True).start()


def _run(test: Callable[[], None], end: Future[None]) -> None:
    try:
        test()
    except BaseException as error:  # the test that waits for it gets it
        end.set_exception(error)
    else:
        end.set_result(None)
    finally:
        _room.release()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured on the way."""
    if MEASURED:
        terminalreporter.section("measured by the fault suite")
        for line in MEASURED:
            terminalreporter.write_line(line)
