"""Numbers that are chosen so that Python hashes them all alike: keys of bags and uids are anybody's choice.

An int's hash is its rest modulo 2^61 - 1. Where such numbers were the keys of a dict, the n-th look into it would compare n times, and
10,000 of them took a hundred times as long as 10,000 others. What is counted here is how often two of them are compared.
"""

from __future__ import annotations

import random

import pytest
from siege import besieged
from town import simulate

from p2pnb import spec
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.quota import Quota
from p2pnb.dht.store import Store
from p2pnb.peer import upkeep
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import BagAdd, BagPopular

MODULUS = 2**61 - 1
MANY = 2_000
A_FEW = 4  # comparisons a number, at most


class Counted(int):
    """An int that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return int(self) == other

    def __hash__(self) -> int:
        return int.__hash__(self)


@pytest.fixture
def alike() -> list[int]:
    """Numbers of 256 bits with one hash."""
    Counted.compared = 0
    return [Counted(7 + (2**180 + i) * MODULUS) for i in range(MANY)]


def test_they_do_hash_alike(alike: list[int]) -> None:
    assert len(set(map(hash, alike))) == 1
    assert len(dict.fromkeys(alike[:100])) == 100
    assert Counted.compared > 4_000, "if Python hashes them apart one day, nothing of this is needed"


def test_the_keys_of_bags(alike: list[int]) -> None:
    store = Store(rng=random.Random(1))
    for key in alike:
        assert store.put(BagAdd(key, bytes(32)), key, 0.0, publisher=1)
    assert all(store.get(BagPopular(key), 1.0) for key in alike)
    assert len(store.keys()) == MANY
    assert sum(1 for _ in store.records(2.0)) == MANY
    for key in alike[::2]:
        store.drop(key)
    store.expire(spec.EXPIRY)
    assert not len(store)
    assert Counted.compared < A_FEW * MANY


def test_the_keys_that_others_hand_on(alike: list[int]) -> None:
    async def test() -> None:
        async with besieged(2, 5) as network:
            peer = network.members[0].living()
            assert peer.upkeep is not None
            for key in alike:
                peer.upkeep.heard(key, BagAdd(key, bytes(32), 1))
            await peer.upkeep.republish()

    simulate(test)
    assert Counted.compared < A_FEW * MANY


def test_the_uids_of_newcomers(alike: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is remembered when it looks itself up, so that it is given its records once; on a carrier where anybody chooses his uid."""
    monkeypatch.setattr(upkeep, "AT_ONCE", MANY)

    async def test() -> None:
        async with besieged(2, 5) as network:
            peer = network.members[0].living()
            await peer.set(b"a record to give")
            assert peer.upkeep is not None
            for uid in alike * 2:
                peer.upkeep.joining(Contact("127.0.0.1", 9, uid))
            assert peer.upkeep._welcoming == MANY, "each of them once"
            await peer.upkeep.republish()

    simulate(test)
    assert Counted.compared < A_FEW * MANY


def test_the_uids_in_contacts(alike: list[int]) -> None:
    """Whoever is asked may name what uids it likes, and the contacts of a process are kept in one place."""
    named = [contact("192.0.2.7", 9, uid) for uid in alike]
    assert all(contact("192.0.2.7", 9, uid) is each for each, uid in zip(named, alike, strict=True))
    assert Counted.compared < A_FEW * MANY


def test_the_uids_of_publishers(alike: list[int]) -> None:
    """On a carrier where anybody chooses his uid."""
    quota = Quota(total=3_000 * MANY)
    assert quota.take(1_600 * MANY, 0.0, None, None)
    for uid in alike:
        assert quota.take(1, 1.0, uid, None)
        assert quota.spent(uid, 2.0) == 1
    assert Counted.compared < A_FEW * MANY


def test_the_uids_of_voters(alike: list[int]) -> None:
    """A few for each value of one bag, so that the bag has all of them."""
    store = Store(rng=random.Random(1))
    for number, uid in enumerate(alike):
        value = (number % spec.BAG_VALUES).to_bytes(32, "big")
        assert store.put(BagAdd(5, value), 5, 0.0, publisher=uid)
        assert store.put(BagAdd(5, value), 5, 1.0, publisher=uid)
    store.expire(spec.EXPIRY + 1)
    assert not len(store)
    assert Counted.compared < A_FEW * MANY


def test_a_lookup_looks_at_so_few_that_it_does_not_matter(alike: list[int]) -> None:
    """64 liars that name 20 such uids each: their square is small (5 ms, where others take 2)."""
    own, target = 1, alike[0]
    liars = [contact("127.0.0.1", 1_000 + i, (target ^ 1 << 200) + i) for i in range(spec.MAX_DIALS)]
    lookup = Lookup(target, own, liars[:20], want=20, now=0.0)
    hints = iter(alike[1:])
    while (asked := lookup.next(0.0)) is not None:
        lookup.replied(asked, [Contact("127.0.0.1", 9, next(hints)) for _ in range(spec.MAX_CONTACTS)], 0.0)
    assert lookup.rpcs >= 20
    assert Counted.compared < (spec.MAX_CONTACTS * spec.MAX_DIALS) ** 2 / 2
