"""What happened to an invocation is one sequence: read at once or in pieces, nothing is missing or told twice."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.events import BEGINNING, Event, Gap, Place, Stored, parse_id, sequence
from penstock.invocation import Invocation, State
from tests.unit.workers.samples import invocation

FRESH = invocation(state=State.QUEUED, token=0, started_at=None)
ENDS = [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.EXPIRED]


@dataclass
class History:
    """What becomes of an invocation, and each moment of it at which somebody may look."""

    record: Invocation = FRESH
    stored: list[Stored] = field(default_factory=list)
    gap: Gap | None = None
    moments: list[tuple[Invocation, tuple[Stored, ...], Gap | None]] = field(default_factory=list)

    def do(self, what: str) -> None:
        record = self.record
        match what, record.state:
            case "take", State.QUEUED:
                self.record = replace(record, state=State.RUNNING, token=record.token + 1, sent_back=False)
            case "say", State.RUNNING:
                number = sum(one.token == record.token for one in self.stored) + (
                    self.gap.through.rank if self.gap and self.gap.through.token == record.token else 0
                )
                self.stored.append(Stored(token=record.token, number=number + 1, kind="output", data="{}"))
            case "back", State.RUNNING:
                self.record = replace(record, state=State.QUEUED, sent_back=True)
            case "hand back", State.RUNNING:
                deferrals = record.deferrals + 1
                self.record = replace(record, state=State.QUEUED, sent_back=True, deferrals=deferrals)
            case "drop", _ if len(self.stored) > 1:
                self.gap = Gap(through=self.stored.pop(0).place, bytes=2)
            case _:
                return
        self.look()

    def end(self, state: State) -> None:
        self.record = replace(self.record, state=state, finished_at=1_700_000_000_900)
        self.look()

    def look(self) -> None:
        self.moments.append((self.record, tuple(self.stored), self.gap))


STEPS = st.lists(st.sampled_from(["take", "say", "say", "back", "hand back"]), max_size=25)


def history(steps: list[str], end: State | None) -> History:
    made = History()
    made.look()
    for step in steps:
        made.do(step)
    if end is not None:
        made.end(end)
    return made


def read(moment: tuple[Invocation, tuple[Stored, ...], Gap | None], after: Place) -> list[tuple[Place, Event]]:
    record, stored, gap = moment
    unread = [one for one in stored if one.place > after]  # as the store reads them
    return list(sequence(record, unread, after, gap=gap if gap and gap.through > after else None))


def ids(told: list[tuple[Place, Event]]) -> list[str | None]:
    return [event.id for _, event in told]


@given(STEPS, st.none() | st.sampled_from(ENDS), st.data())
def test_in_pieces_it_is_the_same_as_in_one_go(steps: list[str], end: State | None, data: st.DataObject) -> None:
    made = history(steps, end)
    looks = data.draw(st.lists(st.integers(0, len(made.moments) - 1), max_size=6).map(sorted))
    after, told = BEGINNING, []
    for look in [*looks, len(made.moments) - 1]:
        piece = read(made.moments[look], after)
        if piece and data.draw(st.booleans()):  # the connection breaks: only a part arrived
            piece = piece[: data.draw(st.integers(0, len(piece)))]
        told += piece
        if told:
            after = data.draw(st.sampled_from([told[-1][0], parse_id(told[-1][1].id)]))
    told += read(made.moments[-1], after)
    whole = ids(read(made.moments[-1], BEGINNING))
    assert ids(told) == whole
    assert None not in whole
    assert len(set(whole)) == len(whole)
    assert whole[0] == "0-queued"


@given(STEPS, st.none() | st.sampled_from(ENDS))
def test_places_rise_and_the_end_is_last(steps: list[str], end: State | None) -> None:
    told = read(history(steps, end).moments[-1], BEGINNING)
    places = [place for place, _ in told]
    assert places == sorted(set(places))
    assert [parse_id(event.id) for _, event in told] == places
    if end is not None:
        assert told[-1][1].kind == end


@given(
    st.lists(st.sampled_from(["take", "say", "say", "say", "back", "drop"]), max_size=40),
    st.lists(st.integers(0, 100), max_size=5).map(sorted),
)
def test_what_is_missing_is_told_as_a_gap(steps: list[str], looks: list[int]) -> None:
    made = history(steps, State.SUCCEEDED)
    said = {f"{one.token}-{one.number}" for _, stored, _ in made.moments for one in stored}
    after, told = BEGINNING, list[tuple[Place, Event]]()
    for look in [*(min(look, len(made.moments) - 1) for look in looks), len(made.moments) - 1]:
        piece = read(made.moments[look], after)
        told += piece
        after = piece[-1][0] if piece else after
    got = [event.id for _, event in told if event.kind == "output"]
    assert len(set(got)) == len(got)
    gaps = [place for place, event in told if event.kind == "gap"]
    missing = sorted(parse_id(one) for one in said.difference(str(one) for one in got))
    for place in missing:
        assert any(place <= gap for gap in gaps), "nothing is missing without a word"
    places = [place for place, _ in told]
    assert places == sorted(set(places))
    if not missing:
        assert not gaps


def test_a_gap_says_how_much_and_has_no_id() -> None:
    record = invocation(state=State.RUNNING)
    left = Stored(token=1, number=4, kind="log", data='{"line": "x"}')
    told = list(sequence(record, [left], BEGINNING, gap=Gap(through=Place(1, 3), bytes=300)))
    assert [(event.id, event.kind) for _, event in told] == [
        ("0-queued", "queued"),
        ("1-running", "running"),
        (None, "gap"),
        ("1-4", "log"),
    ]
    assert told[2][1].data == {"bytes": 300, "through": "1-3"}


def test_a_state_says_attempt_and_time() -> None:
    record = invocation(
        state=State.SUCCEEDED, token=2, deferrals=1, sent_back=False, finished_at=1_700_000_000_900
    )
    told = [event.data for _, event in sequence(record, [], BEGINNING)]
    assert told == [
        {"state": "queued", "attempt": 0, "at": "2023-11-14T22:13:20.000Z"},
        {"state": "running", "attempt": 0, "at": None},
        {"state": "queued", "attempt": 0, "at": None},
        {"state": "running", "attempt": 1, "at": "2023-11-14T22:13:20.100Z"},
        {"state": "succeeded", "attempt": 1, "at": "2023-11-14T22:13:20.900Z"},
    ]


@pytest.mark.parametrize("text", [None, ""])
def test_without_an_id_it_begins_at_the_beginning(text: str | None) -> None:
    assert parse_id(text) == BEGINNING


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1-",
        "-1",
        "1-started",
        "1-running ",
        "running",
        "1-1-1",
        "a-1",
        "\u0661-1",
        "1-" + "9" * 16,
        "1-RUNNING",
        "\n",
    ],
)
def test_an_id_that_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Last-Event-ID"):
        parse_id(text)


@given(st.text(max_size=20))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_id(text) >= BEGINNING
