"""A lookup, step by step: uids and addresses, hints without a uid, and limits on dials."""

from __future__ import annotations

import pytest
from asking import OWN, answers, ask, at, lookup

from p2pnb.dht.lookup import Lookup
from p2pnb.errors import LocalProtocolError
from p2pnb.wire.contact import contact

# --- one uid, several addresses ---------------------------------------------------------------------------------------

FALSE = contact("127.0.0.1", 4_444, 7)


def test_a_false_address_named_first_hides_nobody() -> None:
    it = lookup(500, 600, alpha=3)
    ask(it)
    it.replied(at(500), [FALSE], 0.1)
    assert it.next(0.1) is FALSE
    it.replied(at(600), [at(7)], 0.1)
    assert it.next(0.1) is None, "one address of a uid at a time"
    it.failed(FALSE, 0.2, dialled=True)
    assert it.next(0.2) == at(7)
    it.replied(at(7), [FALSE, at(7)], 0.3)
    assert it.finished
    assert it.nearest[0] == at(7)


def test_a_black_hole_named_first_hides_nobody_either() -> None:
    it = lookup(500, 600, alpha=3)
    ask(it)
    it.replied(at(500), [FALSE], 0.1)
    assert it.next(0.1) is FALSE
    it.replied(at(600), [at(7)], 0.1)
    assert it.next(1.1) == at(7)
    it.replied(at(7), [], 1.2)
    assert it.finished
    assert it.nearest[0] == at(7)


@pytest.mark.parametrize("late", ["replied", "failed", "found"])
def test_a_uid_that_has_answered_elsewhere_needs_no_second_answer(late: str) -> None:
    it = lookup(500, 600, 700, alpha=3, want=4)
    ask(it)
    it.replied(at(500), [FALSE], 0.1)
    it.replied(at(600), [at(7)], 0.1)
    assert it.next(0.1) is FALSE
    assert it.next(1.1) == at(7)
    it.replied(at(7), [at(8)], 1.2)
    assert it.next(1.2) == at(8)
    if late == "found":
        it.found(FALSE, 1.3)
        assert it.finished
    elif late == "failed":
        it.failed(FALSE, 1.3, dialled=True)
    else:
        it.replied(FALSE, [at(3)], 1.3)
        assert it.next(1.3) is None
    assert [each.uid for each in it.answered(9)].count(7) == 1


def test_other_addresses_of_who_has_answered_are_not_tried() -> None:
    it = lookup(500, 600, 7, alpha=3, want=4)
    ask(it)
    it.replied(at(500), [FALSE], 0.1)
    assert it.next(0.1) is None
    it.replied(at(7), [], 0.2)
    assert it.next(0.2) is None
    it.replied(at(600), [FALSE, contact("127.0.0.1", 5_555, 7)], 0.3)
    assert it.next(0.3) is None
    assert it.finished


# --- hints without a uid ----------------------------------------------------------------------------------------------

NAMELESS = contact("127.0.0.1", 77)


def nameless(want: int = 4) -> Lookup:
    it = lookup(500, want=want, alpha=2)
    ask(it)
    it.replied(at(500), [NAMELESS, NAMELESS, at(40)], 0.1)
    assert ask(it, 0.1) == [40, None], "after those whose uid is known"
    return it


def test_a_hint_without_a_uid_takes_its_place_when_it_is_known() -> None:
    it = nameless()
    assert it.connected(NAMELESS, 7, 0.2)
    it.replied(NAMELESS, [at(5)], 0.3)
    assert ask(it, 0.3) == [5]
    it.replied(at(5), [at(7), contact("127.0.0.1", 77, 7)], 0.4)
    it.replied(at(40), [], 0.4)
    assert it.finished
    assert it.nearest == [at(5), contact("127.0.0.1", 77, 7), at(40), at(500)]


def test_it_answers_under_its_uid_too() -> None:
    it = nameless()
    it.connected(NAMELESS, 7, 0.2)
    it.replied(contact("127.0.0.1", 77, 7), [], 0.3)
    assert [each.uid for each in it.answered(1)] == [7]


@pytest.mark.parametrize("uid", [500, 40, OWN])
def test_a_hint_without_a_uid_may_be_somebody_known(uid: int) -> None:
    it = nameless()
    assert not it.connected(NAMELESS, uid, 0.2)
    it.replied(at(40), [], 0.3)
    assert it.finished
    assert answers(it) == [40, 500]


def test_a_hint_without_a_uid_may_be_somebody_who_is_being_asked() -> None:
    it = nameless()
    it.replied(at(40), [contact("127.0.0.1", 78, 7)], 0.2)
    assert ask(it, 0.2) == [7]
    assert not it.connected(NAMELESS, 7, 0.3)


def test_a_hint_without_a_uid_may_be_somebody_who_is_still_to_be_asked() -> None:
    it = lookup(500, 600, want=4, alpha=2)
    ask(it)
    it.replied(at(500), [NAMELESS], 0.1)
    assert ask(it, 0.1) == [None]
    it.replied(at(600), [contact("127.0.0.1", 77, 7), contact("127.0.0.1", 78, 7)], 0.2)
    assert it.connected(NAMELESS, 7, 0.2)
    assert ask(it, 0.2) == [], "one address of a uid at a time"
    it.failed(NAMELESS, 0.3, dialled=False)
    assert it.next(0.3) == contact("127.0.0.1", 78, 7), "and no address twice"


def test_the_same_address_is_not_asked_again_under_the_uid_it_proved() -> None:
    it = lookup(500, 600, want=4, alpha=1)
    ask(it)
    it.replied(at(500), [NAMELESS], 0.1)
    assert ask(it, 0.1) == [600]
    it.replied(at(600), [contact("127.0.0.1", 77, 7), contact("127.0.0.1", 78, 7)], 0.2)
    assert ask(it, 0.2) == [7]
    asked = [event.contact for event in it.events if event.event == "asked"][-1]
    it.failed(asked, 0.3, dialled=True)
    first = it.next(0.3)
    assert first == contact("127.0.0.1", 78, 7)
    it.failed(first, 0.4, dialled=True)
    assert it.next(0.4) is NAMELESS
    assert it.connected(NAMELESS, 7, 0.5)
    it.replied(NAMELESS, [contact("127.0.0.1", 77, 7)], 0.6)
    assert it.finished


def test_who_turned_out_to_be_nobody_new_may_say_so_again() -> None:
    it = lookup(500, want=2)
    ask(it)
    it.replied(at(500), [NAMELESS], 0.1)
    assert it.next(0.1) is NAMELESS
    assert not it.connected(NAMELESS, 500, 0.2)
    assert not it.connected(NAMELESS, 7, 0.3)
    assert it.answered(9) == [at(500)]


def test_only_a_hint_without_a_uid_can_turn_out_to_be_one() -> None:
    it = lookup(500)
    ask(it)
    with pytest.raises(LocalProtocolError, match="as the uid it has"):
        it.connected(at(500), 501, 0.1)


# --- limits on dials --------------------------------------------------------------------------------------------------


def test_an_open_link_costs_no_dial() -> None:
    it = lookup(*range(1, 100), want=99, alpha=99, linked=True)
    assert len(ask(it)) == 99
    assert (it.rpcs, it.dials) == (99, 0)


def test_at_most_64_dials() -> None:
    it = lookup(*range(1, 100), want=99, alpha=99)
    assert ask(it) == list(range(1, 65))
    for uid in range(1, 65):
        it.replied(at(uid), [at(100 + uid)], 0.1)
    assert ask(it, 0.1) == []
    assert it.finished
    assert it.dials == 64


def test_at_most_3_dials_an_ip_however_it_is_spelled() -> None:
    four = ["93.184.216.34", "::ffff:93.184.216.34", "::ffff:5db8:d822"]
    six = ["2606:2800::1", "2606:2800:0::1", "2606:2800:0:0::1", "2606:2800::0001"]
    seeds = [contact(ip, port, 10 * port + spelling) for spelling, ip in enumerate(four + six) for port in range(1, 9)]
    it = Lookup(0, OWN, seeds, want=99, now=0.0, alpha=99)
    assert len(ask(it)) == 6


def test_loopback_and_private_ranges_are_exempt() -> None:
    it = Lookup(0, OWN, [contact(ip, port, port) for port in range(1, 30) for ip in ["10.0.0.1"]], want=99, now=0.0, alpha=99)
    assert len(ask(it)) == 29
