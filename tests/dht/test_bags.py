"""Bags: votes, hand-overs, orders and limits; against a naive oracle with small limits."""

import random
from collections import Counter

import pytest

from p2pnb import spec
from p2pnb.dht.bags import BagStore
from p2pnb.dht.quota import Quota
from p2pnb.wire.messages import BagAdd, BagEntry

DAY = spec.EXPIRY
CATS = 7


def value(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def quota() -> Quota:
    return Quota()


@pytest.fixture
def store(quota: Quota) -> BagStore:
    return BagStore(quota, random.Random(1))


def values_of(entries: tuple[BagEntry, ...] | None) -> list[int]:
    assert entries is not None
    return [int.from_bytes(entry.value, "big") for entry in entries]


def test_one_publisher_adding_ten_thousand_times_is_one_vote(store: BagStore, quota: Quota) -> None:
    assert store.put(CATS, value(1), 0.0, publisher=5)
    used = quota.used
    for second in range(10_000):
        assert store.put(CATS, value(1), float(second), publisher=5)
    assert store.popular(CATS, 10_000.0) == (BagEntry(value(1), 1, 1),)
    assert quota.used == used
    assert store.expire(9_999 + DAY) == 1
    assert quota.used == 0


def test_a_vote_needs_a_voter(store: BagStore) -> None:
    assert not store.put(CATS, value(1), 0.0, publisher=None)
    assert store.popular(CATS, 0.0) is None


def test_popular_is_by_votes_then_by_the_newest_then_by_value(store: BagStore) -> None:
    for publisher in range(3):
        store.put(CATS, value(1), 0.0, publisher=publisher)
    for publisher in range(2):
        store.put(CATS, value(2), 10.0, publisher=publisher)
        store.put(CATS, value(3), 20.0, publisher=publisher)
    for number in (9, 8):
        store.put(CATS, value(number), 5.0, publisher=1)
    store.put(CATS, value(4), 25.0, age=0, publisher=1)
    assert values_of(store.popular(CATS, 30.0)) == [1, 3, 2, 8, 9, 4]
    assert store.popular(CATS, 30.0)[:2] == (BagEntry(value(1), 3, 30), BagEntry(value(3), 2, 10))  # type: ignore[index]


def test_recent_is_by_the_newest_vote_and_hand_overs_come_last(store: BagStore) -> None:
    for publisher in range(3):
        store.put(CATS, value(1), float(publisher), publisher=publisher)
    store.put(CATS, value(2), 10.0, publisher=1)
    store.put(CATS, value(3), 11.0, age=0, publisher=1)
    assert values_of(store.recent(CATS, 20.0)) == [2, 1, 3]
    store.put(CATS, value(1), 12.0, publisher=0)
    assert values_of(store.recent(CATS, 20.0)) == [1, 2, 3]
    assert store.recent(CATS, 20.9)[0] == BagEntry(value(1), 3, 8)  # type: ignore[index]


def test_a_sample_is_uniform_and_without_replacement(store: BagStore) -> None:
    for number in range(130):
        store.put(CATS, value(number), 0.0, publisher=number)
    seen: Counter[int] = Counter()
    for _ in range(400):
        drawn = values_of(store.sample(CATS, 0.0))
        assert len(set(drawn)) == len(drawn) == spec.MAX_BAG_REPLY
        seen.update(drawn[:10])
    expected = 400 * 10 / 130
    chi_square = sum((seen[number] - expected) ** 2 / expected for number in range(130))
    assert chi_square < 190  # 129 degrees of freedom: the .9996 quantile


def test_the_same_seed_draws_the_same_sample() -> None:
    def drawn(seed: int) -> list[int]:
        store = BagStore(Quota(), random.Random(seed))
        for number in range(30):
            store.put(CATS, value(number), 0.0, publisher=number)
        return values_of(store.sample(CATS, 0.0))

    assert drawn(4) == drawn(4) != drawn(5)


def test_at_most_a_hundred_entries(store: BagStore) -> None:
    for number in range(150):
        store.put(CATS, value(number), float(number), publisher=number)
    assert values_of(store.recent(CATS, 150.0)) == list(range(149, 49, -1))
    assert len(store.popular(CATS, 150.0) or ()) == len(store.sample(CATS, 150.0) or ()) == 100


def test_each_vote_lives_a_day(store: BagStore) -> None:
    store.put(CATS, value(1), 0.0, publisher=1)
    store.put(CATS, value(1), 100.0, publisher=2)
    store.put(CATS, value(1), 200.0, publisher=1)
    assert store.popular(CATS, DAY + 99) == (BagEntry(value(1), 2, int(DAY) - 101),)
    assert store.popular(CATS, DAY + 100) == (BagEntry(value(1), 1, int(DAY) - 100),)
    assert store.popular(CATS, DAY + 200) is None


def test_a_hand_over_lists_but_does_not_vote(store: BagStore) -> None:
    assert store.put(CATS, value(1), 0.0, age=1_000, publisher=1)
    assert store.popular(CATS, 10.0) == (BagEntry(value(1), 0, 1_010),)
    assert store.put(CATS, value(1), 20.0, publisher=1)
    assert store.popular(CATS, 30.0) == (BagEntry(value(1), 1, 10),)
    assert not store.put(CATS, value(2), 0.0, age=86_400, publisher=1)


@pytest.mark.parametrize("again", [0, 10, 80_000])
def test_a_hand_over_is_never_prolonged_by_another(store: BagStore, again: int) -> None:
    store.put(CATS, value(1), 0.0, age=80_000, publisher=1)
    assert store.put(CATS, value(1), 100.0, age=again, publisher=2)
    assert store.popular(CATS, 6_399.0) is not None
    assert store.popular(CATS, 6_400.0) is None


def test_a_value_stays_listed_when_a_hand_over_outlives_its_votes(store: BagStore) -> None:
    store.put(CATS, value(1), 0.0, publisher=1)
    store.put(CATS, value(1), 50_000.0, age=10_000, publisher=2)
    assert store.popular(CATS, DAY) == (BagEntry(value(1), 0, int(DAY) - 40_000),)
    assert store.popular(CATS, 40_000 + DAY) is None


def test_a_full_bag_refuses_newcomers_and_keeps_the_earlier(store: BagStore) -> None:
    for number in range(spec.BAG_VALUES):
        assert store.put(CATS, value(number), 0.0, publisher=number)
    for number in range(spec.BAG_VALUES, spec.BAG_VALUES + 50):
        assert not store.put(CATS, value(number), 1.0, publisher=number)
        assert not store.put(CATS, value(number), 1.0, age=0, publisher=number)
    assert store.put(CATS, value(3), 1.0, publisher=99_999)
    assert {int.from_bytes(row["value"], "big") for row in store.rows(1.0)} == set(range(spec.BAG_VALUES))
    assert store.put(CATS + 1, value(5_000), 1.0, publisher=1)


def test_values_that_nobody_voted_for_give_way_the_latest_first(store: BagStore, quota: Quota) -> None:
    for number in range(spec.BAG_VALUES):
        if number % 10 == 0:
            store.put(CATS, value(number), 0.0, age=number, publisher=1)
        else:
            store.put(CATS, value(number), 0.0, publisher=number)
    store.put(CATS, value(990), 0.0, publisher=1)
    used = quota.used
    assert store.put(CATS, value(5_000), 1.0, publisher=2)
    assert quota.used == used
    listed = {int.from_bytes(row["value"], "big") for row in store.rows(1.0)}
    assert listed == (set(range(spec.BAG_VALUES)) | {5_000}) - {980}


def test_a_publisher_may_vote_for_64_values_of_a_bag(store: BagStore) -> None:
    for number in range(100):
        assert store.put(CATS, value(number), float(number), publisher=5) == (number < spec.BAG_VALUES_A_PUBLISHER)
    assert store.put(CATS, value(100), 0.0, publisher=6)
    assert store.put(CATS + 1, value(100), 0.0, publisher=5)
    assert store.put(CATS, value(0), 100.0, publisher=5)
    assert not store.put(CATS, value(100), DAY, publisher=5)
    assert store.put(CATS, value(100), DAY + 1, publisher=5)  # its vote for value 1 is over


def test_a_value_has_at_most_1024_publishers(store: BagStore) -> None:
    for publisher in range(1_100):
        assert store.put(CATS, value(1), 0.0, publisher=publisher) == (publisher < spec.BAG_PUBLISHERS_A_VALUE)
    assert store.popular(CATS, 0.0) == (BagEntry(value(1), spec.BAG_PUBLISHERS_A_VALUE, 0),)
    assert store.put(CATS, value(1), 1.0, publisher=0)


def test_requests_hand_a_bag_over_best_first(store: BagStore) -> None:
    store.put(CATS, value(1), 0.0, publisher=1)
    store.put(CATS, value(2), 5.0, publisher=1)
    store.put(CATS, value(2), 5.0, publisher=2)
    store.put(CATS, value(3), 5.0, age=86_394, publisher=2)
    assert store.requests(CATS, 10.5) == [BagAdd(CATS, value(2), 6), BagAdd(CATS, value(1), 11)]
    assert store.requests(CATS + 1, 10.5) == []


def test_dropping_a_bag(store: BagStore, quota: Quota) -> None:
    for number in range(20):
        store.put(CATS, value(number % 5), 0.0, publisher=number)
        store.put(CATS, value(number % 7), 0.0, age=5, publisher=number)
    store.drop(CATS)
    store.drop(CATS)
    assert store.popular(CATS, 0.0) is None
    assert (len(store), quota.used, store.expire(DAY)) == (0, 0, 0)


class Oracle:
    """A bag store that rescans everything each time."""

    def __init__(self) -> None:
        self.votes: dict[tuple[int, bytes, int], float] = {}
        self.handed: dict[tuple[int, bytes], float] = {}
        self.unvoted: list[tuple[int, bytes]] = []

    def listed(self, key: int) -> set[bytes]:
        return {item for bag, item, _ in self.votes if bag == key} | {item for bag, item in self.handed if bag == key}

    def voters(self, key: int, item: bytes) -> dict[int, float]:
        return {publisher: cast for (bag, each, publisher), cast in self.votes.items() if (bag, each) == (key, item)}

    def tick(self, now: float) -> None:
        for ends, vote in sorted((cast + DAY, vote) for vote, cast in self.votes.items() if cast + DAY <= now):
            del self.votes[vote]
            key, item, _ = vote
            if not self.voters(key, item) and self.handed.get((key, item), -DAY) + DAY > ends:
                self.unvoted.append((key, item))
        self.handed = {listing: moment for listing, moment in self.handed.items() if moment + DAY > now}
        self.unvoted = [listing for listing in self.unvoted if listing in self.handed]

    def put(self, key: int, item: bytes, now: float, age: int | None, publisher: int) -> bool:
        self.tick(now)
        if age is not None and age >= DAY:
            return False
        new = item not in self.listed(key)
        full = len(self.listed(key)) >= spec.BAG_VALUES
        if age is not None:
            if (key, item) in self.handed:
                return True
            if new and full:
                return False
            self.handed[key, item] = now - age
            if new:
                self.unvoted.append((key, item))
            return True
        if (key, item, publisher) not in self.votes:
            ballot = sum(1 for bag, _, voter in self.votes if (bag, voter) == (key, publisher))
            if ballot >= spec.BAG_VALUES_A_PUBLISHER or len(self.voters(key, item)) >= spec.BAG_PUBLISHERS_A_VALUE:
                return False
            if new and full:
                yielding = [listing for listing in self.unvoted if listing[0] == key]
                if not yielding:
                    return False
                self.unvoted.remove(yielding[-1])
                del self.handed[yielding[-1]]
        self.votes[key, item, publisher] = now
        self.unvoted = [listing for listing in self.unvoted if listing != (key, item)]
        return True

    def rows(self, key: int) -> list[tuple[bytes, int, float]]:
        rows = []
        for item in self.listed(key):
            votes = self.voters(key, item)
            rows.append((item, len(votes), max(votes.values()) if votes else self.handed[key, item]))
        return rows


@pytest.mark.parametrize("seed", range(40))
def test_against_a_naive_oracle(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "BAG_VALUES", 6)
    monkeypatch.setattr(spec, "BAG_VALUES_A_PUBLISHER", 4)
    monkeypatch.setattr(spec, "BAG_PUBLISHERS_A_VALUE", 3)
    monkeypatch.setattr(spec, "MAX_BAG_REPLY", 5)
    rng = random.Random(seed)
    quota = Quota()
    store = BagStore(quota, random.Random(seed))
    oracle = Oracle()
    now = rng.uniform(0, 1e6)
    for _ in range(400):
        now += rng.choice([rng.random(), rng.expovariate(1 / 7_200)])  # never the same twice: what expires together has no order
        key, item, publisher = rng.randrange(2), value(rng.randrange(10)), rng.randrange(5)
        age = rng.choice([None, None, rng.randrange(90_000)])
        assert store.put(key, item, now, age=age, publisher=publisher) == oracle.put(key, item, now, age, publisher), seed
        if rng.random() < 0.02:
            store.drop(key)
            oracle.votes = {vote: cast for vote, cast in oracle.votes.items() if vote[0] != key}
            oracle.handed = {listing: moment for listing, moment in oracle.handed.items() if listing[0] != key}
        for key in range(2):
            oracle.tick(now)
            rows = oracle.rows(key)
            popular = tuple(BagEntry(i, n, int(now - t)) for i, n, t in sorted(rows, key=lambda row: (-row[1], -row[2], row[0])))
            recent = tuple(BagEntry(i, n, int(now - t)) for i, n, t in sorted(rows, key=lambda row: (not row[1], -row[2], row[0])))
            assert store.popular(key, now) == (popular[:5] or None), seed
            assert store.recent(key, now) == (recent[:5] or None), seed
            assert set(store.sample(key, now) or ()) <= set(popular), seed
        held = {(row["key"], row["value"], publisher) for row in store.rows(now) for publisher in row["publishers"]}
        assert held == set(oracle.votes), seed
    store.expire(now + DAY)
    assert (len(store), quota.used) == (0, 0), seed
