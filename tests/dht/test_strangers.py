"""Whom a peer that fills a bucket meets next, and whose names it stops trying."""

from __future__ import annotations

from p2pnb import spec
from p2pnb.dht.candidate import MAX_SILENT
from p2pnb.dht.strangers import Strangers
from p2pnb.wire.contact import Contact, contact

HONEST, LIAR = 1, 2  # uids


def contacts(first: int, n: int) -> list[Contact]:
    return [contact("192.0.2.1", 1_000 + i, 1_000 + i) for i in range(first, first + n)]


def drawn(strangers: Strangers) -> list[Contact]:
    return [each for each in iter(strangers.next, None) if each is not None]


def first(strangers: Strangers) -> Contact:
    chosen = strangers.next()
    assert chosen is not None
    return chosen


def test_they_are_met_in_the_order_in_which_they_were_named_and_each_once() -> None:
    strangers, some = Strangers(), contacts(0, 6)
    assert strangers.named(some[:4], HONEST)
    assert strangers.named(some[2:], LIAR), "two of them are new"
    assert not strangers.named(some, HONEST)
    assert len(strangers) == 6
    assert list(strangers) == drawn(strangers) == some
    assert strangers.next() is None
    assert not strangers.named(some, LIAR), "who was named once is no news"


def test_who_is_asked_for_names_is_not_met_again() -> None:
    strangers, some = Strangers(), contacts(0, 3)
    strangers.named(some, HONEST)
    strangers.remove(some[1])
    strangers.remove(contacts(9, 1)[0])
    assert drawn(strangers) == [some[0], some[2]]


def test_of_a_referrer_several_of_whose_names_were_refuted_nothing_more_is_tried() -> None:
    strangers, lies, truths = Strangers(), contacts(0, 10), contacts(20, 3)
    strangers.met(contact("192.0.2.9", 9, HONEST))  # who was known before, and is there
    strangers.named(lies, LIAR)
    strangers.named(truths, HONEST)
    for _ in range(spec.MAX_CHARGES):
        strangers.failed(first(strangers))
    assert drawn(strangers) == truths
    assert strangers.failures == spec.MAX_CHARGES
    assert strangers.named(lies[5:7], HONEST), "somebody better may name them again"
    assert drawn(strangers) == lies[5:7]


def test_silence_counts_until_they_come_to_speak() -> None:
    strangers, some = Strangers(), contacts(0, 10)
    for known in contacts(30, 8):  # of those who were known nobody is silent
        strangers.met(known)
    strangers.named(some, LIAR)
    late = [first(strangers) for _ in range(MAX_SILENT)]
    strangers.silent(late[0])
    assert len(strangers) == 10 - MAX_SILENT, "one alone says nothing"
    strangers.met(late[0])
    for each in late[1:]:
        strangers.silent(each)
    assert len(strangers) == 10 - MAX_SILENT, "the first one has spoken"
    strangers.failed(first(strangers))
    assert (strangers.proven, strangers.failures, strangers.tried) == (9, 1, 11)


def test_after_half_of_a_network_has_died_honest_peers_are_believed_all_the_same() -> None:
    strangers, some = Strangers(), contacts(0, 12)
    for i, known in enumerate(contacts(30, 6)):
        strangers.met(known) if i % 2 else strangers.failed(known)
    strangers.named(some, HONEST)
    for i in range(8):
        chosen = first(strangers)
        strangers.met(chosen) if i % 2 else strangers.failed(chosen)
    assert len(strangers) == 4
