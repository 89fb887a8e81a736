"""Lookups among liars: they may cost dials, within limits, but must not decide what is found.

The peers lie in their replies only; every uid is proven by whoever answers, so an invented contact is found out when it is
dialled. What a liar may gain is time and the dials of one lookup.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from statistics import mean

import pytest
from ideal import REFUSED, SILENT, Answer, Network, drive, nearest, uid_of

from p2pnb import address, spec
from p2pnb.dht.lookup import Lookup
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact, contact

SEEDS = range(50)
# What a liar answers: (rng, target, the network, the other liars) -> contacts
Lie = Callable[[random.Random, int, Network, list[Contact]], list[Contact]]


@cache
def network(seed: int) -> Network:
    return Network(100, 20, seed)


def invented(rng: random.Random, target: int) -> Contact:
    """Nobody, nearer to the target than anybody is."""
    return contact("127.0.0.1", rng.randrange(20_000, 60_000), target ^ rng.getrandbits(230))


def names_nobody(_rng: random.Random, _target: int, _network: Network, _liars: list[Contact]) -> list[Contact]:
    return []


def invents(rng: random.Random, target: int, _network: Network, _liars: list[Contact]) -> list[Contact]:
    return [invented(rng, target) for _ in range(20)]


def invents_in_concert(_rng: random.Random, target: int, _network: Network, _liars: list[Contact]) -> list[Contact]:
    return invents(random.Random(target), target, _network, _liars)


def mixes(rng: random.Random, target: int, network: Network, _liars: list[Contact]) -> list[Contact]:
    return [invented(rng, target) for _ in range(10)] + rng.sample(network.contacts, 10)


def moves_the_nearest(rng: random.Random, target: int, network: Network, _liars: list[Contact]) -> list[Contact]:
    """True uids at false addresses."""
    return [contact("127.0.0.1", rng.randrange(20_000, 60_000), each.uid) for each in nearest(network.contacts, target, 20)]


def names_liars(_rng: random.Random, target: int, _network: Network, liars: list[Contact]) -> list[Contact]:
    return nearest(liars, target, 20)


LIES = [names_nobody, invents, invents_in_concert, mixes, moves_the_nearest, names_liars]


def answering(peers: Network, target: int, liars: list[Contact], lie: Lie, rng: random.Random, nobody: str) -> Answer:
    honest, lying, all_ = peers.answer(target), set(liars), set(peers.contacts)

    def answer(asked: Contact) -> list[Contact] | str:
        if asked not in all_:
            return nobody
        return lie(rng, target, peers, liars) if asked in lying else list(honest(asked))

    return answer


@pytest.mark.parametrize("nobody", [REFUSED, SILENT])
@pytest.mark.parametrize("lie", LIES)
def test_with_30_percent_liars_lookups_are_right(lie: Lie, nobody: str) -> None:
    """Right: the five nearest are the true five, and nobody who answered is an invention."""
    right, dials = [], []
    for seed in SEEDS:
        peers, rng = network(seed % 10), random.Random(seed)
        liars = rng.sample(peers.contacts, 30)
        honest = [each for each in peers.contacts if each not in set(liars)]
        for _ in range(4):
            own, target = uid_of(rng.choice(honest)), rng.getrandbits(BITS)
            lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=5, now=0.0, patience=0.4)
            drive(lookup, answering(peers, target, liars, lie, rng, nobody))
            assert lookup.dials <= spec.MAX_DIALS
            assert set(lookup.answered(100)) <= set(peers.contacts)
            right.append(lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, 5))
            dials.append(lookup.dials)
    assert mean(right) >= 0.99, f"{mean(dials):.1f} dials a lookup"


@pytest.mark.parametrize("lie", [invents, mixes, moves_the_nearest])
def test_a_full_lookup_is_right_too(lie: Lie) -> None:
    right = []
    for seed in SEEDS:
        peers, rng = network(seed % 10), random.Random(seed)
        liars = rng.sample(peers.contacts, 30)
        own, target = uid_of(rng.choice([each for each in peers.contacts if each not in set(liars)])), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=20, now=0.0, patience=0.4)
        drive(lookup, answering(peers, target, liars, lie, rng, REFUSED))
        right.append(lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, 20))
    assert mean(right) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [1_000])
def test_larger_networks_are_no_easier_prey(n: int) -> None:
    peers, rng = Network(n, 20, seed=3), random.Random(3)
    liars = rng.sample(peers.contacts, 3 * n // 10)
    honest = [each for each in peers.contacts if each not in set(liars)]
    right = []
    for _ in range(200):
        own, target = uid_of(rng.choice(honest)), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=5, now=0.0, patience=0.4)
        drive(lookup, answering(peers, target, liars, invents, rng, REFUSED))
        right.append(lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, 5))
    assert mean(right) >= 0.99


HOSTS = ["93.184.216.34", "::ffff:93.184.216.34", "2606:2800:220:1::"]
NOT_HOSTS = ["0.0.0.0", "224.0.0.251", "239.1.2.3", "255.255.255.255", "::", "ff02::1", "fe80::1%2", "localhost", "example.org"]
NOT_HOSTS += ["127.0.0.1", "10.0.0.1"]  # nor can somebody on the internet name these


@pytest.mark.parametrize("seed", range(50))
def test_ten_thousand_lying_contacts_cannot_make_it_flood_anybody(seed: int) -> None:
    """Liars all over the internet, who all answer, and name victims: few ips, many ports and spellings, and what is no host."""
    rng = random.Random(seed)
    target, own = rng.getrandbits(BITS), rng.getrandbits(BITS)
    hosts = [*HOSTS, *(f"93.184.{rng.randrange(256)}.{rng.randrange(256)}" for _ in range(9))]

    @cache
    def lying(number: int) -> Contact:
        rng = random.Random(f"{seed} {number}")
        ip = rng.choice(hosts if rng.random() < 0.7 else NOT_HOSTS)
        return contact(ip, rng.randrange(65_536), target ^ rng.getrandbits(rng.randrange(200, 256)))

    seeds = [contact(f"198.51.{number}.7", 9_000, rng.getrandbits(BITS)) for number in range(20)]
    asked: list[Contact] = []

    def answer(whom: Contact) -> list[Contact] | str:
        asked.append(whom)
        return REFUSED if rng.random() < 0.2 and whom not in seeds else [lying(number) for number in rng.sample(range(10_000), 20)]

    lookup = Lookup(target, own, seeds, want=20, now=0.0, own_address=("93.184.1.1", 9_000))
    drive(lookup, answer)
    assert lookup.dials == len(asked) <= spec.MAX_DIALS
    assert len(set(asked)) == len(asked)
    assert max(Counter(each.ip.removeprefix("::ffff:") for each in asked if each not in seeds).values()) <= spec.MAX_DIALS_AN_IP
    assert all(each in seeds or (each.ip in hosts and each.port) for each in asked)
    assert all(address.is_dialable(*each.address) for each in asked)


def test_loopback_is_exempt_from_the_limit_an_ip_but_not_from_that_of_a_lookup() -> None:
    rng = random.Random(1)
    target = rng.getrandbits(BITS)
    lookup = Lookup(target, rng.getrandbits(BITS), [contact("127.0.0.1", 1, rng.getrandbits(BITS))], want=100, now=0.0)
    drive(lookup, lambda _: [invented(rng, target) for _ in range(20)])
    assert lookup.finished
    assert lookup.dials == spec.MAX_DIALS
