"""Namespaces: which versions are kept, that nothing moves an entry back, and expiry; against a naive oracle."""

import math
import random
from functools import cache

import pytest

from p2pnb import spec
from p2pnb.dht import namespaces
from p2pnb.dht.namespaces import NamespaceStore, point_of
from p2pnb.dht.quota import Quota
from p2pnb.dht.signature import public_key_of, sign
from p2pnb.wire.messages import Version

DAY = spec.EXPIRY
KEY = 7
SEED = bytes(range(32))
AUTHOR = public_key_of(SEED)


@cache
def version(sequence: int, value: int = 0, key: int = KEY, network: str = "") -> Version:
    octets = value.to_bytes(32, "big")
    return Version(octets, sign(SEED, network, key, sequence, octets), sequence)


@pytest.fixture
def quota() -> Quota:
    return Quota()


@pytest.fixture
def store(quota: Quota) -> NamespaceStore:
    return NamespaceStore(quota)


def kept(store: NamespaceStore, now: float) -> list[int]:
    return [row["sequence"] for row in store.rows(now)]


def test_higher_wins_and_lower_is_refused(store: NamespaceStore) -> None:
    assert store.put(AUTHOR, KEY, version(3), 0.0)
    assert store.put(AUTHOR, KEY, version(5), 1.0)
    assert not store.put(AUTHOR, KEY, version(4), 2.0)
    assert not store.put(AUTHOR, KEY, version(3), 2.0)
    assert store.get(AUTHOR, KEY, 3.5) == version(5).aged(3)
    assert kept(store, 3.0) == [3, 5]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_equal_sequence_the_larger_value_wins_and_both_are_kept(store: NamespaceStore, order: tuple[int, int]) -> None:
    for value in order:
        assert store.put(AUTHOR, KEY, version(9, value), 0.0)
    assert store.get(AUTHOR, KEY, 0.0) == version(9, 2).aged(0)
    assert store.get(AUTHOR, KEY, 0.0, version(9, 1).signature) == version(9, 1).aged(0)


def test_the_newest_again_renews_the_entry(store: NamespaceStore, quota: Quota) -> None:
    store.put(AUTHOR, KEY, version(1), 0.0)
    store.put(AUTHOR, KEY, version(2), 0.0)
    used = quota.used
    assert store.put(AUTHOR, KEY, version(2), DAY - 1)
    assert quota.used == used
    assert store.get(AUTHOR, KEY, 2 * DAY - 2) == version(2).aged(86_399)
    assert store.get(AUTHOR, KEY, 2 * DAY - 1.5, version(1).signature) == version(1)
    assert store.get(AUTHOR, KEY, 2 * DAY - 1) is None
    assert (len(store), quota.used) == (0, 0)


def test_an_older_version_again_renews_nothing(store: NamespaceStore) -> None:
    store.put(AUTHOR, KEY, version(1), 0.0)
    store.put(AUTHOR, KEY, version(2), 0.0)
    assert not store.put(AUTHOR, KEY, version(1), DAY - 1)
    assert store.put(AUTHOR, KEY, version(1), DAY - 1, age=0)
    assert store.get(AUTHOR, KEY, DAY) is None


def test_four_versions_are_kept(store: NamespaceStore, quota: Quota) -> None:
    for sequence in range(10):
        assert store.put(AUTHOR, KEY, version(sequence), 0.0)
    assert kept(store, 0.0) == [6, 7, 8, 9]
    assert quota.used == namespaces.ENTRY_OVERHEAD + 4 * namespaces.VERSION_BYTES
    assert store.get(AUTHOR, KEY, 0.0, version(5).signature) is None
    assert store.get(AUTHOR, KEY, 0.0, version(6).signature) == version(6).aged(0)
    assert not store.put(AUTHOR, KEY, version(5), 0.0, age=0)


def test_the_largest_sequence_number(store: NamespaceStore) -> None:
    assert store.put(AUTHOR, KEY, version(0), 0.0)
    assert store.put(AUTHOR, KEY, version(spec.MAX_SEQUENCE), 0.0)
    assert not store.put(AUTHOR, KEY, version(spec.MAX_SEQUENCE - 1), 0.0)
    assert store.get(AUTHOR, KEY, 0.0) == version(spec.MAX_SEQUENCE).aged(0)


def test_a_wrong_signature_is_refused(store: NamespaceStore) -> None:
    good = version(1, 5)
    forged = [
        Version(good.value, good.signature, 2),
        Version(version(1, 6).value, good.signature, 1),
        Version(good.value, bytes(64), 1),
        Version(good.value, good.signature[:32] + bytes([good.signature[32] ^ 1]) + good.signature[33:], 1),
        version(1, 5, key=KEY + 1),
        version(1, 5, network="other"),
    ]
    for each in forged:
        assert not store.put(AUTHOR, KEY, each, 0.0)
        assert not store.put(AUTHOR, KEY, each, 0.0, age=5)
    assert not store.put(public_key_of(bytes(32)), KEY, good, 0.0)
    assert not store.put(AUTHOR, KEY + 1, good, 0.0)
    assert len(store) == 0


def test_signatures_cover_the_networks_name() -> None:
    store = NamespaceStore(Quota(), "class-7")
    assert not store.put(AUTHOR, KEY, version(1), 0.0)
    assert store.put(AUTHOR, KEY, version(1, network="class-7"), 0.0)


def test_ten_thousand_replays_roll_nothing_back(store: NamespaceStore) -> None:
    history = [version(sequence, value) for sequence in range(12) for value in range(2)]
    for each in history:
        assert store.put(AUTHOR, KEY, each, 0.0)
    newest = history[-1]
    rng = random.Random(2)
    for second in range(10_000):
        age = rng.choice([None, 0, rng.randrange(86_400)])
        store.put(AUTHOR, KEY, rng.choice(history[:-2]), float(second), age=age, publisher=second)
        assert store.get(AUTHOR, KEY, float(second)) == newest.aged(second)
    assert [(row["sequence"], row["value"][-1]) for row in store.rows(10_000.0)] == [(10, 0), (10, 1), (11, 0), (11, 1)]
    assert store.get(AUTHOR, KEY, DAY) is None  # nor did they keep it alive


def test_a_newcomer_gets_all_versions(store: NamespaceStore) -> None:
    for sequence in (2, 4, 6):
        store.put(AUTHOR, KEY, version(sequence), 100.0)
    requests = store.requests(point_of(AUTHOR, KEY), 130.5)
    assert [request.sequence for request in requests] == [2, 4, 6]
    assert {request.age for request in requests} == {31}
    newcomer = NamespaceStore(Quota())
    for request in requests:
        assert newcomer.put(request.public_key, request.key, request.version, 1_000.0, age=request.age)
    assert kept(newcomer, 1_000.0) == [2, 4, 6]
    assert newcomer.get(AUTHOR, KEY, 1_000.0 + DAY - 32) == version(6).aged(86_399)
    assert newcomer.get(AUTHOR, KEY, 1_000.0 + DAY - 31) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_hand_over_completes_the_history_in_any_order(store: NamespaceStore, seed: int) -> None:
    sequences = list(range(8))
    random.Random(seed).shuffle(sequences)
    for sequence in sequences:
        store.put(AUTHOR, KEY, version(sequence), 0.0, age=10)
    assert kept(store, 0.0) == [4, 5, 6, 7], seed


def test_a_hand_over_never_prolongs_or_shortens(store: NamespaceStore) -> None:
    store.put(AUTHOR, KEY, version(2), 0.0, age=40_000)
    assert store.put(AUTHOR, KEY, version(2), 0.0, age=0)
    assert store.put(AUTHOR, KEY, version(2), 0.0, age=80_000)
    assert store.put(AUTHOR, KEY, version(1), 0.0, age=0)
    assert {row["age_s"] for row in store.rows(0.0)} == {40_000.0}
    assert store.put(AUTHOR, KEY, version(3), 0.0, age=80_000)
    assert {row["age_s"] for row in store.rows(0.0)} == {40_000.0}
    assert store.put(AUTHOR, KEY, version(4), 0.0, age=10)
    assert {row["age_s"] for row in store.rows(0.0)} == {10.0}
    assert not store.put(AUTHOR, KEY, version(5), 0.0, age=86_400)


def test_a_public_key_has_at_most_1024_entries(store: NamespaceStore) -> None:
    for key in range(spec.NAMESPACE_KEYS_A_PUBLIC_KEY + 5):
        assert store.put(AUTHOR, key, version(1, key=key), 0.0) == (key < spec.NAMESPACE_KEYS_A_PUBLIC_KEY)
    assert store.put(AUTHOR, 0, version(2, key=0), 0.0)
    other = bytes(32)
    assert store.put(public_key_of(other), KEY, Version(bytes(32), sign(other, "", KEY, 1, bytes(32)), 1), 0.0)
    store.drop(point_of(AUTHOR, 0))
    assert store.put(AUTHOR, 5_000, version(1, key=5_000), 0.0)


def test_what_has_expired_is_forgotten_wholly(store: NamespaceStore) -> None:
    store.put(AUTHOR, KEY, version(9), 0.0)
    assert store.put(AUTHOR, KEY, version(0), DAY)
    assert kept(store, DAY) == [0]


def test_an_author_may_go_on_when_the_store_is_full() -> None:
    quota = Quota(total=namespaces.ENTRY_OVERHEAD + 4 * namespaces.VERSION_BYTES + 1_000)
    store = NamespaceStore(quota)
    for sequence in range(20):
        assert store.put(AUTHOR, KEY, version(sequence), 0.0, publisher=1)
    assert kept(store, 0.0) == [16, 17, 18, 19]
    assert not store.put(AUTHOR, KEY + 1, version(1, key=KEY + 1), 0.0, publisher=1)


class Oracle:
    """Every entry as the set of all versions that were ever accepted for it."""

    def __init__(self) -> None:
        self.entries: dict[tuple[bytes, int], tuple[set[tuple[int, bytes]], float]] = {}

    def kept(self, name: tuple[bytes, int], now: float) -> list[tuple[int, bytes]]:
        versions, moment = self.entries.get(name, (set(), -DAY))
        if moment + DAY <= now:
            self.entries.pop(name, None)
            return []
        return sorted(versions)[-spec.VERSIONS_KEPT :]

    def put(self, name: tuple[bytes, int], sequence: int, value: bytes, now: float, age: int | None) -> bool:
        held = self.kept(name, now)
        moment = now if age is None else now - age
        if age is not None and age >= DAY:
            return False
        if not held:
            if sum(1 for author, key in self.entries if author == name[0] and self.kept((author, key), now)) >= 3:
                return False
            self.entries[name] = ({(sequence, value)}, moment)
            return True
        versions, before = self.entries[name]
        if age is None and sequence < held[-1][0]:
            return False
        if (sequence, value) not in held and len(held) == spec.VERSIONS_KEPT and (sequence, value) < held[0]:
            return False
        newer = (sequence, value) > held[-1]
        self.entries[name] = (versions | {(sequence, value)}, max(before, moment) if age is None or newer else before)
        return True


@pytest.mark.parametrize("seed", range(30))
def test_against_a_naive_oracle(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "version_holds", lambda *_: True)
    monkeypatch.setattr(spec, "NAMESPACE_KEYS_A_PUBLIC_KEY", 3)
    rng = random.Random(seed)
    quota = Quota()
    store = NamespaceStore(quota)
    oracle = Oracle()
    now = rng.uniform(0, 1e6)
    authors = [rng.randbytes(32) for _ in range(2)]
    for _ in range(400):
        now += rng.choice([0.0, 1.0, rng.expovariate(1 / 10_000)])
        name = author, key = rng.choice(authors), rng.randrange(5)
        sequence, value = rng.randrange(12), bytes([rng.randrange(3)] * 32)
        age = rng.choice([None, rng.randrange(90_000)])
        for each in list(oracle.entries):
            oracle.kept(each, now)
        expected = oracle.put(name, sequence, value, now, age)
        assert store.put(author, key, Version(value, bytes(64), sequence), now, age=age) == expected, seed
        if rng.random() < 0.03:
            store.drop(point_of(author, key))
            oracle.entries.pop(name, None)
        rows: dict[tuple[bytes, int], list[tuple[int, bytes]]] = {}
        for row in store.rows(now):
            rows.setdefault((row["public_key"], row["key"]), []).append((row["sequence"], row["value"]))
            assert row["age_s"] == now - oracle.entries[row["public_key"], row["key"]][1], seed
        assert rows == {each: oracle.kept(each, now) for each in list(oracle.entries)}, seed
        newest = store.get(author, key, now)
        assert [(each.sequence, each.value) for each in [newest] if each] == oracle.kept(name, now)[-1:], seed
        if newest is not None:
            age = math.ceil(now - oracle.entries[name][1])
            assert newest.age == (age if age < DAY else None), seed
    store.expire(now + DAY)
    assert (len(store), quota.used) == (0, 0), seed
