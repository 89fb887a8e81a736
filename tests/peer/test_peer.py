"""The draft's constructor and its procedures, on carriers that a test can hold in its hand."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from pigeons import Loft, Wire, end, flock, live
from town import simulate

from p2pnb import Author, Key, key_of, spec
from p2pnb.errors import NotFound, PeerUnreachable, StaleSequence, StoreFull, ValueTooLarge
from p2pnb.net.contract import Lost, Received
from p2pnb.peer.peer import Peer
from p2pnb.wire.contact import contact
from p2pnb.wire.sexp import Symbol


def test_everything_over_queues() -> None:
    async def test() -> None:
        _, peers = await flock(12)
        key = await peers[2].set(b"by pigeon")
        assert key == key_of(b"by pigeon")
        assert peers[2].last.stored == 5
        assert await peers[9].ref(key) == b"by pigeon"
        topic = key_of(b"cats")
        for peer in peers[:4]:
            await peer.bag_publish(topic, key)
        other = key_of(b"other")
        await peers[5].bag_publish(topic, other)
        popular = await peers[11].bag_popular(topic)
        assert popular == [key, other]
        assert [entry.publishers for entry in popular.entries] == [4, 1]
        assert sorted(await peers[8].bag_recent(topic)) == sorted([key, other])
        assert sorted(await peers[8].bag_sample(topic)) == sorted([key, other])
        holder = next(peer for peer in peers if len(peer.store.bags))
        asker = next(peer for peer in peers if peer is not holder)
        assert await asker.bag_popular_at(holder.uid, topic) == [key, other]
        author = Author.from_seed(bytes(32))
        first = await peers[0].namespace_set(author.private_key, author.public_key, topic, key)
        second = await peers[1].namespace_set(author.private_key, author.public_key, topic, other)
        assert await peers[7].namespace_ref(author.public_key, topic) == other
        assert await peers[7].namespace_ref(author.public_key, topic, first) == key
        assert await peers[7].namespace_ref(author.public_key, topic, second) == other
        keeper = next(peer for peer in peers if len(peer.store.namespaces))
        assert await asker.namespace_ref_at(keeper.uid, author.public_key, topic) == other
        await end(peers)

    live(test)


def test_a_claim_without_a_link_is_asked_back() -> None:
    """On an unauthenticated carrier an `iam` changes no table: whoever listens at the address is asked."""

    async def test() -> None:
        loft, peers = await flock(3)
        victim, forged = peers[0], 5
        before = sorted(contact.uid or 0 for contact in victim.table)
        for port in range(7000, 8000):
            loft.boxes["127.0.0.1", 1000].put_nowait(("127.0.0.1", port, (Symbol("iam"), forged + port)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert sorted(contact.uid or 0 for contact in victim.table) == before
        await end(peers)

    live(test)


def test_a_wrong_name_is_not_believed_without_links() -> None:
    """A hint whose address welcomes with another uid is a failed dial, not a contact."""

    async def test() -> None:
        loft, peers = await flock(4)
        liar, victim = peers[1], peers[3]
        fake = victim.own ^ 1
        liar.responder.answer = lambda *_, **__: _nearest(fake)  # type: ignore[method-assign]
        found = await victim.lookup(Key.from_int(fake))
        assert fake not in {contact.uid for contact in found.nearest}
        assert fake not in victim.table
        await end(peers)
        del loft

    def _nearest(fake: int) -> Any:
        from p2pnb.wire.messages import Nearest

        return Nearest((contact("127.0.0.1", 1000, fake),))

    live(test)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"replication": 3}, "replication is an integer of 5 to 20, not 3"),
        ({"replication": 21}, "replication is an integer of 5 to 20, not 21"),
        ({"k": 1}, "k is an integer of 2 to 20"),
        ({"k": 21}, "k is an integer of 2 to 20"),
        ({"alpha": 0}, "alpha is an integer of 1 to"),
        ({"replication": 5.0}, "replication is an integer"),
    ],
)
def test_numbers_out_of_range(options: dict[str, Any], complaint: str) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match=complaint):
            Loft().peer(1, random.Random(1), **options)

    live(test)


def test_a_peer_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match=r"Cluster\.launch"):
        Peer(bytes(32), asyncio.Queue().get, print)


def test_bad_arguments_name_the_fix() -> None:
    async def test() -> None:
        _, peers = await flock(2)
        peer = peers[0]

        async def later() -> bytes:
            return bytes(32)

        waiting = later()
        for wrong, kind, words in [
            (7, TypeError, "Key.from_int"),
            (b"short", ValueError, "key_of"),
            ("nonsense", ValueError, "64 hex digits"),
            (waiting, TypeError, "await"),
            (None, TypeError, "NoneType"),
        ]:
            with pytest.raises(kind, match=words):
                await peer.ref(wrong)  # type: ignore[arg-type]
        waiting.close()
        with pytest.raises(ValueTooLarge, match="249,996 bytes, not 249,997"):
            await peer.set(bytes(249_997))
        with pytest.raises(TypeError, match="encode"):
            await peer.set("text")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="32 bytes, not 5"):
            await peer.bag_publish(bytes(32), b"short")
        author = Author.from_seed(bytes(32))
        with pytest.raises(ValueError, match="sequence number"):
            await peer.namespace_set(author.private_key, author.public_key, bytes(32), bytes(32), -1)
        with pytest.raises(ValueError, match="64 bytes"):
            await peer.namespace_ref(author.public_key, bytes(32), b"short")
        with pytest.raises(NotFound, match="never set"):
            await peer.ref(key_of(b"nowhere"))
        assert await peer.bag_popular(key_of(b"nowhere")) == []
        await end(peers)

    live(test)


def test_sequence_numbers_do_not_go_back() -> None:
    async def test() -> None:
        _, peers = await flock(7)
        author = Author.from_seed(bytes(range(32)))
        pair = author.private_key, author.public_key
        name = key_of(b"about")
        await peers[0].namespace_set(*pair, name, key_of(b"1"), 7)
        with pytest.raises(StaleSequence, match="version 3 is older than version 7"):
            await peers[1].namespace_set(*pair, name, key_of(b"2"), 3)
        await peers[1].namespace_set(*pair, name, key_of(b"3"))
        assert (await peers[2].namespace_version(author.public_key, name)).sequence == 8
        await end(peers)

    live(test)


def test_a_lone_peer_keeps_what_it_sets() -> None:
    async def test() -> None:
        peer = Loft().peer(1, random.Random(1))
        key = await peer.set(b"alone")
        assert await peer.ref(key) == b"alone"
        assert peer.last.facts["held"]
        with pytest.raises(PeerUnreachable, match="knows nobody yet"):
            await peer.bootstrap()
        await peer.close()
        with pytest.raises(PeerUnreachable, match="closed"):
            await peer.ref(key)

    live(test)


def test_a_vote_too_many_goes_no_further() -> None:
    async def test() -> None:
        _, peers = await flock(9)
        topic = key_of(b"stuffed")
        for i in range(spec.BAG_VALUES_A_PUBLISHER):
            await peers[0].bag_publish(topic, key_of(b"%d" % i))
        with pytest.raises(StoreFull):
            await peers[0].bag_publish(topic, key_of(b"one more"))
        assert sum(len(peer.store.bags) for peer in peers) == 5, "no peer beyond the nearest took it"
        await end(peers)

    simulate(test)


def test_a_store_that_is_full_says_so() -> None:
    async def test() -> None:
        _, peers = await flock(3)
        for peer in peers:
            peer.store.quota.used = spec.STORE_BYTES
        with pytest.raises(StoreFull, match="full"):
            await peers[0].set(b"one more")
        await end(peers)

    live(test)


# --- one end scripted -----------------------------------------------------------------------------------------------------


class Script:
    """A peer whose carrier is the test: `sent` is what it sent, `hear` is what it receives."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.wires: dict[int | None, Wire] = {}
        self.sent: list[tuple[Any, Wire]] = []
        self.peer = Peer(bytes(31) + b"\x01", self.inbox.get, self._send, rng=random.Random(1), upkeep=False)

    def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Wire | None = None) -> Wire:
        wire = link or self.wires.setdefault(uid, Wire(uid or 77, ip, port))
        if wire.closed:
            wire = self.wires[uid] = Wire(uid or 77, ip, port)
        self.sent.append((payload, wire))
        return wire

    async def hear(self, item: Any) -> None:
        self.inbox.put_nowait(item)
        for _ in range(6):
            await asyncio.sleep(0)


def test_an_iam_that_is_not_the_links_closes_it() -> None:
    async def test() -> None:
        script = Script()
        for forged in range(1000):
            wire = Wire(uid=900, outbound=False)
            await script.hear(wire.received((Symbol("iam"), 10_000 + forged)))
            assert wire.closed
        assert {contact.uid for contact in script.peer.table} <= {900}
        assert script.peer.refused_links == 1000
        await script.peer.close()

    live(test)


@pytest.mark.parametrize(
    "payload",
    [
        (Symbol("frobnicate"), 1),
        (Symbol("ref"),),
        (Symbol("ref"), 1, 2),
        (Symbol("ref"), -1),
        (Symbol("peers"), 2**256),
        (Symbol("peers"), "key"),
        (Symbol("set"), 7),
        (Symbol("bag-add"), 1, bytes(31)),
        (Symbol("namespace-set"), bytes(32), 1, bytes(32), bytes(64), 2**63),
        (Symbol("namespace-set"), bytes(32), 1, bytes(32), bytes(64), -1),
        [Symbol("ref"), 1],
        (),
        7,
        True,
    ],
)
def test_what_is_no_request_closes_the_link_without_a_word(payload: Any) -> None:
    async def test() -> None:
        script = Script()
        wire = Wire(uid=900, outbound=False)
        await script.hear(wire.received(payload))
        assert wire.closed
        assert script.sent == []
        other = Wire(uid=901, outbound=False)
        await script.hear(other.received((Symbol("iam"), 901)))
        assert script.sent == [((Symbol("welcome"), "127.0.0.1", 4000, 1), other)]
        await script.peer.close()

    live(test)


def test_replies_keep_the_order_of_requests_when_one_is_late() -> None:
    async def test() -> None:
        from p2pnb.dht.deferred import Deferred
        from p2pnb.wire.messages import Set, Stored

        script = Script()
        later: Deferred[Any] = Deferred()
        real = script.peer.responder.answer

        def answer(request: Any, **seen: Any) -> Any:
            return later if isinstance(request, Set) else real(request, **seen)

        script.peer.responder.answer = answer  # type: ignore[method-assign]
        wire = Wire(uid=900, outbound=False)
        await script.hear(wire.received((Symbol("set"), b"slow")))
        await script.hear(wire.received((Symbol("iam"), 900)))
        assert script.sent == []
        later.resolve(Stored(True))
        assert [payload for payload, _ in script.sent] == [True, (Symbol("welcome"), "127.0.0.1", 4000, 1)]
        await script.peer.close()

    live(test)


def test_a_value_under_the_wrong_key_is_passed_over() -> None:
    async def test() -> None:
        script = Script()
        peer = script.peer
        liar, honest = 1 << 200, 1 << 201
        for uid, port in ((liar, 4001), (honest, 4002)):
            peer.table.seen(contact("127.0.0.1", port, uid), peer.clock(), dialled=True)
        key = key_of(b"true")
        asking = asyncio.ensure_future(peer.ref(key))
        await asyncio.sleep(0)
        for _, wire in list(script.sent):
            value = b"false" if wire.uid == liar else b"true"
            await script.hear(wire.received((Symbol("value"), value)))
        assert await asking == b"true"
        await peer.close()

    live(test)


def test_lost_cleanly_is_asked_again_and_reset_is_not() -> None:
    async def test() -> None:
        script = Script()
        peer = script.peer
        first = asyncio.ensure_future(peer.connect("127.0.0.1", 4001))
        await asyncio.sleep(0)
        wire = script.sent[0][1]
        wire.closed = True
        await script.hear(Lost(wire))
        assert len(script.sent) == 2, "a request lost with a clean close is asked once more"
        again = script.sent[1][1]
        again.close("reset")
        await script.hear(Lost(again))
        assert await first is False
        assert "broke" in peer.last.reason
        await peer.close()

    live(test)


def test_external_address_needs_three_groups() -> None:
    async def test() -> None:
        script = Script()
        peer = script.peer
        seen = []
        for i, group in enumerate(("8.8.8.8", "8.8.8.9", "9.9.9.9", "1.1.1.1")):
            asking = asyncio.ensure_future(peer.connect(group, 4001))
            await asyncio.sleep(0)
            wire = script.sent[-1][1]
            wire.uid = 500 + i
            await script.hear(Received(group, 4001, (Symbol("welcome"), "5.6.7.8", 9, 500 + i), 500 + i, wire))
            assert await asking is True
            script.wires.clear()
            seen.append(peer.external_ip)
        assert seen == [None, None, None, "5.6.7.8"], "two answers from one /24 count once"
        await peer.close()

    live(test)


def test_one_trouble_is_one_failure_and_hearsay_is_none() -> None:
    async def test() -> None:
        peer = Script().peer
        uid = 1 << 200
        true, hearsay = contact("127.0.0.1", 4001, uid), contact("127.0.0.1", 4666, uid)
        peer.table.seen(true, peer.clock(), dialled=True)
        lost = PeerUnreachable("gone", "lost")
        for _ in range(5):
            peer._settled(hearsay, lost, 0.1)
        assert peer.table.rows(peer.clock())[0]["failures"] == 0
        for _ in range(5):
            peer._settled(true, lost, 0.1)
        assert peer.table.rows(peer.clock())[0]["failures"] == 1
        await peer.close()

    live(test)
