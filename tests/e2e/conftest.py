"""Deployments for the end-to-end tests: one per engine for the whole session, others for one test each.

Most of these tests mostly wait: for a lease to run out, for a burst to drain. Those that are marked `waits` do so
beside others. One that brings a deployment of its own (it asks for `engine`) begins in the background when the
session does; one on a shared deployment (`stack`) runs on all engines at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.e2e.harness")

from tests.conftest import missing  # noqa: E402
from tests.e2e import specs, vendors  # noqa: E402
from tests.e2e.harness import Stack, docker_answers  # noqa: E402
from tests.e2e.receiver import Receiver  # noqa: E402

_LOG_SHOWN = 6_000
_ENGINES = ("process", "docker")
_BACKGROUND = 2
"""Tests at a time, beside the one in the foreground."""

_threads = pytest.StashKey[ThreadPoolExecutor]()
_begun = pytest.StashKey[dict[str, "Future[None]"]]()
_stacks = pytest.StashKey[Mapping[str, "Future[Stack]"]]()


def _need(engine: str) -> None:
    if engine == "docker" and not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")


@pytest.fixture(scope="session")
def _shared(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Stack]]]:
    """The shared deployments that the chosen tests need, made at once: the first images take a while."""
    chosen = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = {engine for item in chosen for engine in _ENGINES if _uses(item, engine)}
    engines = [engine for engine in _ENGINES if engine in wanted and (engine != "docker" or docker_answers())]
    with ExitStack() as exits, ThreadPoolExecutor() as threads:
        stacks = {engine: exits.enter_context(Stack(engine, GATEWAY__MAX_BODY="8MiB")) for engine in engines}
        filled = {engine: threads.submit(_fill, stack) for engine, stack in stacks.items()}
        request.session.stash[_stacks] = filled
        yield filled
    if "docker" in engines:
        specs.remove_images()


def _uses(item: pytest.Function, engine: str) -> bool:
    return f"{engine}_stack" in item.fixturenames or ("stack" in item.fixturenames and _engine_of(item) == engine)


def _fill(stack: Stack) -> Stack:
    stack.start().deploy(specs.shared(stack.engine, stack.folder / "functions"))
    return stack


@pytest.fixture(scope="session")
def process_stack(_shared: Mapping[str, Future[Stack]]) -> Stack:
    """The shared deployment of the process engine, for what does not depend on the engine."""
    return _shared["process"].result()


@pytest.fixture(scope="session")
def docker_stack(_shared: Mapping[str, Future[Stack]]) -> Stack:
    """The shared deployment of the docker engine."""
    _need("docker")
    return _shared["docker"].result()


@pytest.fixture(params=_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs on each engine."""
    name: str = request.param
    _need(name)
    return name


@pytest.fixture
def stack(engine: str, request: pytest.FixtureRequest) -> Stack:
    """The shared deployment of each engine in turn."""
    found: Stack = request.getfixturevalue(f"{engine}_stack")
    return found


@pytest.fixture(scope="session")
def _vendors() -> None:
    """The packages of other vendors, which are being installed since the session began."""
    vendors.need()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Something that callbacks can be sent to."""
    with Receiver() as receiver:
        yield receiver


# Tests beside others


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "waits: mostly waits, and so runs beside other tests (tests/e2e)")


def pytest_collection_finish(session: pytest.Session) -> None:
    session.stash[_begun] = {}
    session.stash[_threads] = ThreadPoolExecutor(_BACKGROUND, thread_name_prefix="background")
    if session.config.option.collectonly:
        return
    if any("_vendors" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)):
        vendors.begin()
    for item in session.items:
        if isinstance(item, pytest.Function) and _waits(item) and "stack" not in item.fixturenames:
            name = _engine_of(item)
            if name != "docker" or docker_answers():
                arguments = {"engine": name} if "engine" in item.fixturenames else {}
                session.stash[_begun][item.nodeid] = session.stash[_threads].submit(item.obj, **arguments)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    if not _waits(pyfuncitem):
        return None
    begun = pyfuncitem.session.stash[_begun]
    if pyfuncitem.nodeid not in begun:
        stacks = pyfuncitem.session.stash[_stacks]
        twins = [
            item
            for item in pyfuncitem.session.items
            if isinstance(item, pytest.Function) and item.obj is pyfuncitem.obj and _engine_of(item) in stacks
        ]
        threads = ThreadPoolExecutor(len(twins))
        for item in twins:
            begun[item.nodeid] = threads.submit(item.obj, stack=stacks[_engine_of(item)].result())
    begun[pyfuncitem.nodeid].result()
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _threads in session.stash:
        session.stash[_threads].shutdown(cancel_futures=True)


def _waits(item: pytest.Function) -> bool:
    return item.get_closest_marker("waits") is not None


def _engine_of(item: pytest.Function) -> str:
    parameters: Mapping[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return str(parameters.get("engine", ""))


# What a failing test shows


def pytest_runtest_logstart(nodeid: str) -> None:
    """What was said before this test began is not shown with it."""
    for stack in list(Stack.live):
        for program in stack.programs:
            with suppress(OSError):  # it may be closing just now
                program.shown = program.log.stat().st_size


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test shows what the processes of the shared deployments said since it began; a deployment of its
    own adds what it has to say to the error itself."""
    report = yield
    shared = item.session.stash.get(_stacks, {}).values()
    if report.failed:
        for stack in (one.result() for one in shared if one.done() and one.exception() is None):
            for program in stack.programs:
                text = program.output()[program.shown :][-_LOG_SHOWN:]
                if text:
                    report.sections.append((f"{stack.engine}: {program.name} (pid {program.pid})", text))
    return report
