"""What a client asks for in its headers: RFC 7240 as written, and everything else ignored or refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission import Plan, Preferences, plan, preferences, retry_after, wait_parameter
from gateway.callbacks import Callback
from penstock.egress import LOOPBACK, Egress
from penstock.errors import InvalidRequest

ASYNC = Preferences(respond_async=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Preferences()),
        ([""], Preferences()),
        (["respond-async"], ASYNC),
        (["Respond-Async"], ASYNC),
        (["  respond-async  "], ASYNC),
        (["respond-async="], ASYNC),
        (['respond-async=""'], ASYNC),
        (["respond-async; foo=bar"], ASYNC),
        (["respond-async;foo"], ASYNC),
        (["wait=10"], Preferences(wait=10)),
        (["WAIT=10"], Preferences(wait=10)),
        (["wait = 10"], Preferences(wait=10)),
        (['wait="10"'], Preferences(wait=10)),
        (["wait=0"], Preferences(wait=0)),
        (["wait=007"], Preferences(wait=7)),
        (["wait=10; foo=1"], Preferences(wait=10)),
        (["respond-async, wait=10"], Preferences(respond_async=True, wait=10)),
        (["wait=10,respond-async"], Preferences(respond_async=True, wait=10)),
        (["respond-async", "wait=10"], Preferences(respond_async=True, wait=10)),
        (["handling=lenient, respond-async, return=minimal, wait=5"], Preferences(respond_async=True, wait=5)),
        ([", ,respond-async,,"], ASYNC),
    ],
)
def test_a_preference_is_read_as_the_rfc_spells_it(values: list[str], expected: Preferences) -> None:
    assert preferences(values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["wait=5, wait=10"], 5),
        (["wait=5", "wait=10"], 5),
        (["wait=soon, wait=10"], None),
    ],
)
def test_of_a_preference_given_twice_the_first_counts(values: list[str], expected: int | None) -> None:
    assert preferences(values).wait == expected


@pytest.mark.parametrize(
    "value",
    [
        "respond-async=true",
        "respond-async=no",
        "respondasync",
        "respond_async",
        "x-respond-async",
        "respond-async foo",
        "wait",
        "wait=",
        'wait=""',
        "wait=-1",
        "wait=+1",
        "wait=1.5",
        "wait=10s",
        "wait=1e3",
        "wait=0x10",
        "wait=٣",
        "wait=²",
        "wait=1_000",
        "wait=1 2",
        "wait=9999999999999999999999",
        'wait="1',
        "wait=1=2",
        "=5",
        "wait:10",
        "\x00",
        "préférence=1",
    ],
)
def test_a_preference_that_cannot_be_read_is_ignored(value: str) -> None:
    assert preferences([value]) == Preferences()
    if not value.startswith("wait"):
        assert preferences([value, "wait=3"]).wait == 3, "and it spoils no other"


@pytest.mark.parametrize(
    "value", ['note="a, respond-async, b"', 'note="a,respond-async"', 'note="x", note2="a, wait=5 , b"']
)
def test_what_stands_in_a_quoted_string_is_no_preference(value: str) -> None:
    assert preferences([value]) == Preferences()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=3))
def test_no_header_makes_it_fail(values: list[str]) -> None:
    found = preferences(values)
    assert found.wait is None or found.wait >= 0


CALLED = {"Penstock-Callback-Url": "https://example.com/hook"}


def planned(prefer: Preferences, **headers: str) -> Plan:
    return plan(headers, prefer, hold=55.0, max_hold=300.0, egress=Egress(allow=LOOPBACK))


@pytest.mark.parametrize(
    ("prefer", "is_job", "hold"),
    [
        (Preferences(), False, 55.0),
        (ASYNC, True, 0.0),
        (Preferences(wait=10), False, 10.0),
        (Preferences(wait=300), False, 300.0),
        (Preferences(wait=301), False, 300.0),
        (Preferences(wait=999_999_999), False, 300.0),
        (Preferences(respond_async=True, wait=10), True, 10.0),
        (Preferences(respond_async=True, wait=0), True, 0.0),
        (Preferences(respond_async=True, wait=1000), True, 300.0),
    ],
)
def test_a_plan_holds_for_as_long_as_was_asked_and_is_allowed(
    prefer: Preferences, is_job: bool, hold: float
) -> None:
    preferred = prefer != Preferences()
    assert planned(prefer) == Plan(preferred=preferred, is_job=is_job, hold=hold, callback=None)


def test_a_wait_of_zero_holds_nothing() -> None:
    assert planned(Preferences(wait=0)).hold == 0.0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9999/",
        "https://example.com",
        "https://example.com/hook?id=1#x",
        "https://user:secret@example.com/hook",
        "HTTPS://EXAMPLE.COM/",
        "http://[::1]:8080/hook",
        "https://xn--bcher-kva.example/",
    ],
)
def test_a_callback_is_an_http_url_with_a_host(url: str) -> None:
    assert planned(ASYNC, **{"Penstock-Callback-Url": url}).callback == Callback(url=url)


def test_a_callback_that_leads_inside_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match=r"Callback-Url .* leads to 10\.0\.0\.1, .* unless PENSTOCK_"):
        planned(ASYNC, **{"Penstock-Callback-Url": "http://10.0.0.1/"})


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("completed", ("completed",)),
        ("started", ("started",)),
        ("Completed, STARTED", ("started", "completed")),
        ("output,progress", ("progress", "output")),
        ("started,started", ("started",)),
    ],
)
def test_a_callback_is_told_of_what_was_asked_for(text: str, events: tuple[str, ...]) -> None:
    told = planned(ASYNC, **CALLED | {"Penstock-Callback-Events": text}).callback
    assert told is not None
    assert told.events == events


@pytest.mark.parametrize("text", ["", "all", "completed,", "completed finished", "started;completed"])
def test_another_event_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a list of started, progress, output, completed"):
        planned(ASYNC, **CALLED | {"Penstock-Callback-Events": text})


def test_a_callback_is_full_or_thin() -> None:
    assert planned(ASYNC, **CALLED).callback == Callback(url=CALLED["Penstock-Callback-Url"], payload="full")
    told = planned(ASYNC, **CALLED | {"Penstock-Callback-Payload": "Thin"}).callback
    assert told is not None
    assert told.payload == "thin"
    with pytest.raises(InvalidRequest, match="'small' is none of full, thin"):
        planned(ASYNC, **CALLED | {"Penstock-Callback-Payload": "small"})


@pytest.mark.parametrize("name", ["Penstock-Callback-Events", "Penstock-Callback-Payload"])
def test_what_is_told_needs_somebody_to_tell(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} says what to tell"):
        planned(ASYNC, **{name: "thin"})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com/hook",
        "/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///hook",
        "http://:80/",
        "http://?x",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://[::1/",
        "http://exa mple.com/",
        " http://example.com/",
        "http://example.com/\thook",
        "http://bücher.example/",
        "http://example.com/ü",
    ],
)
def test_another_callback_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"is not an http:// or https:// URL with a host"):
        planned(ASYNC, **{"Penstock-Callback-Url": url})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 0), ("0", 0), ("1", 1), ("30", 30), ("300", 300), ("301", 300), ("999999999", 300)],
)
def test_wait_is_a_whole_number_of_seconds_and_capped(text: str | None, seconds: float) -> None:
    assert wait_parameter(text, longest=300.0) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", "30s", "abc", " 1", "1 ", "٣", "²", "0x1", "1" * 10, "true"]
)
def test_another_wait_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a whole number of seconds"):
        wait_parameter(text, longest=300.0)


@pytest.mark.parametrize(
    ("waiting", "rate", "seconds"),
    [
        (1000, None, 5),
        (1000, 0.0, 5),
        (1000, 100.0, 1),
        (1000, 50.0, 2),
        (1000, 40.0, 3),
        (1000, 2.0, 50),
        (1000, 1.0, 60),
        (100_000, 0.001, 60),
        (1, 1e9, 1),
        (0, 1.0, 1),
    ],
)
def test_retry_after_is_the_time_for_a_tenth_of_the_queue_between_1_s_and_60_s(
    waiting: int, rate: float | None, seconds: int
) -> None:
    assert retry_after(waiting, rate) == seconds


@settings(deadline=None)
@given(st.integers(0, 10**7), st.none() | st.floats(0.01, 1e6))
def test_retry_after_is_a_whole_number_within_its_bounds(waiting: int, rate: float | None) -> None:
    seconds = retry_after(waiting, rate)
    assert isinstance(seconds, int)
    assert 1 <= seconds <= 60
