"""What routing costs: the nearest of a table beside a full sort, and whole lookups without a network beneath them.

Tables are those of a network of 1,000 peers, k = 20: about 130 contacts each. A lookup is driven by a loop that answers at
once from other peers' tables, and their answers are made beforehand: what is measured is the state machine alone.

    pytest tests/benchmarks/bench_routing.py
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from time import process_time
from typing import Any

import pytest
from ideal import Network, nearest, uid_of

from p2pnb.dht.lookup import Lookup
from p2pnb.dht.table import RoutingTable
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact

RNG = random.Random(20)
TARGETS = [RNG.getrandbits(BITS) for _ in range(200)]


@cache
def network(n: int) -> Network:
    return Network(n, 20, seed=1)


def table() -> RoutingTable:
    peers = network(1_000)
    return peers.tables[uid_of(peers.contacts[500])]


def best(work: Callable[[], object], rounds: int = 15) -> float:
    """The processor's seconds for `work`, in the round that was disturbed least."""
    times = []
    for _ in range(rounds):
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def test_the_nearest_20(benchmark: Any) -> None:
    known = table()
    contacts = list(known)
    benchmark(lambda: [known.nearest(target, 20) for target in TARGETS])
    walk = best(lambda: [known.nearest(target, 20) for target in TARGETS]) / len(TARGETS)
    sort = best(lambda: [nearest(contacts, target, 20) for target in TARGETS]) / len(TARGETS)
    benchmark.extra_info["us"] = round(walk * 1e6, 2)
    benchmark.extra_info["to sorting everything"] = round(walk / sort, 3)
    assert walk < sort / 3


def test_who_is_nearer(benchmark: Any) -> None:
    """What each record that is to be stored costs: whether 20 live peers are nearer to it."""
    known = table()
    benchmark(lambda: [known.nearer(target, known.own, 0.0) for target in TARGETS])
    counted = best(lambda: [known.nearer(target, known.own, 0.0) for target in TARGETS]) / len(TARGETS)
    sort = best(lambda: [nearest(known, target, 20) for target in TARGETS]) / len(TARGETS)
    benchmark.extra_info["us"] = round(counted * 1e6, 2)
    assert counted < sort


@pytest.mark.parametrize("who", ["contact", "newcomer"])
def test_hearing_from_somebody(benchmark: Any, who: str) -> None:
    """What each message costs its receiver; a newcomer knocks at a full bucket."""
    peers = network(1_000)
    known = RoutingTable(0)
    for each in peers.contacts:
        known.seen(each, 0.0, dialled=True)
    inside = set(known)
    speakers = [each for each in peers.contacts if (each in inside) == (who == "contact")]
    work = lambda: [known.seen(each, 1.0, dialled=True) for each in speakers]  # noqa: E731
    benchmark(work)
    benchmark.extra_info["us"] = round(best(work) / len(speakers) * 1e6, 2)
    assert set(known) == inside


# target, asker, seeds, and what everybody who is asked answers
Run = tuple[int, int, list[Contact], dict[Contact, list[Contact]]]


def lookups(n: int, want: int) -> list[Run]:
    peers = network(n)
    runs: list[Run] = []
    for target in TARGETS:
        asker = uid_of(RNG.choice(peers.contacts))
        run: Run = (target, asker, peers.tables[asker].nearest(target, 20), {})
        drive(run, want, peers.answer(target))
        runs.append(run)
    return runs


def drive(run: Run, want: int, honest: Callable[[Contact], Any] | None = None) -> Lookup:
    target, asker, seeds, said = run
    lookup = Lookup(target, asker, seeds, want=want, now=0.0)
    waiting: list[Contact] = []
    now = 0.0
    while True:
        while (chosen := lookup.next(now)) is not None:
            waiting.append(chosen)
        if lookup.finished:
            return lookup
        asked = waiting.pop(0)
        now += 0.001
        if honest is not None and asked not in said:
            said[asked] = list(honest(asked))
        lookup.replied(asked, said[asked], now)


@pytest.mark.parametrize(("n", "want"), [(200, 5), (1_000, 5), (1_000, 20)])
def test_lookups(benchmark: Any, n: int, want: int) -> None:
    runs = lookups(n, want)
    done = benchmark(lambda: [drive(run, want) for run in runs])
    seconds = best(lambda: [drive(run, want) for run in runs], rounds=5) / len(runs)
    rpcs = sum(lookup.rpcs for lookup in done) / len(done)
    benchmark.extra_info["lookups a second"] = round(1 / seconds)
    benchmark.extra_info["requests a lookup"] = round(rpcs, 1)
    benchmark.extra_info["us a request"] = round(seconds / rpcs * 1e6, 1)
    known = table()
    contacts = list(known)
    sort = best(lambda: [nearest(contacts, target, 20) for target in TARGETS]) / len(TARGETS)
    assert seconds / rpcs < 6 * sort, "a request costs the lookup no more than a few sorts of a table"
