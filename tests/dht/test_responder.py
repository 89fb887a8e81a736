"""The responder: each network procedure, who may store, who may be told whom, and replies that come later."""

import random
from collections.abc import Iterable

import pytest

from p2pnb import address, spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.responder import Responder
from p2pnb.dht.signature import public_key_of, sign
from p2pnb.dht.store import Get, Put, Store, key_of_request
from p2pnb.dht.table import RoutingTable
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import (
    Bag,
    BagAdd,
    BagEntry,
    BagPopular,
    BagRecent,
    BagSample,
    Iam,
    NamespaceRef,
    NamespaceSet,
    Nearest,
    Peers,
    Ref,
    Reply,
    Request,
    Set,
    Stored,
    Value,
    Version,
    Welcome,
)

OWN = 1 << 255
SEED = bytes(32)
AUTHOR = public_key_of(SEED)
ITEM = bytes(range(32))
CATS = key_of_request(Set(b"cats"))
SIGNED = NamespaceSet(AUTHOR, 1, ITEM, sign(SEED, "", 1, 3, ITEM), 3)
GETS: list[Get] = [Ref(CATS), BagPopular(CATS), BagRecent(CATS), BagSample(CATS), NamespaceRef(AUTHOR, 1)]
PUTS: list[Put] = [Set(b"cats"), BagAdd(CATS, ITEM), SIGNED, Set(b"cats", 10), BagAdd(CATS, ITEM, 10)]


class Answerer:
    """A responder with its state, asked by one peer unless said otherwise."""

    def __init__(self, contacts: list[Contact] | None = None, seed: int = 1) -> None:
        self.table = RoutingTable(OWN)
        for each in contacts or []:
            self.table.seen(each, 0.0, dialled=True)
        self.store = Store(rng=random.Random(seed))
        self.responder = Responder(OWN, self.table, self.store)

    def __call__(
        self, request: Request, *, uid: int | None = 5, ip: str = "127.0.0.1", port: int = 9, now: float = 10.0
    ) -> Reply | Deferred[Reply]:
        return self.responder.answer(request, uid=uid, ip=ip, port=port, now=now)


def crowd(rng: random.Random, n: int, ip: str = "127.0.0.1") -> list[Contact]:
    return [contact(ip, 1_000 + number, rng.getrandbits(256)) for number in range(n)]


def by_distance(contacts: Iterable[Contact], key: int) -> list[Contact]:
    def distance(each: Contact) -> int:
        assert each.uid is not None
        return each.uid ^ key

    return sorted(contacts, key=distance)


def test_iam_is_welcomed_at_the_address_it_is_seen_at() -> None:
    assert Answerer()(Iam(5), ip="192.0.2.7", port=4_321) == Welcome("192.0.2.7", 4_321, OWN)


@pytest.mark.parametrize("seed", range(10))
def test_peers_are_the_nearest_first(seed: int) -> None:
    rng = random.Random(seed)
    ask = Answerer(crowd(rng, 300))
    for n in (*[rng.getrandbits(256) for _ in range(20)], OWN, 0):
        reply = ask(Peers(n))
        assert reply == Nearest(tuple(by_distance(ask.table, n)[:20])), seed


def test_the_asker_is_not_named_to_itself() -> None:
    contacts = crowd(random.Random(1), 21)
    ask = Answerer(contacts)
    for asker in contacts[:5]:
        assert asker.uid is not None
        for uid in (asker.uid, None):
            reply = ask(Peers(asker.uid), uid=uid, ip=asker.ip, port=asker.port)
            assert isinstance(reply, Nearest)
            assert set(reply.contacts) == set(ask.table) - {asker}


@pytest.mark.parametrize("seed", range(10))
def test_nobody_is_told_an_address_of_a_narrower_scope(seed: int) -> None:
    rng = random.Random(seed)
    ips = ["127.0.0.1", "10.0.0.3", "192.168.1.7", "8.8.8.8", "2001:4860::8888", "::1", "fd00::1"]
    ask = Answerer([contact(rng.choice(ips), 1_000 + number, rng.getrandbits(256)) for number in range(200)])
    for ip in (*ips, "not an address"):
        key = rng.getrandbits(256)
        allowed = [each for each in ask.table if address.may_tell(each.ip, ip)]
        assert ask(Peers(key), ip=ip) == Nearest(tuple(by_distance(allowed, key)[:20])), (seed, ip)


@pytest.mark.parametrize("request_", GETS)
def test_without_the_record_the_nearest_are_named(request_: Get) -> None:
    ask = Answerer(crowd(random.Random(1), 50))
    assert ask(request_) == ask(Peers(key_of_request(request_)))
    assert isinstance(ask(request_), Nearest)


def test_every_procedure_stores_and_finds() -> None:
    ask = Answerer()
    assert [ask(request) for request in PUTS] == [Stored(True)] * 5
    entries = Bag((BagEntry(ITEM, 1, 2),))
    expected = [Value(b"cats", 3), entries, entries, entries, Version(ITEM, SIGNED.signature, 3, 3)]
    assert [ask(request, now=12.5) for request in GETS] == expected
    assert ask(NamespaceRef(AUTHOR, 1, SIGNED.signature)) == Version(ITEM, SIGNED.signature, 3, 0)
    assert ask(NamespaceRef(AUTHOR, 1, bytes(64))) == Nearest(())


def nearer_to(key: int, n: int) -> list[Contact]:
    """`n` peers that are nearer to `key` than OWN is."""
    assert (OWN ^ key) > n
    return [contact("127.0.0.1", 2_000 + number, key ^ number) for number in range(n)]


@pytest.mark.parametrize("request_", PUTS)
def test_only_the_nearest_peers_take_a_record(request_: Put) -> None:
    key = key_of_request(request_)
    ask = Answerer(nearer_to(key, spec.ACCEPTORS - 1))
    assert ask.table.nearer(key, OWN, 10.0) == spec.ACCEPTORS - 1
    assert ask(request_) == Stored(True)


def test_a_peer_with_twenty_nearer_ones_refuses() -> None:
    rng = random.Random(1)
    ask = Answerer(crowd(rng, 2_000))
    refused = 0
    for number in range(300):
        value = number.to_bytes(4, "big")
        key = key_of_request(Set(value))
        known = sum(1 for each in ask.table if each.uid is not None and each.uid ^ key < OWN ^ key)
        assert ask(Set(value)) == Stored(known < spec.ACCEPTORS)
        assert ask(BagAdd(key, ITEM)) == Stored(known < spec.ACCEPTORS)
        refused += known >= spec.ACCEPTORS
        assert ask(Set(value), now=spec.LIVE_WITHIN + 1) == Stored(True)  # nobody was heard from for a while
    assert 0 < refused < 300


def test_what_is_refused_is_not_kept() -> None:
    ask = Answerer()
    assert ask(Set(b"cats", 86_400)) == Stored(False)
    assert ask(NamespaceSet(AUTHOR, 1, ITEM, bytes(64), 3)) == Stored(False)
    assert len(ask.store) == 0


def test_an_unproven_sender_has_no_vote() -> None:
    ask = Answerer()
    assert ask(BagAdd(CATS, ITEM), uid=None) == Stored(False)
    assert ask(BagAdd(CATS, ITEM, 5), uid=None) == Stored(False)
    assert ask(Set(b"cats"), uid=None) == Stored(True)
    assert ask(SIGNED, uid=None) == Stored(True)


def test_the_publisher_is_the_uid_of_the_link() -> None:
    ask = Answerer()
    for _ in range(100):
        ask(BagAdd(CATS, ITEM), uid=5)
    ask(BagAdd(CATS, ITEM), uid=6)
    assert ask.store.rows(10.0)["bags"][0]["publishers"] == [5, 6]


def test_quotas_are_by_network_group() -> None:
    store = Store(rng=random.Random(1))
    store.quota.take(spec.STORE_BYTES // 2, 0.0, None, None)
    responder = Responder(OWN, RoutingTable(OWN), store)

    def taken(ip: str) -> int:
        values = [Set(number.to_bytes(4, "big") + ip.encode() + bytes(100_000)) for number in range(120)]
        replies = [responder.answer(each, uid=number, ip=ip, port=1, now=0.0) for number, each in enumerate(values)]
        return replies.count(Stored(True))

    assert taken("8.8.8.8") == 79
    assert taken("8.8.8.9") == 0
    assert taken("8.8.9.8") == 79
    assert taken("10.0.0.8") == taken("10.0.0.9") == 79, "a private address stands for itself"
    assert taken("127.0.0.1") == 120  # exempt: only each uid's own account counts


def test_equal_states_give_equal_answers() -> None:
    def answers(seed: int) -> list[Reply | Deferred[Reply]]:
        rng = random.Random(1)
        ask = Answerer(crowd(rng, 100), seed)
        requests: list[Request] = [BagAdd(OWN, rng.randbytes(32)) for _ in range(60)]
        requests += [BagSample(OWN)] * 3 + [Peers(rng.getrandbits(256)) for _ in range(10)]
        return [ask(request, uid=number) for number, request in enumerate(requests)]

    assert answers(1) == answers(1) != answers(2)


class SlowStore(Store):
    """A store whose disk has not acknowledged yet."""

    def __init__(self) -> None:
        super().__init__(rng=random.Random(1))
        self.writing: list[Deferred[bool]] = []

    def put(self, request: Put, key: int, now: float, *, publisher: int | None, group: str | None = None) -> Deferred[bool]:
        super().put(request, key, now, publisher=publisher, group=group)
        self.writing.append(Deferred())
        return self.writing[-1]


@pytest.mark.parametrize("request_", PUTS)
def test_a_reply_may_wait_for_the_store(request_: Put) -> None:
    store = SlowStore()
    responder = Responder(OWN, RoutingTable(OWN), store)
    for acknowledged in (True, False):
        reply = responder.answer(request_, uid=5, ip="127.0.0.1", port=1, now=0.0)
        assert isinstance(reply, Deferred)
        replies: list[Reply] = []
        reply.then(replies.append)
        assert replies == []
        store.writing[-1].resolve(acknowledged)
        assert replies == [Stored(acknowledged)]
