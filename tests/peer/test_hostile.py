"""Peers that lie, on live networks and to a scripted peer: they may cost a little time, and decide nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from pigeons import Wire
from town import LATENCY, nearest, now, peers, simulate, town

from p2pnb import Author, address, key_of, spec
from p2pnb.cluster.member import Member
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import sign
from p2pnb.errors import NotFound
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Bag, BagEntry, BagQuery, NamespaceSet, Peers, Request, Version, to_datum
from p2pnb.wire.sexp import Symbol


class Stage:
    """One peer whose carrier is the test: `asked` is what it sent, in order, and on which wire."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.wires: dict[int | None, Wire] = {}
        self.asked: list[tuple[Any, Wire]] = []
        self.dialled: list[tuple[str, int]] = []
        self.peer = Peer(
            bytes(31) + b"\x01", self.inbox.get, self._send, rng=random.Random(1), upkeep=False, address=("127.0.0.1", 3_999)
        )

    def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Wire | None = None) -> Wire:
        wire = link or self.wires.get(uid)
        if wire is None or wire.closed:
            if payload[0] == "peers":  # what a lookup dials; whether a contact is back is asked apart from it
                self.dialled.append((ip, port))
            wire = self.wires[uid] = Wire(uid or 77, ip, port)
        self.asked.append((payload, wire))
        return wire

    def knows(self, uid: int, ip: str = "127.0.0.1", port: int = 4_000) -> Contact:
        known = contact(ip, port, uid)
        self.peer.table.seen(known, self.peer.clock(), dialled=True)
        return known

    async def hear(self, payload: Any, wire: Wire) -> None:
        self.inbox.put_nowait(wire.received(payload))
        for _ in range(6):
            await asyncio.sleep(0)


# --- replies that are not what was asked for ----------------------------------------------------------------------------------


def test_a_liar_is_penalised_by_uid_and_never_by_address() -> None:
    """The liar leaves the table and stays out for 15 minutes; another uid at its address is welcome."""

    async def test() -> None:
        stage = Stage()
        peer, liar, honest = stage.peer, 1 << 200, 1 << 201
        stage.knows(liar, port=4_001)
        asking = asyncio.ensure_future(peer.ref(key_of(b"true")))
        await asyncio.sleep(0)
        wire = stage.asked[0][1]
        await stage.hear((Symbol("value"), b"false"), wire)
        with pytest.raises(NotFound):
            await asking
        assert liar not in peer.table
        stage.knows(honest, port=4_001)  # the same address
        assert honest in peer.table
        await stage.hear(to_datum(Peers(5)), wire)
        assert stage.asked[-1][0][0] == "peer", "a liar is still served"
        assert liar not in peer.table
        await asyncio.sleep(spec.LIVE_WITHIN)
        await stage.hear(to_datum(Peers(5)), wire)
        assert liar in peer.table
        await peer.close()

    simulate(test)


@pytest.mark.parametrize(
    "reply",
    [
        True,
        (Symbol("welcome"), "127.0.0.1", 9, 1 << 200),
        (Symbol("bag"),),
        (Symbol("peer"), *[["127.0.0.1", 5_000 + i, 1_000 + i] for i in range(21)]),
        (Symbol("value"), b"true"),
    ],
    ids=["stored", "welcome", "bag", "21 contacts", "value"],
)
def test_a_reply_of_another_kind_fails_that_request_and_closes_that_link(reply: Any) -> None:
    """Nothing of it is used: no contact of the 21 is asked. Another peer's answer still ends the lookup."""

    async def test() -> None:
        stage = Stage()
        liar, honest = stage.knows(1 << 200, port=4_001), stage.knows(1 << 201, port=4_002)
        asking = asyncio.ensure_future(stage.peer.lookup(Key.from_int(5)))
        await asyncio.sleep(0)
        by_uid = {wire.uid: wire for _, wire in stage.asked}
        await stage.hear(reply, by_uid[liar.uid or 0])
        assert by_uid[liar.uid or 0].closed
        await stage.hear((Symbol("peer"),), by_uid[honest.uid or 0])
        assert [each.uid for each in (await asking).nearest] == [honest.uid]
        assert {wire.port for _, wire in stage.asked} == {4_001, 4_002}
        assert stage.peer.refused_links == 1
        assert not by_uid[honest.uid or 0].closed
        await stage.peer.close()

    simulate(test)


def test_equal_contacts_are_one_and_the_askers_own_is_none() -> None:
    async def test() -> None:
        stage = Stage()
        stage.knows(1 << 200, port=4_001)
        asking = asyncio.ensure_future(stage.peer.lookup(Key.from_int(5)))
        await asyncio.sleep(0)
        own = [["127.0.0.1", 3_999, 8], ["127.0.0.1", 3_999], ["127.0.0.1", 4_009, stage.peer.own]]
        await stage.hear((Symbol("peer"), *own, *[["127.0.0.1", 4_002, 7]] * 17), stage.asked[0][1])
        assert [wire.port for _, wire in stage.asked] == [4_001, 4_002]
        await stage.hear((Symbol("peer"), *[["127.0.0.1", 4_002, 7]] * 20), stage.asked[1][1])
        assert len((await asking).nearest) == 2
        assert stage.dialled == [("127.0.0.1", 4_001), ("127.0.0.1", 4_002)]
        await stage.peer.close()

    simulate(test)


# --- reflection ---------------------------------------------------------------------------------------------------------------

NOT_UNICAST = ["224.0.0.1", "239.255.255.250", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "victim.example", "localhost", ""]


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_lying_contacts_cost_64_dials(seed: int) -> None:
    """Liars name strangers, whom nobody answers for; every lookup dials at most 64, each stranger's IP at most 3 times."""

    async def test() -> None:
        rng = random.Random(seed)
        stage = Stage()
        liars = [stage.knows(rng.getrandbits(256), f"{20 + i}.1.1.1", 4_000) for i in range(20)]
        known = {liar.uid for liar in liars}
        named = 0
        for _ in range(24):
            stage.dialled.clear()
            heard, target = len(stage.asked), Key(rng.randbytes(32))
            asking = asyncio.ensure_future(stage.peer.lookup(target))
            while not asking.done():
                await asyncio.sleep(0.05)
                while heard < len(stage.asked):
                    _, wire = stage.asked[heard]
                    heard += 1
                    lies = [[f"8.{rng.randrange(9)}.8.{rng.randrange(1, 9)}", rng.randrange(1, 65_536)] for _ in range(15)]
                    lies += [[rng.choice(NOT_UNICAST), 53] for _ in range(3)] + [["9.9.9.9", 0], ["127.0.0.1", 22]]
                    rng.shuffle(lies)
                    reply = [[*lie, target.int ^ rng.getrandbits(240)] for lie in lies]
                    named += 20
                    if wire.uid in known or rng.random() < 0.9:  # strangers too, so that there is no end of it
                        await stage.hear((Symbol("peer"), *reply), wire)
            assert len(stage.dialled) <= spec.MAX_DIALS, f"seed {seed}: {len(stage.dialled)} dials"
            assert max(Counter(ip for ip, _ in stage.dialled).values(), default=0) <= spec.MAX_DIALS_AN_IP, f"seed {seed}"
            for ip, port in stage.dialled:
                assert address.is_dialable(ip, port), f"seed {seed}: {ip}:{port}"
                assert address.scope_of(ip) == address.GLOBAL, f"seed {seed}: a stranger named {ip}"
        assert named >= 10_000, f"seed {seed}: only {named} lies were told"
        await stage.peer.close()

    simulate(test)


# --- live networks with liars -------------------------------------------------------------------------------------------------


def turn(member: Member, lie: Any) -> None:
    """From now on `member` answers what `lie(request, honest answer)` gives; it proves its own uid, as everybody must."""
    responder = member.living().responder
    honest = responder.answer

    def answer(request: Request, **seen: Any) -> Any:
        return lie(request, honest(request, **seen))

    responder.answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(3))
def test_two_of_five_replicas_cannot_place_a_fake(seed: int) -> None:
    async def test() -> None:
        async with town(16, seed) as network:
            topic = key_of(b"contested %d" % seed)
            values = [key_of(b"honest %d" % i) for i in range(3)]
            for i, value in enumerate(values):
                for peer in peers(network)[: 6 - i]:
                    await peer.bag_publish(topic, value)
            fakes = [key_of(b"fake %d" % i) for i in range(5)]
            holders = nearest(network.members, topic, 5)

            def lie(request: Request, truth: Any) -> Any:
                if isinstance(request, BagQuery):
                    return Bag(tuple(BagEntry(fake, 1_000_000, 0) for fake in fakes))
                return truth

            for member in random.Random(seed).sample(holders, 2):
                turn(member, lie)
            reader = next(member for member in network.members if member not in holders).living()
            assert (await reader.bag_popular(topic))[:3] == values, f"seed {seed}"
            assert reader.last.facts["holders"] == 5
            assert sorted((await reader.bag_recent(topic))[:3]) == sorted(values), f"seed {seed}"

    simulate(test)


def test_ten_thousand_replays_roll_nothing_back() -> None:
    """Old versions, with and without an age, to every holder: no answer and no replica ever goes back."""

    async def test() -> None:
        rng = random.Random(11)
        async with town(10, 11) as network:
            author, topic = Author.from_seed(rng.randbytes(32)), key_of(b"rolling")
            point = point_of(author.public_key, topic.int)
            signed = []
            for i in range(8):
                value = key_of(b"%d" % i)
                signature = await peers(network)[0].namespace_set(author.private_key, author.public_key, topic, value)
                signed.append((value, signature, i))
            keeping = [member for member in network.members if point in member.living().store.keys()]
            replayer = network.members[-1].living()
            outcomes: Counter[str] = Counter()
            for round_ in range(10_000 // (10 * len(keeping))):
                for member in keeping:
                    for _ in range(10):
                        value, signature, sequence = rng.choice(signed[:-1])
                        age = rng.choice([None, 0, 5, 80_000])
                        request = NamespaceSet(author.public_key, topic.int, bytes(value), signature, sequence, age)
                        whom = contact(member.ip, member.port, member.uid.int)
                        replayer.requests.ask(whom, request, lambda _, outcome: outcomes.update([type(outcome).__name__]))
                await asyncio.sleep(3 * LATENCY)
                for member in keeping:
                    version = member.living().store.namespaces.get(author.public_key, topic.int, now())
                    assert isinstance(version, Version)
                    assert version.sequence == 7, f"node {member.position} went back in round {round_}"
            await asyncio.sleep(1.0)
            assert set(outcomes) == {"Stored"}
            assert outcomes["Stored"] >= 9_900
            for peer in peers(network):
                assert await peer.namespace_ref(author.public_key, topic) == signed[-1][0]

    simulate(test)


def test_a_replica_that_goes_back_is_outvoted_and_a_forged_version_is_not_read() -> None:
    async def test() -> None:
        async with town(12, 12) as network:
            author, mallory = Author.from_seed(bytes(32)), Author.from_seed(bytes(31) + b"\x02")
            topic, old, new = key_of(b"signed"), key_of(b"old"), key_of(b"new")
            first = await peers(network)[0].namespace_set(author.private_key, author.public_key, topic, old)
            await peers(network)[0].namespace_set(author.private_key, author.public_key, topic, new)
            forged = sign(mallory.private_key, network="", key=topic.int, sequence=99, value=bytes(32))
            back, forger = nearest(network.members, point_of(author.public_key, topic.int), 2)
            turn(back, lambda _, truth: Version(old, first, 0) if isinstance(truth, Version) else truth)
            turn(forger, lambda _, truth: Version(bytes(32), forged, 99) if isinstance(truth, Version) else truth)
            for peer in peers(network):
                assert await peer.namespace_ref(author.public_key, topic) == new

    simulate(test)
