"""Floods of records: every quota is held to 1 %, whoever floods, and what the honest stored before is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from siege import Stranger, besieged, until
from town import simulate

from p2pnb import spec
from p2pnb.dht import namespaces
from p2pnb.dht.responder import Responder
from p2pnb.dht.store import Put, Store, key_of_request
from p2pnb.dht.table import RoutingTable
from p2pnb.wire.messages import BagAdd, NamespaceSet, Request, Set, Stored, to_datum

HALF, HOURLY = spec.STORE_BYTES // 2, spec.PUBLISHER_BYTES_AN_HOUR
LARGE = 200_000


class Node:
    """The stores of one node and what answers for them. `used` bytes are kept for nobody in particular."""

    def __init__(self, used: int = 0) -> None:
        self.store = Store(rng=random.Random(1))
        self.answers = Responder(1, RoutingTable(1), self.store)
        if used:
            assert self.store.quota.take(used, 0.0, None, None)

    def takes(self, request: Request, uid: int, ip: str = "8.8.8.8", now: float = 1.0) -> bool:
        return self.answers.answer(request, uid=uid, ip=ip, port=9_000, now=now) == Stored(True)

    def keeps(self, requests: list[Put], now: float) -> bool:
        return all(key_of_request(each) in self.store.keys() for each in requests) and self.store.expire(now) == 0


def values(size: int = LARGE, seed: int = 0) -> Iterator[Set]:
    number = seed << 32
    while True:
        number += 1
        yield Set(number.to_bytes(32, "big") + bytes(size - 32))


HONEST: list[Put] = [next(values(1_000, seed=9)), BagAdd(77, b"h" * 32)]


def test_a_node_keeps_256_mb_whoever_floods() -> None:
    """From as many networks and uids as it takes."""
    node, flood = Node(), values()
    assert all(node.takes(each, 5, "9.9.9.9") for each in HONEST)
    rng, refused = random.Random(1), 0
    while refused < 50:
        refused += not node.takes(next(flood), rng.getrandbits(256), f"{rng.randrange(11, 90)}.{rng.randrange(256)}.1.1")
    assert spec.STORE_BYTES * 0.99 < node.store.size <= spec.STORE_BYTES
    assert node.keeps(HONEST, 2.0)
    assert node.answers.refused.total() == 50


ATTACKERS = {
    "one publisher": (lambda number: (7, f"{11 + number % 80}.{number % 250}.1.1"), HOURLY),
    "a thousand uids of one /24": (lambda number: (number, f"8.8.8.{number % 250}"), HOURLY),
    "a thousand uids of one /48": (lambda number: (number, f"2a00:1450:4001:{number:x}::1"), HOURLY),
    "a thousand uids at one private address": (lambda number: (number, "10.1.2.3"), HOURLY),
    "five uids at one loopback address": (lambda number: (number % 5, "127.0.0.1"), 5 * HOURLY),
}


@pytest.mark.parametrize("who", ATTACKERS)
@pytest.mark.parametrize("size", [2_000, LARGE])
def test_once_half_full_8_mb_an_hour(who: str, size: int) -> None:
    """Neither more nor (to 1 %, or one record) less; the next hour again; and the honest go on storing."""
    place, limit = ATTACKERS[who]
    node, flood = Node(HALF), values(size)
    assert all(node.takes(each, 5, "9.9.9.9") for each in HONEST)
    before = node.store.size
    for hour in range(2):
        for number in range(2 * limit // size):
            node.takes(next(flood), *place(number), now=1.0 + hour * 3_600)
        taken = node.store.size - before - hour * limit
        assert limit * 0.99 - 10 * size < taken <= limit * 1.01, f"hour {hour}: {taken:,} bytes"
        assert node.takes(next(values(1_000, seed=50 + hour)), 6, "9.9.8.8", now=2.0 + hour * 3_600)
    assert node.keeps(HONEST, 3_700.0)


def test_24_hours_and_everything_is_gone() -> None:
    node, flood = Node(), values(2_000)
    for number in range(1_000):
        assert node.takes(next(flood), number)
    assert node.takes(Set(b"renewed"), 5)
    assert node.takes(Set(b"renewed"), 5, now=80_000.0)
    node.store.expire(1.0 + spec.EXPIRY)
    assert [each.value for record in node.store.records(1.0 + spec.EXPIRY) for each in record.requests] == [b"renewed"]  # type: ignore[union-attr]


def test_a_bag_holds_1000_values_64_of_a_publisher_and_1024_publishers_a_value() -> None:
    node = Node()
    record = lambda number: number.to_bytes(32, "big")  # noqa: E731
    assert sum(node.takes(BagAdd(1, record(number)), 5) for number in range(200)) == spec.BAG_VALUES_A_PUBLISHER
    assert sum(node.takes(BagAdd(1, record(1_000 + number)), 10 + number // 60) for number in range(2_000)) == spec.BAG_VALUES - 64
    assert sum(node.takes(BagAdd(1, record(0)), 1_000 + number) for number in range(2_000)) == spec.BAG_PUBLISHERS_A_VALUE - 1
    listed = {row["value"] for row in node.store.bags.rows(2.0)}
    assert {record(number) for number in range(64)} <= listed, "who came first stays"


def test_a_public_key_has_1024_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "version_holds", lambda *_: True)
    node = Node()
    entries = [NamespaceSet(b"a" * 32, number, bytes(32), bytes(64), 1) for number in range(3_000)]
    assert sum(node.takes(each, number) for number, each in enumerate(entries)) == spec.NAMESPACE_KEYS_A_PUBLIC_KEY
    assert node.keeps(entries[: spec.NAMESPACE_KEYS_A_PUBLIC_KEY], 2.0)


def test_a_flood_over_links_is_refused_and_shown() -> None:
    """20 MB by two uids at a node that is half full: each gets its 8 MB, the others' records stay, `traffic` says who it was."""

    async def test() -> None:
        async with besieged(3, 6) as network:
            node = network.members[0]
            peer, endpoint = node.living(), node.endpoint
            assert endpoint is not None
            assert peer.store.quota.take(HALF, peer.clock(), None, None)
            key = await network.members[1].living().set(b"honest")
            flood = values(LARGE)
            strangers = [await Stranger(network, seed).greeted(node.ip, node.port) for seed in range(2)]
            for said in range(1, 51):
                for stranger in strangers:
                    stranger.say(to_datum(next(flood)))
                await until(lambda said=said: all(len(each.data) == said for each in strangers))
            for stranger in strangers:
                assert stranger.data.count(True) == 39
                assert peer.responder.refused[stranger.uid] == 11
                assert HOURLY * 0.95 < peer.store.quota.spent(stranger.uid, peer.clock()) <= HOURLY
                (row,) = [row for row in endpoint.traffic() if row["uid"] == stranger.uid]
                assert (row["requests_in"], row["links"]) == (50, 1)
                assert row["bytes_in"] > 50 * LARGE
                stranger.transport.abort()
            assert key.int in peer.store.values.keys()
            assert sum(peer.store.stored_for(peer.clock()).values()) >= 2 * 39 * LARGE

    simulate(test)
