"""A lookup, step by step: slots, patience, the end, hints and what is never done with them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from asking import OWN, answers, ask, at, lookup

from p2pnb.dht.candidate import TRANSITIONS
from p2pnb.dht.lookup import Lookup
from p2pnb.errors import LocalProtocolError
from p2pnb.wire.contact import contact

# --- whom to ask, and when to end -------------------------------------------------------------------------------------


def test_the_nearest_are_asked_alpha_at_a_time() -> None:
    it = lookup(40, 10, 30, 20)
    assert ask(it) == [10, 20]
    it.replied(at(20), [], 0.1)
    assert ask(it, 0.1) == [30]
    it.replied(at(10), [at(5)], 0.2)
    assert ask(it, 0.2) == [5], "a reply is used the moment it comes"
    it.replied(at(5), [], 0.3)
    assert it.finished, "30 has not answered, but it is not among the three nearest any more"
    assert answers(it) == [5, 10, 20]


def test_it_ends_when_the_nearest_that_are_left_have_answered() -> None:
    it = lookup(10, 20, 30, 40)
    ask(it)
    it.replied(at(10), [at(5)], 0.1)
    it.replied(at(20), [], 0.1)
    assert ask(it, 0.1) == [5]
    it.replied(at(5), [at(10), at(20)], 0.2)
    assert it.finished
    assert answers(it) == [5, 10, 20]
    assert (it.rpcs, it.dials, it.hops) == (3, 3, 2)
    assert it.wake(0.2) is None
    assert ask(it, 9.0) == []


def test_nothing_beyond_the_nearest_is_asked() -> None:
    it = lookup(10, 20, 30, 40, want=2, alpha=10)
    assert ask(it) == [10, 20]
    it.failed(at(10), 0.1, dialled=False)
    assert ask(it, 0.1) == [30]


def test_it_ends_when_nobody_is_left_to_ask() -> None:
    it = lookup(10, 20)
    ask(it)
    it.replied(at(10), [at(10), at(20), at(OWN)], 0.1)
    assert not it.finished
    it.failed(at(20), 0.2, dialled=True)
    assert it.finished
    assert answers(it) == [10]
    assert it.hops == 1


def test_without_seeds_it_is_over_at_once() -> None:
    it = lookup()
    assert it.finished
    assert ask(it) == []
    assert (it.nearest, it.hops, it.rpcs) == ([], 0, 0)
    assert lookup(OWN).finished, "it never asks itself"


def test_a_verified_record_ends_it() -> None:
    it = lookup(10, 20, 30)
    ask(it)
    it.replied(at(20), [at(7)], 0.1)
    ask(it, 0.1)
    it.found(at(7), 0.2)
    assert it.finished
    assert answers(it) == [7, 20]
    assert it.hops == 2
    it.replied(at(10), [at(1)], 0.3)
    it.failed(at(30), 0.3, dialled=True)
    it.found(at(10), 0.3)
    assert not it.connected(at(10), 10, 0.3)
    assert answers(it) == [7, 20], "what comes after the end is ignored"


def test_more_than_wanted_may_have_answered() -> None:
    it = lookup(10, 20, 30, want=1, alpha=3, patience=0.0)
    ask(it)
    it.replied(at(30), [], 0.1)
    assert it.finished
    it = lookup(10, 20, want=1, alpha=1)
    ask(it)
    it.replied(at(10), [at(5)], 0.1)
    ask(it, 0.1)
    it.replied(at(5), [], 0.2)
    assert it.finished
    assert answers(it) == [5]
    assert [each.uid for each in it.answered(5)] == [5, 10]


@pytest.mark.parametrize(("want", "alpha"), [(0, 3), (3, 0), (-1, 1)])
def test_nothing_can_be_neither_wanted_nor_asked(want: int, alpha: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        lookup(10, want=want, alpha=alpha)


@pytest.mark.parametrize(("prefer_linked", "order"), [(False, [10, 20, 30]), (True, [20, 10, 30])])
def test_of_the_nearest_those_that_take_no_dial_may_go_first(prefer_linked: bool, order: list[int]) -> None:
    seeds = [at(uid) for uid in (10, 20, 30, 40)]
    it = Lookup(0, OWN, seeds, want=3, alpha=9, now=0.0, is_linked={20, 40}.__contains__, prefer_linked=prefer_linked)
    assert ask(it) == order, "40 is linked, but not among the nearest"
    assert it.dials == 2


# --- patience ---------------------------------------------------------------------------------------------------------


def test_the_slow_give_their_slot_away() -> None:
    it = lookup(10, 20, 30, 40)
    ask(it)
    assert it.wake(0.5) == 1.0
    assert ask(it, 0.99) == []
    assert ask(it, 1.0) == [30, 40]
    assert it.wake(1.0) == 2.0
    assert it.wake(7.0) == 7.0, "not in the past"


def test_the_slow_do_not_hold_up_the_end_but_may_still_answer() -> None:
    it = lookup(10, 20, 30, 40)
    ask(it)
    it.replied(at(20), [], 0.5)
    assert ask(it, 0.5) == [30]
    assert ask(it, 1.0) == [40]
    it.replied(at(10), [at(5)], 1.2)
    assert ask(it, 1.2) == [], "10 is slow no more, and 30 and 40 have the slots"
    it.replied(at(30), [], 1.3)
    assert ask(it, 1.3) == [5]
    ask(it, 2.3)
    assert it.finished, "5 is slow, and the nearest three that are not have answered"
    assert answers(it) == [10, 20, 30]


def test_the_slow_are_waited_for_as_long_as_nobody_has_answered() -> None:
    it = lookup(10, 20)
    ask(it)
    ask(it, 3.0)
    assert not it.finished
    assert it.wake(3.0) is None
    it.replied(at(20), [at(5)], 4.0)
    assert ask(it, 4.0) == [5]
    it.failed(at(5), 4.5, dialled=True)
    assert it.finished
    assert answers(it) == [20]


def test_when_all_have_failed_it_is_over() -> None:
    it = lookup(10, 20)
    ask(it)
    ask(it, 2.0)
    it.failed(at(10), 5.0, dialled=True)
    assert not it.finished
    it.failed(at(20), 5.0, dialled=False)
    assert it.finished
    assert it.nearest == []


def test_a_scout_is_the_nearest_seed_that_takes_no_dial() -> None:
    it = Lookup(
        0, OWN, [at(uid) for uid in (10, 20, 30, 40, 50)], want=2, alpha=1, now=0.0, is_linked={40, 50}.__contains__, scout=True
    )
    assert ask(it) == [40]
    it.replied(at(40), [at(5)], 0.1)
    assert ask(it, 0.1) == [5], "then the nearest, whoever named it"
    assert it.dials == 1


# --- hints ------------------------------------------------------------------------------------------------------------


def test_twenty_hints_of_a_reply_are_considered() -> None:
    it = lookup(500, want=30)
    ask(it)
    it.replied(at(500), (at(uid) for uid in range(100, 400)), 0.1)
    assert [event.contact.uid for event in it.events if event.event == "named"][1:] == list(range(100, 120))


def test_it_never_asks_itself() -> None:
    it = lookup(50, alpha=10)
    ask(it)
    it.replied(at(50), [at(OWN), contact("127.0.0.1", 999, 3), contact("127.0.0.1", 999), at(50)], 0.1)
    assert it.finished


@pytest.mark.parametrize("ip", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1%eth0", "example.org", "", "1.2.3"])
def test_what_is_no_host_is_never_dialled(ip: str) -> None:
    it = lookup(50, alpha=10)
    ask(it)
    it.replied(at(50), [contact(ip, 5, 3), contact("127.0.0.1", 0, 4)], 0.1)
    assert it.finished


@pytest.mark.parametrize(
    ("referrer", "hint", "accepted"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "192.168.1.2", True),
        ("127.0.0.1", "93.184.216.34", True),
        ("192.168.1.1", "127.0.0.1", False),
        ("192.168.1.1", "10.0.0.1", True),
        ("93.184.216.34", "127.0.0.1", False),
        ("93.184.216.34", "192.168.1.1", False),
        ("93.184.216.34", "::ffff:192.168.1.1", False),
        ("93.184.216.34", "93.184.216.35", True),
    ],
)
def test_addresses_are_accepted_from_the_same_or_a_narrower_scope(referrer: str, hint: str, accepted: bool) -> None:
    it = Lookup(0, OWN, [at(50, referrer)], want=3, now=0.0)
    ask(it)
    it.replied(at(50, referrer), [at(3, hint)], 0.1)
    assert ask(it, 0.1) == ([3] if accepted else [])


def test_referrers_take_turns() -> None:
    it = lookup(500, 600, want=10, alpha=4)
    ask(it)
    it.replied(at(500), [at(uid) for uid in (10, 11, 12, 13)], 0.1)
    it.replied(at(600), [at(uid) for uid in (20, 21, 22, 23)], 0.1)
    assert ask(it, 0.1) == [10, 20, 11, 21]


def test_a_referrer_whose_hints_proved_true_may_have_as_many_more_in_flight() -> None:
    it = lookup(500, 600, want=10, alpha=4)
    ask(it)
    it.replied(at(600), [at(uid) for uid in (20, 21, 22, 23)], 0.1)
    it.replied(at(500), [at(600), *(at(uid) for uid in (10, 11, 12, 13))], 0.1)
    assert ask(it, 0.1) == [10, 11, 20, 12]


def test_saying_something_true_often_makes_it_no_truer() -> None:
    it = lookup(500, 600, want=10, alpha=1)
    ask(it)
    it.replied(at(500), [*[at(600)] * 10, *(at(uid) for uid in range(10, 20))], 0.1)
    while not it.finished:
        (uid,) = ask(it, 0.1)
        if uid == 600:
            it.replied(at(600), [], 0.2)
        else:
            it.failed(at(uid or 0), 0.2, dialled=True)
    assert sum(event.event == "refuted" for event in it.events) == 6
    assert sum(event.event == "dropped" for event in it.events) == 4


def test_a_referrer_in_doubt_has_to_wait_even_if_its_hints_fill_the_window() -> None:
    it = lookup(500, 600, want=3, alpha=1)
    ask(it)
    it.replied(at(500), [at(uid) for uid in range(10, 30)], 0.1)
    assert ask(it, 0.1) == [10]
    it.failed(at(10), 0.2, dialled=True)
    assert ask(it, 0.2) == [600], "farther than the three nearest, but from our own table"
    it.replied(at(600), [at(40)], 0.3)
    assert ask(it, 0.3) == [11], "600 is not trusted that much more yet"
    it.failed(at(11), 0.4, dialled=True)
    assert ask(it, 0.4) == [40]


def test_after_three_refuted_hints_the_others_of_that_referrer_are_dropped() -> None:
    it = lookup(500, want=5, alpha=3)
    ask(it)
    it.replied(at(500), [at(uid) for uid in range(10, 30)], 0.1)
    assert ask(it, 0.1) == [10, 11, 12]
    for uid in (10, 11, 12):
        assert not it.finished
        it.failed(at(uid), 0.2, dialled=True)
    assert it.finished
    assert sum(event.event == "dropped" for event in it.events) == 17
    assert answers(it) == [500]


def test_what_somebody_else_names_as_well_is_not_dropped() -> None:
    it = lookup(500, 600, want=4, alpha=3)
    ask(it)
    it.replied(at(500), [at(uid) for uid in range(10, 18)], 0.1)
    it.replied(at(600), [at(16), at(17)], 0.1)
    assert ask(it, 0.1) == [10, 11, 12]
    for uid in (10, 11, 12):
        it.failed(at(uid), 0.2, dialled=True)
    assert [event.contact.uid for event in it.events if event.event == "dropped"] == [13, 14, 15], "16 and 17 have two referrers"
    assert ask(it, 0.2) == [16, 17]


def test_the_dropped_are_tried_after_all_when_somebody_better_names_them() -> None:
    it = lookup(500, 600, want=2, alpha=5)
    assert ask(it) == [500, 600]
    it.replied(at(500), [at(uid) for uid in range(10, 16)], 0.1)
    assert ask(it, 0.1) == [10, 11]
    it.failed(at(10), 0.2, dialled=True)
    it.failed(at(11), 0.2, dialled=True)
    assert ask(it, 0.2) == [12, 13]
    it.failed(at(12), 0.3, dialled=True)
    assert {event.contact.uid for event in it.events if event.event == "dropped"} == {14, 15}
    it.replied(at(600), [at(15)], 0.4)
    assert ask(it, 0.4) == [15]


def test_whoever_names_what_was_refuted_already_is_charged_for_it() -> None:
    it = lookup(500, 600, want=2, alpha=5)
    ask(it)
    it.replied(at(500), [at(10), at(11), at(12)], 0.1)
    ask(it, 0.1)
    for uid in (10, 11):
        it.failed(at(uid), 0.2, dialled=True)
    ask(it, 0.2)
    it.failed(at(12), 0.2, dialled=True)
    it.replied(at(600), [at(uid) for uid in range(10, 20)], 0.3)
    assert it.finished, "600 repeats what has been refuted three times; its other hints are not worth a dial"


def test_a_broken_link_is_nobodys_fault() -> None:
    it = lookup(500, want=5, alpha=3)
    ask(it)
    it.replied(at(500), [at(uid) for uid in range(10, 30)], 0.1)
    for _ in range(10):
        for uid in ask(it, 0.1):
            it.failed(at(uid or 0), 0.2, dialled=False)
    assert not any(event.event == "dropped" for event in it.events)


def test_where_our_own_contacts_are_dead_as_well_nobody_is_a_liar() -> None:
    it = lookup(500, 501, 502, 503, want=5, alpha=4)
    ask(it)
    for uid in (501, 502, 503):
        it.failed(at(uid), 0.1, dialled=True)
    it.replied(at(500), [at(uid) for uid in range(10, 30)], 0.1)
    for uid in (10, 11, 12, 13, 14, 15):
        assert it.next(0.1) == at(uid)
        it.failed(at(uid), 0.2, dialled=True)
    assert not any(event.event == "dropped" for event in it.events)


# --- the table of transitions -----------------------------------------------------------------------------------------


def test_what_the_table_does_not_list_is_refused() -> None:
    it = lookup(10, 20, 30)
    ask(it)
    with pytest.raises(LocalProtocolError, match="never named"):
        it.replied(at(99), [], 0.1)
    with pytest.raises(LocalProtocolError, match="never named"):
        it.failed(contact("127.0.0.1", 5, 10), 0.1, dialled=True)
    with pytest.raises(LocalProtocolError, match="is untried: it cannot be replied"):
        it.replied(at(30), [], 0.1)
    it.replied(at(10), [], 0.1)
    with pytest.raises(LocalProtocolError, match="is answered: it cannot be replied"):
        it.replied(at(10), [], 0.1)
    it.failed(at(20), 0.1, dialled=True)
    with pytest.raises(LocalProtocolError, match="is refuted: it cannot be found"):
        it.found(at(20), 0.1)
    assert [each.uid for each in it.answered(9)] == [10], "a mistake changes nothing"


def test_the_table_is_sound() -> None:
    states = {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values())
    reached = {"unnamed"}
    for _ in states:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == states, "every state can be reached"
    into_flight = [before for (before, _), after in TRANSITIONS.items() if after == "in flight"]
    assert into_flight == ["untried"]
    into_untried = {before for (before, _), after in TRANSITIONS.items() if after == "untried"}
    assert into_untried == {"unnamed", "dropped"}, "nobody is asked twice"


def test_events_tell_the_whole_story() -> None:
    it = lookup(10, 20, alpha=1, want=2)
    ask(it, 0.5)
    it.replied(at(10), [at(5)], 0.75)
    ask(it, 0.75)
    ask(it, 1.75)
    assert [(event.time, event.event, event.contact.uid, event.referrer, event.hop) for event in it.events] == [
        (0.0, "named", 10, None, 1),
        (0.0, "named", 20, None, 1),
        (0.5, "asked", 10, None, 1),
        (0.75, "replied", 10, None, 1),
        (0.75, "named", 5, 10, 2),
        (0.75, "asked", 5, 10, 2),
        (1.75, "slow", 5, 10, 2),
        (1.75, "asked", 20, None, 1),
    ]
    assert all(first.time <= second.time for first, second in pairwise(it.events))
