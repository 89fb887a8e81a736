"""Lookups over whole networks, held against figures that an independent Monte Carlo and closed forms gave.

On ideal tables a lookup must find the true nearest, always; in how many hops and requests, the reference says. After the
Kademlia paper's join the tables are all but ideal. When many die at once, what is found is bounded by what is left.
"""

from __future__ import annotations

import random
from functools import cache
from math import comb
from statistics import mean, median, quantiles

import pytest
from asking import OWN, ask, at
from ideal import REFUSED, SILENT, Answer, Network, drive, nearest, uid_of, uids

from p2pnb import spec
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.table import RoutingTable
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact, contact

LOOKUPS = 400
PATIENT = 60.0


@cache
def network(n: int, k: int, seed: int = 1) -> Network:
    return Network(n, k, seed)


# n, k, alpha: mean hops and mean requests of the reference
REFERENCE = {
    (100, 20, 3): (1.31, 20.0),
    (100, 20, 1): (1.31, 20.0),
    (100, 20, 10): (1.34, 21.0),
    (100, 8, 3): (1.62, 9.0),
    (100, 5, 3): (1.77, 6.9),
    (1_000, 20, 3): (1.89, 21.6),
    (1_000, 20, 1): (1.93, 20.3),
    (1_000, 20, 10): (1.87, 27.7),
    (1_000, 8, 3): (2.24, 10.9),
    (1_000, 5, 3): (2.49, 9.0),
}


@pytest.mark.parametrize(("n", "k", "alpha"), REFERENCE)
def test_the_true_nearest_in_the_hops_and_requests_of_the_reference(n: int, k: int, alpha: int) -> None:
    peers = network(n, k)
    rng = random.Random(n + k + alpha)
    hops, rpcs = [], []
    for _ in range(LOOKUPS):
        own, target = uid_of(rng.choice(peers.contacts)), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, k), want=k, alpha=alpha, now=0.0, patience=PATIENT)
        drive(lookup, peers.textbook(target))
        assert lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, k), f"target {target:064x}"
        hops.append(lookup.hops)
        rpcs.append(lookup.rpcs)
    expected_hops, expected_rpcs = REFERENCE[n, k, alpha]
    assert mean(hops) == pytest.approx(expected_hops, abs=0.15)
    assert mean(rpcs) == pytest.approx(expected_rpcs, rel=0.04)


@pytest.mark.parametrize("want", [1, 5, 8, 20])
def test_whatever_the_latencies_the_result_is_exact(want: int) -> None:
    peers = network(1_000, 20)
    rng = random.Random(want)
    for _ in range(LOOKUPS):
        own, target = uid_of(rng.choice(peers.contacts)), rng.getrandbits(BITS)
        alpha = rng.randrange(1, 11)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=want, alpha=alpha, now=0.0, patience=PATIENT)
        drive(lookup, peers.answer(target), latency=lambda: rng.lognormvariate(-2.3, 1.0))
        assert lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, want)


# --- joining ----------------------------------------------------------------------------------------------------------


def ideal_size(n: int, k: int) -> float:
    """How many contacts an ideal table holds: the sum over buckets of E[min(k, Binomial(n - 1, 2^-(bucket + 1)))]."""
    total = 0.0
    for bucket in range(40):
        p = 2.0 ** -(bucket + 1)
        total += k - sum((k - j) * comb(n - 1, j) * p**j * (1 - p) ** (n - 1 - j) for j in range(k))
    return total


@pytest.mark.parametrize(("n", "size"), [(100, 64.5), (1_000, 130.9)])
def test_ideal_tables_have_the_size_of_theory(n: int, size: int) -> None:
    assert ideal_size(n, 20) == pytest.approx(size, rel=0.005)
    assert mean(len(table) for table in network(n, 20).tables.values()) == pytest.approx(size, rel=0.03)


class Joining:
    """A network that grows by one peer at a time, each knowing one member at first, as in section 2.3 of the paper."""

    def __init__(self, n: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.contacts: list[Contact] = []
        self.tables: dict[int, RoutingTable] = {}
        self.rpcs = 0
        order = uids(n, self.rng)
        self.rng.shuffle(order)
        for port, uid in enumerate(order):
            self._join(contact("127.0.0.1", 1 + port, uid))

    def _join(self, newcomer: Contact) -> None:
        own = uid_of(newcomer)
        table = self.tables[own] = RoutingTable(own)
        if self.contacts:
            table.seen(self.rng.choice(self.contacts), 0.0, dialled=True)
            self._look_up(newcomer, own)
            for bucket in table.far_buckets():
                self._look_up(newcomer, table.random_in(bucket, self.rng))
        self.contacts.append(newcomer)

    def _look_up(self, asker: Contact, target: int) -> None:
        table = self.tables[uid_of(asker)]

        def answer(asked: Contact) -> list[Contact]:
            table.seen(asked, 0.0, dialled=True)
            self.tables[uid_of(asked)].seen(asker, 0.0, dialled=False)
            return self.tables[uid_of(asked)].nearest(target, spec.MAX_CONTACTS)

        lookup = Lookup(target, table.own, table.nearest(target, spec.MAX_CONTACTS), want=20, now=0.0, patience=PATIENT)
        drive(lookup, answer)
        self.rpcs += lookup.rpcs


def test_after_joining_tables_are_all_but_ideal_and_lookups_exact() -> None:
    n = 100
    peers = Joining(n, seed=5)
    assert mean(len(table) for table in peers.tables.values()) > 0.98 * ideal_size(n, 20)
    assert peers.rpcs / n == pytest.approx(122, rel=0.2)
    rng = random.Random(6)
    for _ in range(LOOKUPS):
        own, target = uid_of(rng.choice(peers.contacts)), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=20, now=0.0, patience=PATIENT)
        drive(lookup, lambda asked, target=target: peers.tables[uid_of(asked)].nearest(target, 20))  # type: ignore[misc]
        assert lookup.nearest == nearest((each for each in peers.contacts if each.uid != own), target, 20)


# --- failures ---------------------------------------------------------------------------------------------------------


def after_a_crash(peers: Network, target: int, dead: set[Contact], what: str) -> Answer:
    honest = peers.answer(target)
    return lambda asked: what if asked in dead else honest(asked)


@pytest.mark.parametrize(("fraction", "short_of_limit"), [(0.25, 0.005), (0.5, 0.01), (0.75, 0.05)])
def test_records_survive_a_crash_as_theory_says(fraction: float, short_of_limit: float) -> None:
    """A record is found if one of its 5 holders lives: nobody repairs anything, and every table is full of the dead."""
    peers = network(1_000, 20)
    rng = random.Random(9)
    found, possible, rpcs = [], [], []
    for round_ in range(600):
        if round_ % 30 == 0:
            dead = set(rng.sample(peers.contacts, int(fraction * 1_000)))
            living = [each for each in peers.contacts if each not in dead]
        own, target = uid_of(rng.choice(living)), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=5, now=0.0, patience=PATIENT)
        drive(lookup, after_a_crash(peers, target, dead, REFUSED))
        holders = set(nearest(peers.contacts, target, 5))
        found.append(any(each in holders or each.uid == own for each in lookup.answered(1_000)))
        possible.append(bool(holders - dead))
        rpcs.append(lookup.rpcs)
    assert mean(possible) == pytest.approx(1 - fraction**5, abs=0.04)
    assert mean(found) >= mean(possible) - short_of_limit
    assert mean(rpcs) < 12 / (1 - fraction)


@pytest.mark.parametrize(("stale", "textbook_p50"), [(0.05, 5.37), (0.15, 10.5)])
def test_black_holes_cost_patience_not_timeouts(stale: float, textbook_p50: float) -> None:
    """A textbook lookup waits 5 s for every silent contact among the nearest; giving its slot away loses nothing but that."""
    peers = network(1_000, 20)
    hasty = 0.4
    took: dict[float, list[float]] = {hasty: [], PATIENT: []}
    right: dict[float, list[bool]] = {hasty: [], PATIENT: []}
    rng = random.Random(11)
    for _ in range(300):
        dead = set(rng.sample(peers.contacts, int(stale * 1_000)))
        own = uid_of(rng.choice([each for each in peers.contacts if each not in dead]))
        target = rng.getrandbits(BITS)
        truth = nearest((each for each in peers.contacts if each not in dead and each.uid != own), target, 20)
        for patience in (hasty, PATIENT):
            lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=20, now=0.0, patience=patience)
            end = drive(lookup, after_a_crash(peers, target, dead, SILENT), latency=lambda: rng.lognormvariate(-2.3, 0.5))
            took[patience].append(end)
            right[patience].append(lookup.nearest == truth)
    assert median(took[PATIENT]) == pytest.approx(textbook_p50, rel=0.1), "the reference"
    assert median(took[hasty]) < 0.3 * textbook_p50
    assert quantiles(took[hasty], n=20)[-1] < 3.0
    assert mean(right[hasty]) > mean(right[PATIENT]) - 0.03


def test_latencies_of_seconds_lose_nothing_while_there_is_time() -> None:
    peers = network(100, 20)
    rng = random.Random(13)
    right = []
    for _ in range(200):
        own, target = uid_of(rng.choice(peers.contacts)), rng.getrandbits(BITS)
        lookup = Lookup(target, own, peers.tables[own].nearest(target, 20), want=5, now=0.0, patience=2.5)
        drive(lookup, peers.answer(target), latency=lambda: rng.uniform(0, 4.0))
        best = nearest((each for each in peers.contacts if each.uid != own), target, 5)
        right.append(len(set(best) & set(lookup.answered(100))) / 5)
    assert mean(right) > 0.8


def test_the_surroundings_are_surveyed_once_one_of_the_nearest_has_answered() -> None:
    """It is one of them if it names fewer than `want` who are nearer than itself."""
    it = Lookup(0, OWN, [at(100)], want=2, alpha=1, now=0.0)
    ask(it)
    it.replied(at(100), [at(10), at(20), contact("127.0.0.1", 999), at(200)], 0.1)
    assert not it.surveyed
    assert ask(it, 0.1) == [10]
    it.replied(at(10), [at(20), at(100)], 0.2)
    assert it.surveyed
    assert [each.uid for each in it.leading] == [10, 20]
    ask(it, 0.2)
    it.replied(at(20), [at(5), at(7), at(9)], 0.3)
    assert it.surveyed, "who knows better changes the lookup, and not that"
    assert not it.finished
