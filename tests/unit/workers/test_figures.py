"""What the leader counts about functions, and whose series stay."""

from __future__ import annotations

from penstock.invocation import Event, Failure, FailureCode, Outcome, State
from penstock.store import Sweep
from penstock.telemetry import catalogue as the
from penstock.telemetry.exposition import lines
from penstock.telemetry.metrics import Metrics
from tests.unit.workers.conftest import Hand
from tests.unit.workers.samples import SILENT, invocation
from workers.autoscaler import Decision
from workers.figures import Figures

FAILED = Outcome(event=Event.FAIL, failure=Failure(code=FailureCode.FUNCTION_ERROR, message="it raised"))
ANSWER = Outcome(event=Event.SUCCEED)


async def told(figures: Figures) -> dict[str, float]:
    """Series -> value, buckets left out."""
    found = [line for family in await figures.metrics.read() for line in lines(family)]
    pairs = (line.rpartition(" ") for line in found if line[0] != "#" and "_bucket{" not in line)
    return {series: float(value) for series, _, value in pairs}


async def test_one_call_is_counted_in_each_of_its_places(hand: Hand) -> None:
    figures = Figures(Metrics(), most=10)
    chat = figures.of("chat")
    chat.began(invocation(token=1, created_at=1_000, started_at=3_500, kind="job"), at_once=2)
    chat.ran(0.5, provisioned=True)
    chat.ended(State.SUCCEEDED, ANSWER, 3.0, dead=False)
    said = await told(figures)
    assert said['penstock_attempts_total{function="chat"}'] == 1
    assert said['penstock_invocation_wait_seconds_sum{function="chat"}'] == 2.5
    assert said['faas_invoke_duration_seconds_sum{function="chat"}'] == 0.5
    assert said['penstock_invocation_duration_seconds_sum{function="chat"}'] == 3.0
    assert said['penstock_invocations_total{function="chat",state="succeeded",code=""}'] == 1
    point = dict(chat.point)
    assert point.pop("d").keys()
    expected = {"c": 2, "m": 2.5, "mn": 1, "mm": 2.5, "r": 1, "t": 0.5, "p": 1, "l": 3.0, "ln": 1, "n": 1}
    assert point == expected


async def test_a_second_run_has_not_waited_anew(hand: Hand) -> None:
    figures = Figures(Metrics(), most=10)
    figures.of("chat").began(invocation(token=2, created_at=1_000, started_at=9_000), at_once=1)
    said = await told(figures)
    assert said['penstock_invocation_wait_seconds_count{function="chat"}'] == 0
    assert said['penstock_attempts_total{function="chat"}'] == 1


async def test_each_end_is_somebodys_fault(hand: Hand) -> None:
    figures = Figures(Metrics(), most=10)
    chat = figures.of("chat")
    chat.ended(State.FAILED, FAILED, 1.0, dead=True)
    chat.failed(State.FAILED, FailureCode.PAUSED, 2)
    chat.failed(State.FAILED, FailureCode.START_FAILED, 0)
    nothing = {"queued": 0, "held": 0, "running": 0, "delayed": 0, "oldest_ms": None}
    chat.swept(Sweep(**nothing, expired=3, requeued=4, failed=5, dead=6))  # type: ignore[arg-type]
    said = await told(figures)
    ended = 'penstock_invocations_total{function="chat",state='
    assert said[ended + '"failed",code="function_error"}'] == 1
    assert said[ended + '"failed",code="paused"}'] == 2
    assert said[ended + '"failed",code="instance_lost"}'] == 5
    assert said[ended + '"expired",code="expired"}'] == 3
    assert ended + '"failed",code="start_failed"}' not in said
    assert said['penstock_leases_lost_total{function="chat",became="requeued"}'] == 4
    assert said['penstock_dead_letters_total{function="chat"}'] == 7
    assert {name: chat.point[name] for name in ("n", "fe", "rt", "se", "x")} == {
        "n": 11,
        "fe": 1,
        "rt": 2,
        "se": 5,
        "x": 3,
    }


async def test_beyond_the_limit_functions_share_a_name(hand: Hand) -> None:
    figures = Figures(Metrics(), most=2)
    for function in ("a", "b", "c", "d"):
        figures.of(function).retried()
    said = await told(figures)
    retries = {series: value for series, value in said.items() if series.startswith("penstock_retries")}
    assert retries == {
        'penstock_retries_total{function="a"}': 1,
        'penstock_retries_total{function="b"}': 1,
        'penstock_retries_total{function="other"}': 2,
    }
    assert figures.functions.keys() == {"a", "b", "c", "d"}, "their own series in Redis they all have"


async def test_series_of_idle_and_of_deleted_functions_go(hand: Hand) -> None:
    figures = Figures(Metrics(), most=10)
    for function in ("idle", "deleted", "warm"):
        figures.of(function).retried()
        figures.count(the.STARTS, function).add()
    figures.tidy(active=["warm"], deleted=["deleted"])
    assert not [series for series in await told(figures) if '"deleted"' in series]
    hand.now += 601
    figures.tidy(active=["warm"], deleted=[])
    said = await told(figures)
    assert {series.split('"')[1] for series in said} == {"warm"}
    assert figures.functions.keys() == {"warm"}
    figures.of("idle").retried()
    assert (await told(figures))['penstock_retries_total{function="idle"}'] == 1, "it comes back from zero"


async def test_who_leads_no_more_has_no_series_of_functions(hand: Hand) -> None:
    figures = Figures(Metrics(), most=1)
    for function in ("a", "b"):
        figures.of(function).retried()
    figures.decided(Decision(desired=2, wanted=2, reason=""), 1)
    figures.close()
    assert list(await told(figures)) == ['penstock_scaling_decisions_total{kind="up"}']


async def test_decisions_are_counted_by_kind() -> None:
    figures = Figures(Metrics(), most=1)
    for decision, have in (
        (Decision(desired=2, wanted=2, reason=""), 1),
        (Decision(desired=0, wanted=0, reason=""), 1),
        (Decision(desired=1, wanted=1, reason=""), 1),
        (Decision(desired=2, wanted=2, reason="", guarded=True), 1),
        (Decision(desired=0, wanted=0, reason="", valid=False), 1),
    ):
        figures.decided(decision, have)
    kinds = {series.split('"')[1] for series in await told(figures)}
    assert kinds == {"up", "down", "hold", "overdue", "unknown"}


async def test_without_telemetry_nothing_piles_up() -> None:
    chat = SILENT.of("chat")
    chat.began(invocation(), at_once=1)
    chat.ran(0.5, provisioned=False)
    chat.ended(State.FAILED, FAILED, 1.0, dead=True)
    assert chat.point == {}
    assert SILENT.functions == {}
