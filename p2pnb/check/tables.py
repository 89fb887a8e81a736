"""What a student's `nearest(contacts, target, n)` is to do, case by case: 10 points."""

from __future__ import annotations

import random

from p2pnb.check.picture import ranking
from p2pnb.check.report import Case, Report, Tried, listed, report
from p2pnb.check.simulation import nearest as truth
from p2pnb.check.simulation import uid_of
from p2pnb.dht.policies import Nearest, check_nearest, chosen
from p2pnb.uid import BITS, short
from p2pnb.wire.contact import Contact, contact

SHOWN = 16  # bits of a distance that the picture has
TOP = BITS - SHOWN


def nearest(policy: Nearest, seed: int = 0) -> Report:
    """Checks a function such as `check.nearest(my_nearest)`: `my_nearest(contacts, target, n)` is to return the n nearest, nearest first.

    Raises `TypeError` when it cannot be called so.
    """
    check_nearest(policy)
    return report(policy, CASES, seed)


def _try(policy: Nearest, rng: random.Random, uids: list[int], target: int, n: int) -> Tried:
    contacts = [contact("127.0.0.1", 1 + position, uid) for position, uid in enumerate(uids)]
    rng.shuffle(contacts)
    found, right = chosen(policy, contacts, target, n), truth(contacts, target, n)
    got = "as expected" if found == right else f"{_named(found)}, not {_named(right)}"
    return Tried(found == right, got, lambda: drawn(contacts, target, right, found))


def drawn(contacts: list[Contact], target: int, right: list[Contact], found: list[Contact]) -> str:
    """The contacts by distance: the first bits of each distance, its true rank, and the one that it was given."""
    shown = [each for each in truth(contacts, target, len(contacts)) if each in right or each in found]
    rows = [
        (
            [short(uid_of(each)), f"{(uid_of(each) ^ target) >> TOP:0{SHOWN}b}…", _rank(each, right), _rank(each, found)],
            _rank(each, right) == _rank(each, found),
        )
        for each in shown
    ]
    return ranking(f"Contacts by their distance to {short(target)}", ["uid", "uid xor target", "true rank", "yours"], rows)


def _named(contacts: list[Contact]) -> str:
    return listed([short(uid_of(each)) for each in contacts])


def _rank(each: Contact, among: list[Contact]) -> str:
    return str(among.index(each) + 1) if each in among else "–"


def _bits(text: str) -> int:
    """A uid that begins with these bits."""
    return int(text, 2) << (BITS - len(text))


def by_distance(policy: Nearest, rng: random.Random) -> Tried:
    return _try(policy, rng, [rng.getrandbits(BITS) for _ in range(30)], rng.getrandbits(BITS), 5)


def not_difference(policy: Nearest, rng: random.Random) -> Tried:
    """0111… is next to 1000… on the number line, and farthest from it in the tree."""
    return _try(policy, rng, [_bits("01111111"), _bits("10011111"), _bits("10111111"), _bits("11111111")], _bits("10000000"), 2)


def within_a_bucket(policy: Nearest, rng: random.Random) -> Tried:
    """All share the same three bits with the target."""
    tails = rng.sample(range(256), 6)
    return _try(policy, rng, [_bits(f"1010{tail:08b}") for tail in tails], _bits("101100000000"), 3)


def the_very_nearest(policy: Nearest, rng: random.Random) -> Tried:
    return _try(policy, rng, [rng.getrandbits(BITS) for _ in range(20)], rng.getrandbits(BITS), 1)


def fewer(policy: Nearest, rng: random.Random) -> Tried:
    return _try(policy, rng, [rng.getrandbits(BITS) for _ in range(3)], rng.getrandbits(BITS), 8)


def nobody(policy: Nearest, rng: random.Random) -> Tried:
    return _try(policy, rng, [], rng.getrandbits(BITS), 8)


CASES: list[Case[Nearest]] = [
    Case("the nearest, nearest first", 3, "the 5 nearest of 30, in order of distance", by_distance),
    Case("XOR, and not the difference", 2, "the nearest of four to 10000000…: 01111111… is the farthest of all", not_difference),
    Case("within a bucket", 2, "of six that share three bits with the target, the 3 nearest in order", within_a_bucket),
    Case("the very nearest", 1, "n = 1: the nearest of 20", the_very_nearest),
    Case("fewer than n", 1, "n = 8 of three contacts: all three, nearest first", fewer),
    Case("nobody", 1, "no contacts: an empty list", nobody),
]
