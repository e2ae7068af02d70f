"""Deployments for the end-to-end tests: one per engine for the whole session, others for one test each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack

import pytest

pytest.register_assert_rewrite("tests.e2e.harness")

from tests.conftest import missing  # noqa: E402
from tests.e2e import specs  # noqa: E402
from tests.e2e.harness import Stack, docker_answers  # noqa: E402
from tests.e2e.receiver import Receiver  # noqa: E402

MakeStack = Callable[..., Stack]
SideBySide = Callable[[Callable[[str], None]], None]
OnAllStacks = Callable[[Callable[[Stack], None]], None]
_LOG_SHOWN = 6_000


def _need(engine: str) -> None:
    if engine == "docker" and not docker_answers():
        missing("a Docker Engine with the image penstock/base:bookworm")


def _shared(engine: str) -> Iterator[Stack]:
    _need(engine)
    with Stack(engine, GATEWAY__MAX_BODY="8MiB") as stack:
        stack.start()
        stack.deploy(specs.shared(engine, stack.folder / "functions"))
        yield stack


@pytest.fixture(scope="session")
def process_stack() -> Iterator[Stack]:
    """The shared deployment of the process engine, for what does not depend on the engine."""
    yield from _shared("process")


@pytest.fixture(scope="session")
def docker_stack() -> Iterator[Stack]:
    """The shared deployment of the docker engine."""
    yield from _shared("docker")
    specs.remove_images()


@pytest.fixture(params=["process", "docker"])
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
def _running() -> Iterator[dict[tuple[str, str], Future[None]]]:
    yield {}


@pytest.fixture
def side_by_side(
    engine: str, request: pytest.FixtureRequest, _running: dict[tuple[str, str], Future[None]]
) -> SideBySide:
    """Runs the body of a test that mostly waits on all engines at once, when the first of them is asked for."""
    test, engines = request.node.nodeid.partition("[")[0], _engines(request)

    def run(body: Callable[[str], None]) -> None:
        for name in engines:
            if (test, name) not in _running:
                future: Future[None] = Future()
                _running[test, name] = future
                threading.Thread(target=_resolve, args=(future, body, name), name=f"{test}[{name}]").start()
        _running[test, engine].result()

    return run


@pytest.fixture
def on_all_stacks(engine: str, request: pytest.FixtureRequest, side_by_side: SideBySide) -> OnAllStacks:
    """The same on the shared deployments."""
    stacks = {name: request.getfixturevalue(f"{name}_stack") for name in _engines(request)}
    return lambda body: side_by_side(lambda name: body(stacks[name]))


def _engines(request: pytest.FixtureRequest) -> list[str]:
    """Those that this test was selected for, and that are there."""
    test = request.node.nodeid.partition("[")[0]
    chosen = [
        item.callspec.params["engine"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.nodeid.startswith(f"{test}[")
    ]
    return [name for name in chosen if name != "docker" or docker_answers()]


def _resolve(future: Future[None], body: Callable[[str], None], engine: str) -> None:
    try:
        body(engine)
    except BaseException as error:  # the test that waits for it gets it
        future.set_exception(error)
    else:
        future.set_result(None)


@pytest.fixture
def make_stack() -> Iterator[MakeStack]:
    """A deployment that the test may break; it is not started."""
    with ExitStack() as exits:
        yield lambda engine, **settings: exits.enter_context(Stack(engine, **settings))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Something that callbacks can be sent to."""
    with Receiver() as receiver:
        yield receiver


def pytest_runtest_logstart(nodeid: str) -> None:
    """What was said before this test began is not shown with it."""
    for stack in Stack.live:
        for program in stack.programs:
            program.shown = program.log.stat().st_size


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test shows what the processes of its deployments said since it began."""
    report = yield
    if report.failed:
        for stack in Stack.live:
            for program in stack.programs:
                text = program.output()[program.shown :][-_LOG_SHOWN:]
                if text:
                    report.sections.append((f"{stack.engine}: {program.name} (pid {program.pid})", text))
    return report
