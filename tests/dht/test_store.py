"""The stores together: what a node keeps can be handed over whole, shows itself as rows, and expires."""

import hashlib
import random

import pytest

from p2pnb import spec
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import public_key_of, sign
from p2pnb.dht.store import Put, Store, key_of_request
from p2pnb.uid import key_of
from p2pnb.wire.messages import (
    Bag,
    BagAdd,
    BagEntry,
    BagPopular,
    BagRecent,
    BagSample,
    NamespaceRef,
    NamespaceSet,
    Ref,
    Set,
    Value,
    Version,
)

SEED = bytes(32)
AUTHOR = public_key_of(SEED)
CATS = key_of(b"cats").int
ITEM = bytes(range(32))


def signed(sequence: int, key: int = 1, network: str = "") -> NamespaceSet:
    return NamespaceSet(AUTHOR, key, ITEM, sign(SEED, network, key, sequence, ITEM), sequence)


def put(store: Store, request: Put, now: float, publisher: int = 5) -> None:
    assert store.put(request, key_of_request(request), now, publisher=publisher) is True


@pytest.fixture
def store() -> Store:
    store = Store(rng=random.Random(1))
    put(store, Set(b"cats"), 0.0)
    put(store, Set(b"dogs"), 10.0)
    put(store, BagAdd(CATS, ITEM), 20.0)
    put(store, signed(1), 30.0)
    put(store, signed(2), 40.0)
    return store


def test_where_requests_live() -> None:
    assert key_of_request(Set(b"cats")) == CATS
    assert key_of_request(Ref(5)) == key_of_request(BagAdd(5, ITEM)) == key_of_request(BagSample(5)) == 5
    point = int.from_bytes(hashlib.sha256(AUTHOR + (1).to_bytes(32, "big")).digest(), "big")
    assert key_of_request(signed(1)) == key_of_request(NamespaceRef(AUTHOR, 1)) == point_of(AUTHOR, 1) == point


def test_what_is_put_is_got(store: Store) -> None:
    assert store.get(Ref(CATS), 50.0) == Value(b"cats", 50)
    for request in (BagPopular(CATS), BagRecent(CATS), BagSample(CATS)):
        assert store.get(request, 50.0) == Bag((BagEntry(ITEM, 1, 30),))
    assert store.get(NamespaceRef(AUTHOR, 1), 50.0) == Version(ITEM, signed(2).signature, 2, 10)
    assert store.get(NamespaceRef(AUTHOR, 1, signed(1).signature), 50.0) == Version(ITEM, signed(1).signature, 1, 10)
    assert store.get(NamespaceRef(AUTHOR, 1, bytes(64)), 50.0) is None
    assert store.get(NamespaceRef(AUTHOR, 2), 50.0) is None
    assert store.get(Ref(1), 50.0) is None
    assert store.get(BagPopular(1), 50.0) is None


def test_a_record_is_all_there_is_at_a_key(store: Store) -> None:
    record = store.record(CATS, 50.5)
    assert record is not None
    assert record.key == CATS
    assert record.requests == (Set(b"cats", 51), BagAdd(CATS, ITEM, 31))
    assert store.record(1, 50.5) is None
    assert [each.key for each in store.records(50.5)] == store.keys() == [CATS, key_of(b"dogs").int, point_of(AUTHOR, 1)]


def test_handing_everything_over(store: Store) -> None:
    newcomer = Store(rng=random.Random(1))
    for record in store.records(1_000.0):
        for request in record.requests:
            assert key_of_request(request) == record.key
            put(newcomer, request, 5_000.0, publisher=9)
        store.drop(record.key)
    assert (len(store), store.size) == (0, 0)
    assert len(newcomer) == 4
    assert newcomer.get(Ref(CATS), 5_000.0) == Value(b"cats", 1_000)
    assert newcomer.get(BagPopular(CATS), 5_000.0) == Bag((BagEntry(ITEM, 0, 980),))
    assert newcomer.get(NamespaceRef(AUTHOR, 1, signed(1).signature), 5_000.0) is not None
    assert newcomer.expire(5_000.0 + spec.EXPIRY - 900) == 4
    assert newcomer.size == 0


def test_the_store_may_change_while_its_records_are_handed_over(store: Store) -> None:
    keys = []
    for record in store.records(50.0):
        keys.append(record.key)
        for key in store.keys():
            store.drop(key)
    assert keys == [CATS]


def test_rows(store: Store) -> None:
    rows = store.rows(100.0)
    assert [row["size"] for row in rows["values"]] == [4, 4]
    assert rows["values"][0] == {"key": CATS, "size": 4, "age_s": 100.0, "expires_s": spec.EXPIRY - 100, "publisher": 5}
    assert rows["bags"] == [{"key": CATS, "value": ITEM, "publishers": [5], "age_s": 80.0}]
    assert [row["sequence"] for row in rows["namespaces"]] == [1, 2]
    assert rows["namespaces"][1] == {
        "public_key": AUTHOR,
        "key": 1,
        "sequence": 2,
        "value": ITEM,
        "signature": signed(2).signature,
        "age_s": 60.0,
    }


def test_everything_expires(store: Store) -> None:
    assert len(store) == 4
    assert store.expire(spec.EXPIRY + 9) == 1
    assert store.expire(spec.EXPIRY + 100) == 3
    assert (len(store), store.size) == (0, 0)


def test_the_network_is_part_of_signatures() -> None:
    store = Store(network="class-7", rng=random.Random(1))
    assert store.put(signed(1), point_of(AUTHOR, 1), 0.0, publisher=5) is False
    put(store, signed(1, network="class-7"), 0.0)
