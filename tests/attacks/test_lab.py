"""The attacks of `p2pnb.lab.attacks`: without its defence each succeeds, with it it does not. What the notebook shows, held to numbers."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from p2pnb import address, spec
from p2pnb.dht.table import RoutingTable
from p2pnb.lab import attacks
from p2pnb.uid import BITS
from p2pnb.wire.contact import contact


def test_whoever_may_choose_uids_eclipses_a_key_at_once() -> None:
    chosen = attacks.eclipse()
    assert (chosen["nearest"], chosen["found"]) == (1.0, 0.0)


@pytest.mark.slow
def test_with_uids_from_key_pairs_he_has_to_grind() -> None:
    """Five key pairs give him nothing; those of theory, 5 (n + 1), most of it; ten times as many everything."""
    n = 30
    none, theory, plenty = (attacks.eclipse(n=n, tries=tries) for tries in (5, attacks.tries_needed(n), 10 * attacks.tries_needed(n)))
    assert none["found"] == 1.0
    assert none["nearest"] <= 0.2
    assert theory["nearest"] >= 0.7
    assert (plenty["nearest"], plenty["found"]) == (1.0, 0.0)


def test_more_replicas_than_attackers_are_found_anyway() -> None:
    assert attacks.eclipse(replication=10)["found"] == 1.0


def test_the_cost_of_a_place_near_a_key_is_that_of_theory() -> None:
    """The best of t uids is nearer than all n honest ones with probability t/(t + n)."""
    rng = random.Random(1)
    n, tries, won = 50, 50, 0
    for _ in range(300):
        key = rng.getrandbits(BITS)
        best = attacks.ground(key, tries, 1, rng)[0] ^ key
        won += best < min(rng.getrandbits(BITS) ^ key for _ in range(n))
    assert 0.4 < won / 300 < 0.6


def test_sybils_of_one_network_take_one_place_a_bucket() -> None:
    frame = attacks.sybils()
    assert frame.loc["without", "sybils"] > 3 * frame.loc["without", "honest"]
    assert frame.loc["with", "sybils"] < frame.loc["with", "honest"]
    assert frame.loc["with", "next_to"] < 0.25 < frame.loc["without", "next_to"]


GROUPS = {
    "a /24": (lambda rng: f"8.8.8.{rng.randrange(256)}", address.group_of, 1),
    "a /48": (lambda rng: f"2a00:1450:4001::{rng.randrange(1, 65_536):x}", address.group_of, 1),
    "a /24 as IPv6": (lambda rng: f"::ffff:8.8.8.{rng.randrange(256)}", address.group_of, 1),
    "a private network": (lambda rng: f"192.168.1.{rng.randrange(1, 255)}", address.group_of, None),
    "loopback": (lambda rng: "127.0.0.1", address.group_of, None),
    "a private network that a test makes one group": (lambda rng: f"192.168.1.{rng.randrange(1, 255)}", lambda ip: ip[:10], 1),
}


@pytest.mark.parametrize("name", GROUPS)
def test_at_most_one_contact_of_a_group_a_bucket(name: str) -> None:
    """10,000 uids of one group knock at a table, in any order with honest ones; some fail, some come back at another address."""
    place, group, most = GROUPS[name]
    rng = random.Random(2)
    table = RoutingTable(rng.getrandbits(BITS), group=group)
    for number in range(10_000):
        honest = number % 20 == 0
        ip = f"{rng.randrange(11, 90)}.{rng.randrange(256)}.7.1" if honest else place(rng)
        table.seen(contact(ip, rng.randrange(1, 65_536), rng.getrandbits(BITS)), float(number), dialled=rng.random() < 0.5)
        if rng.random() < 0.1 and len(table):
            table.failed(rng.choice(list(table)).uid, float(number))
    attackers = Counter(row["bucket"] for row in table.rows(10_000.0) if not row["cached"] and not row["ip"].endswith(".7.1"))
    assert len(attackers) > 5
    if most is None:
        assert max(attackers.values()) == table.k, "exempt: those of one network are neighbours like any others"
    else:
        assert max(attackers.values()) == most


def test_a_vote_counts_once_however_often_it_is_cast() -> None:
    votes = attacks.one_vote(10_000)
    assert (votes["added"], votes["votes"]) == (10_000, 1)


@pytest.mark.parametrize("seed", range(5))
def test_two_of_five_lying_replicas_place_no_fake(seed: int) -> None:
    frame = attacks.stuffing(liars=2, seed=seed)
    assert not frame["loudest"].any(), "who believes the loudest sees fakes only"
    assert frame["medians"][:3].all()


def test_no_replica_that_goes_back_takes_a_reader_with_it() -> None:
    frame = attacks.rollback()
    assert (frame["peer"][:5] == 1.0).all(), "one honest replica of five is enough"
    assert frame["one"][4] < 0.5 < frame["one"][0] == 1.0
    assert frame["peer"][5] == 0.0, "where all of them lie, nobody knows"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_poisoned_lookups_cost_seconds_and_not_minutes(seed: int) -> None:
    frame = attacks.poisoning(seed=seed)
    assert frame.loc["p2pnb", "right"] >= 0.99
    assert (frame["false"] == 0).all(), "no table holds who never proved a uid"
    assert frame.loc["p2pnb", "seconds"] * 3 < frame.loc["textbook", "seconds"]


@pytest.mark.slow
def test_experiments_repeat_from_their_seed() -> None:
    assert attacks.stuffing(seed=7).equals(attacks.stuffing(seed=7))
    assert attacks.rollback(seed=7).equals(attacks.rollback(seed=7))
    assert attacks.eclipse(tries=50, keys=1, seed=7).equals(attacks.eclipse(tries=50, keys=1, seed=7))
    assert attacks.tries_needed(40) == spec.REPLICATION * 41
