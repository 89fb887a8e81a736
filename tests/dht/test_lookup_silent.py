"""Lookups among black holes: silence costs time, so little of it is had with whoever names the silent."""

from __future__ import annotations

from asking import OWN, answers, ask, at, lookup

from p2pnb.dht.lookup import Lookup
from p2pnb.wire.contact import Contact


def among(silent: set[int], doubted: set[int], *seeds: int, record: bool = False) -> Lookup:
    return Lookup(
        0, OWN, [at(uid) for uid in seeds], want=3, alpha=2, now=0.0, prefer_linked=record,
        is_silent=lambda each: each.uid in silent, is_doubted=doubted.__contains__,
    )  # fmt: skip


def inventions(count: int = 20) -> list[Contact]:
    return [at(uid) for uid in range(1, count + 1)]


def test_what_a_liar_names_is_passed_over_once_two_of_it_are_silent() -> None:
    it = lookup(1_000, 1_010, 1_020, 1_030)
    ask(it)
    it.replied(at(1_000), inventions(), 0.1)
    it.replied(at(1_010), [], 0.1)
    asked = ask(it, 0.1)
    while (now := it.wake(0.0)) is not None:
        for uid in ask(it, now):
            asked.append(uid)
            if uid is not None and uid > 100:
                it.replied(at(uid), [], now)
    assert it.finished
    assert answers(it)[:2] == [1_000, 1_010]
    assert sum(uid is not None and uid <= 20 for uid in asked) <= 3
    assert 1_000 in it.doubted
    assert it.rpcs <= 7


def test_it_is_taken_back_when_those_come_to_speak() -> None:
    it = lookup(1_000, 1_010, 1_020, 1_030)
    ask(it)
    it.replied(at(1_000), inventions(), 0.1)
    it.replied(at(1_010), [], 0.1)
    assert ask(it, 0.1) == [1, 2]
    assert ask(it, 1.1) == [1_020, 1_030], "the others that it named are not asked"
    it.replied(at(1), [], 1.4)
    it.replied(at(2), [], 1.4)
    assert ask(it, 1.4) == []
    it.replied(at(1_020), [], 1.5)
    assert ask(it, 1.5) == [3]


def test_honest_referrers_who_name_some_of_the_dead_are_not_passed_over() -> None:
    """Where our own table fares no better."""
    it = lookup(1_000, 1_010, want=2, alpha=4)
    ask(it)
    it.replied(at(1_000), inventions(6), 0.1)
    asked = ask(it, 0.1)
    assert asked == [1, 2, 3][: len(asked)]
    it.replied(at(1), [], 0.2)
    more = ask(it, 2.0)
    assert more, "one of three has answered, and so did one of two in our table"


def test_whoever_was_silent_lately_is_not_asked_for_the_nearest_while_others_answer() -> None:
    it = among({10, 20}, set(), 10, 20, 30, 40, 50)
    assert ask(it) == [10, 20], "nobody has answered yet"
    it = among({20}, set(), 10, 20, 30, 40)
    first = ask(it)
    it.replied(at(10), [], 0.1)
    asked = [*first, *ask(it, 0.1)]
    for uid in asked[1:]:
        if uid != 20:
            it.replied(at(uid or 0), [], 0.2)
    assert 30 in asked


def test_a_record_is_not_said_to_be_nowhere_before_the_silent_were_asked() -> None:
    for record in (False, True):
        it = among({5}, set(), 10, 30, 40, record=record)
        ask(it)
        it.replied(at(10), [at(5)], 0.1)
        it.replied(at(30), [], 0.1)
        assert ask(it, 0.1) == ([40, 5] if record else [40])
        it.replied(at(40), [], 0.2)
        assert it.finished is not record


def test_whoever_named_the_silent_before_has_no_more_tries() -> None:
    it = among(set(), {1_000}, 1_000, 1_010, 1_020)
    ask(it)
    it.replied(at(1_010), [], 0.1)
    assert ask(it, 0.1) == [1_020]
    it.replied(at(1_020), [], 0.2)
    it.replied(at(1_000), inventions(), 0.2)
    assert ask(it, 0.2) == []
    assert it.finished
