"""Ids: they sort by time, and only who knows the secret can make one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.ids import IdMint, created_ms

MINT = IdMint("a secret")
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)


@given(secret=st.text(), function=NAMES)
def test_an_id_is_ours_and_a_uuid_of_version_7(secret: str, function: str) -> None:
    mint = IdMint(secret)

    invocation_id = mint.new(function)

    assert mint.is_ours(function, invocation_id)
    assert IdMint(secret).is_ours(function, invocation_id), "another process of the deployment agrees"
    value = uuid.UUID(invocation_id)
    assert str(value) == invocation_id
    assert (value.version, value.variant) == (7, uuid.RFC_4122)


@given(function=NAMES, bit=st.integers(0, 127))
def test_no_bit_of_an_id_can_be_changed(function: str, bit: int) -> None:
    value = uuid.UUID(MINT.new(function)).int

    assert not MINT.is_ours(function, str(uuid.UUID(int=value ^ 1 << bit)))


@given(function=NAMES, other=NAMES)
def test_an_id_belongs_to_one_function(function: str, other: str) -> None:
    assert MINT.is_ours(other, MINT.new(function)) == (function == other)


def test_an_id_belongs_to_one_deployment() -> None:
    assert not IdMint("another secret").is_ours("one", MINT.new("one"))


@given(st.text() | st.uuids().map(str) | st.uuids(version=4).map(str))
def test_what_somebody_invented_is_not_ours(invented: str) -> None:
    assert not MINT.is_ours("one", invented)


@pytest.mark.parametrize(
    "respell", [str.upper, lambda text: text.replace("-", ""), lambda text: text + "\n", "{{{}}}".format]
)
def test_an_id_has_one_spelling(respell: Callable[[str], str]) -> None:
    assert not MINT.is_ours("one", respell(MINT.new("one")))


def test_the_id_of_a_batch_is_no_id_of_an_invocation_nor_the_other_way_round() -> None:
    batch = MINT.new_batch("one")

    assert MINT.is_our_batch("one", batch)
    assert not MINT.is_ours("one", batch)
    assert not MINT.is_our_batch("another", batch)
    assert not MINT.is_our_batch("one", MINT.new("one"))


def test_the_ids_of_a_batchs_jobs_are_always_the_same_and_ours() -> None:
    batch = MINT.new_batch("one")
    ids = [MINT.member("one", batch, index) for index in range(10_000)]

    assert ids == [IdMint("a secret").member("one", batch, index) for index in range(10_000)]
    assert all(MINT.is_ours("one", invocation_id) for invocation_id in ids)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert ids == sorted(set(ids)), "they sort as the jobs do"
    assert created_ms(ids[-1]) - created_ms(batch) < 1_000, "and lie not far in the future"


@given(index=st.integers(0, 9_999))
def test_a_job_tells_its_place_in_its_batch_and_in_no_other(index: int) -> None:
    batch, other = MINT.new_batch("one"), MINT.new_batch("one")
    invocation_id = MINT.member("one", batch, index)

    assert MINT.index("one", batch, invocation_id) == index
    assert MINT.index("one", other, invocation_id) is None
    assert MINT.index("another", batch, invocation_id) is None
    assert MINT.index("one", batch, MINT.new("one")) is None


def test_ids_do_not_repeat() -> None:
    assert len({MINT.new("one") for _ in range(10_000)}) == 10_000


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = created_ms(MINT.new("one"))

    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_sort_by_the_time_at_which_they_were_made() -> None:
    ids = [MINT.new("one") for _ in range(1_000)]

    times = [created_ms(invocation_id) for invocation_id in sorted(ids)]

    assert times == sorted(times)
    assert created_ms(ids[0]) <= created_ms(ids[-1])


def test_the_time_is_in_the_first_48_bits() -> None:
    assert created_ms("0190163d-8694-739b-aea5-966c26f8ad91") == 0x0190163D8694


def test_ids_sort_in_the_order_in_which_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1_000] * 5_000 + [999] * 10 + [1_001] * 10 + [2_000])
    monkeypatch.setattr("penstock.clock.now_ms", lambda: next(times))
    mint = IdMint("secret")

    made = [mint.new("echo") for _ in range(5_021)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert created_ms(made[-1]) == 2_000
