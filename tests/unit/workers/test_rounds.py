"""However many hosts are slow or dead, those that answer are served."""

from __future__ import annotations

from workers.rounds import MOST, Rounds


def hosts(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


def test_hosts_that_have_not_proved_quick_leave_half_of_the_rounds_to_others() -> None:
    rounds = Rounds()
    for host in hosts("quick", MOST):
        rounds.answered(host, 0.1)
    slow = rounds.begin(hosts("unknown", 1_000), 0.0, 30.0)
    assert len(slow) == MOST // 2
    assert len(rounds.begin([*hosts("unknown", 1_000), *hosts("quick", MOST)], 0.0, 30.0)) == MOST // 2


def test_a_host_has_one_round_at_a_time() -> None:
    rounds = Rounds()
    assert rounds.begin(["one"], 0.0, 30.0) == ["one"]
    assert rounds.begin(["one"], 1.0, 30.0) == []
    rounds.ended("one")
    assert rounds.begin(["one"], 2.0, 30.0) == ["one"]


def test_a_round_that_nobody_reported_on_is_over_after_its_longest_time() -> None:
    rounds = Rounds()
    rounds.begin(["one"], 0.0, 30.0)
    assert rounds.begin(["one"], 29.0, 30.0) == []
    assert rounds.begin(["one"], 31.0, 30.0) == ["one"]


def test_each_of_many_slow_hosts_has_its_turn() -> None:
    rounds, served = Rounds(), set[str]()
    for turn in range(200):
        begun = rounds.begin(hosts("slow", 100), float(turn), 30.0)
        served |= set(begun)
        for host in begun:
            rounds.ended(host)
    assert served == set(hosts("slow", 100))


def test_who_answers_within_a_second_gets_more_connections() -> None:
    rounds = Rounds()
    few = rounds.connections("one")
    rounds.answered("one", 0.2)
    assert rounds.connections("one") > few
    for seconds in (1.5, None):
        rounds.answered("one", 0.2)
        rounds.answered("one", seconds)
        assert rounds.connections("one") == few


def test_it_does_not_grow_for_ever() -> None:
    rounds = Rounds()
    for host in hosts("quick", 25_000):
        rounds.answered(host, 0.1)
    assert len(rounds._quick) <= 10_000
