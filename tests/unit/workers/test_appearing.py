"""What counts as having appeared: whole, new or written anew, and not there before the trigger was."""

from __future__ import annotations

from workers.appearing import Found, compare


def found(look: str = "1", changed_ms: int = 1000) -> Found:
    return Found(look=look, size=1, etag=look, changed_ms=changed_ms)


def test_a_file_counts_once_two_looks_find_it_the_same() -> None:
    now = {"a": found()}
    assert compare(now, {}, {}, since_ms=0).created == ()
    assert compare(now, {"a": found("half")}, {}, since_ms=0).created == ()
    assert compare(now, now, {}, since_ms=0).created == ("a",)
    assert compare(now, now, {"a": "1"}, since_ms=0).created == ()


def test_an_object_of_a_bucket_is_whole_at_once() -> None:
    assert compare({"a": found()}, None, {}, since_ms=0).created == ("a",)


def test_what_was_there_before_the_trigger_is_known_and_not_told() -> None:
    now = {"old": found(changed_ms=999), "new": found(changed_ms=1000)}
    changes = compare(now, None, {}, since_ms=1000)
    assert (changes.created, changes.known) == (("new",), ("old",))


def test_what_is_written_anew_is_created_again_however_old_it_says_it_is() -> None:
    assert compare({"a": found("2", changed_ms=1)}, None, {"a": "1"}, since_ms=1000).created == ("a",)


def test_what_is_gone_was_removed_also_if_it_was_never_told() -> None:
    changes = compare({}, {"a": found()}, {"a": "1", "b": "2"}, since_ms=0)
    assert sorted(changes.removed) == ["a", "b"]
    assert changes.created == ()


def test_the_oldest_comes_first() -> None:
    now = {"c": found(changed_ms=3), "b": found(changed_ms=1), "a": found(changed_ms=3)}
    assert compare(now, None, {}, since_ms=0).created == ("b", "a", "c")
