"""Values: against a naive oracle, and the rules of age and expiry one by one."""

import hashlib
import math
import random

import pytest

from p2pnb import spec
from p2pnb.dht.quota import Quota
from p2pnb.dht.values import ValueStore
from p2pnb.wire.messages import Set, Value, to_datum
from p2pnb.wire.sexp import dumps

DAY = spec.EXPIRY


def key_of(value: bytes) -> int:
    return int.from_bytes(hashlib.sha256(value).digest(), "big")


@pytest.fixture
def store() -> ValueStore:
    return ValueStore(Quota())


CATS = key_of(b"cats")


def test_a_value_lives_a_day(store: ValueStore) -> None:
    assert store.put(CATS, b"cats", 1_000.0, publisher=1)
    assert store.get(CATS, 1_000.0 + DAY - 0.001) == Value(b"cats")
    assert store.get(CATS, 1_000.0 + DAY) is None
    assert len(store) == 0


def test_setting_again_gives_it_another_day(store: ValueStore) -> None:
    store.put(CATS, b"cats", 0.0, publisher=1)
    assert store.put(CATS, b"cats", DAY - 1, publisher=2)
    assert store.get(CATS, DAY + 1) == Value(b"cats", 2)
    assert store.get(CATS, 2 * DAY - 2.5) == Value(b"cats", 86_399)
    assert store.get(CATS, 2 * DAY - 1) is None


def test_a_hand_over_lives_for_what_is_left(store: ValueStore) -> None:
    assert store.put(CATS, b"cats", 0.0, age=80_000, publisher=1)
    assert store.get(CATS, 6_398.5) == Value(b"cats", 86_399)
    assert store.get(CATS, 6_400.0) is None


@pytest.mark.parametrize("age", [86_400, 86_401, 2**63 - 1])
def test_a_hand_over_of_a_day_or_more_is_refused(store: ValueStore, age: int) -> None:
    assert not store.put(CATS, b"cats", 0.0, age=age, publisher=1)
    assert store.get(CATS, 0.0) is None


@pytest.mark.parametrize("age", [0, 10, 86_399])
def test_a_hand_over_neither_extends_nor_shortens_a_copy(store: ValueStore, age: int) -> None:
    store.put(CATS, b"cats", 0.0, age=40_000, publisher=1)
    assert store.put(CATS, b"cats", 100.0, age=age, publisher=1)
    assert store.rows(100.0)[0]["expires_s"] == pytest.approx(DAY - 40_100)


def test_setting_a_handed_over_copy_makes_it_new(store: ValueStore) -> None:
    store.put(CATS, b"cats", 0.0, age=80_000, publisher=1)
    assert store.rows(0.0)[0]["publisher"] is None
    store.put(CATS, b"cats", 100.0, publisher=5)
    (row,) = store.rows(160.0)
    assert row == {"key": CATS, "size": 4, "age_s": 60.0, "expires_s": DAY - 60, "publisher": 5}


def test_replicas_that_hand_over_to_each_other_let_it_die() -> None:
    """Two replicas republish to each other, and newcomers take over, for ever: after a day the value is gone."""
    rng = random.Random(1)
    replicas = [ValueStore(Quota()) for _ in range(3)]
    replicas[0].put(CATS, b"cats", 0.0, publisher=1)
    now = 0.0
    while any(len(each) for each in replicas):
        now += rng.uniform(1, 700)
        assert now < DAY + 701
        giver, taker = rng.sample(replicas, 2)
        for request in giver.requests(CATS, now):
            taker.put(CATS, request.value, now, age=request.age, publisher=1)
        if rng.random() < 0.1 and taker.get(CATS, now):
            giver.drop(CATS)
        for each in replicas:
            each.expire(now)


def test_requests_hand_it_over(store: ValueStore) -> None:
    store.put(CATS, b"cats", 10.0, publisher=1)
    assert store.requests(CATS, 10.0) == [Set(b"cats", 0)]
    assert store.requests(CATS, 10.25) == [Set(b"cats", 1)]
    assert store.requests(CATS, 10.0 + DAY - 0.5) == []
    assert store.requests(CATS + 1, 10.0) == []


def test_dropping(store: ValueStore) -> None:
    store.put(CATS, b"cats", 0.0, publisher=1)
    store.drop(CATS)
    store.drop(CATS)
    assert store.get(CATS, 0.0) is None
    assert store.put(CATS, b"cats", 50_000.0, publisher=1)
    assert store.expire(DAY) == 0
    assert store.expire(DAY + 50_000) == 1


def test_the_empty_value_is_a_value(store: ValueStore) -> None:
    assert store.put(key_of(b""), b"", 0.0, publisher=1)
    assert store.get(key_of(b""), 0.0) == Value(b"", 0)


def test_an_age_is_rounded_up_and_left_out_where_none_is_left(store: ValueStore) -> None:
    store.put(CATS, b"cats", 10.0, publisher=1)
    stated = {at: found.age for at in (10.0, 10.25, 11.0, 10.0 + DAY - 1, 10.0 + DAY - 0.5) if (found := store.get(CATS, at))}
    assert stated == {10.0: 0, 10.25: 1, 11.0: 1, 10.0 + DAY - 1: 86_399, 10.0 + DAY - 0.5: None}


def test_the_largest_value_leaves_no_room_for_an_age(store: ValueStore) -> None:
    for size, age in ((spec.MAX_VALUE, None), (spec.MAX_VALUE - 1, 80_000)):
        value = b"\xff" * size
        assert store.put(key_of(value), value, 0.0, age=80_000, publisher=1)
        found = store.get(key_of(value), 0.0)
        assert found == Value(value, age)
        assert len(dumps(to_datum(found))) <= spec.MAX_MESSAGE


@pytest.mark.parametrize("seed", range(30))
def test_against_a_naive_oracle(seed: int) -> None:
    rng = random.Random(seed)
    quota = Quota()
    store = ValueStore(quota)
    oracle: dict[int, tuple[bytes, float, int | None]] = {}
    values = [rng.randbytes(rng.choice([0, 1, 100])) for _ in range(12)]
    now = rng.uniform(0, 1e6)
    for _ in range(500):
        now += rng.choice([0.0, 1.0, rng.expovariate(1 / 7_200)])
        oracle = {key: held for key, held in oracle.items() if held[1] + DAY > now}
        value = rng.choice(values)
        key = key_of(value)
        action = rng.random()
        if action < 0.4:
            publisher = rng.randrange(5)
            assert store.put(key, value, now, publisher=publisher), seed
            oracle[key] = (value, now, publisher)
        elif action < 0.7:
            age = rng.choice([0, 3_600, rng.randrange(90_000)])
            assert store.put(key, value, now, age=age, publisher=rng.randrange(5)) == (age < DAY), seed
            if age < DAY and key not in oracle:
                oracle[key] = (value, now - age, None)
        elif action < 0.75:
            store.drop(key)
            oracle.pop(key, None)
        elif action < 0.8:
            store.expire(now)
            assert len(store) == len(oracle), seed
        value, moment, _ = oracle.get(key, (b"", now - DAY, None))
        age = math.ceil(now - moment)
        assert store.get(key, now) == (Value(value, age if age < DAY else None) if key in oracle else None), seed
        rows = {row["key"]: (row["publisher"], row["size"], row["age_s"]) for row in store.rows(now)}
        assert rows == {key: (publisher, len(value), now - moment) for key, (value, moment, publisher) in oracle.items()}, seed
        assert list(store.keys()) == list(rows), seed
    store.expire(now + DAY)
    assert (len(store), quota.used) == (0, 0), seed
