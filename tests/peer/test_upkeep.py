"""What a peer does unasked, over hours of simulated time on a live network."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest
from pigeons import Wire
from town import holders, nearest, now, peers, simulate, some_value, town

from p2pnb import Author, key_of, spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import sign
from p2pnb.errors import NotFound
from p2pnb.peer.peer import Peer
from p2pnb.peer.upkeep import SOON, TICK, WELCOME_AGAIN, Upkeep
from p2pnb.uid import Key
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import BagAdd, NamespaceSet, Peers, Set, to_datum

HOUR = 3_600.0


def upkeep_of(peer: Peer) -> Upkeep:
    assert peer.upkeep is not None
    return peer.upkeep


async def newcomer(network: Network) -> Member:
    """One more member that has joined, a few seconds ago."""
    (member,) = await network.grow(1, [], lambda: None)
    await asyncio.sleep(SOON + 2.0)
    return member


# --- refreshing -------------------------------------------------------------------------------------------------------------


def test_a_bucket_is_refreshed_when_nothing_was_looked_up_in_it_for_an_hour() -> None:
    async def test() -> None:
        async with town(12, 1) as network:
            await asyncio.sleep(120)  # the far buckets that the join left are filled
            for peer in peers(network):
                assert peer.table.due(now()) == []
            await asyncio.sleep(HOUR - 180)
            network.log.events.clear()
            await asyncio.sleep(30)
            assert not network.log.events, "refreshed before its time"
            await asyncio.sleep(600)
            for peer in peers(network):
                assert peer.table.due(now()) == [], f"{peer} did not refresh"
            assert {event.cause for event in network.log.events} == {"upkeep"}

    simulate(test)


@pytest.mark.parametrize("seed", [1, 2])
def test_far_buckets_are_filled_one_at_a_time(seed: int) -> None:
    """A join leaves them empty; then there is at most one lookup in `idle` / 2 seconds, and in the end all are filled."""

    async def test() -> None:
        async with town(16, seed, k=2) as network:
            lookups: list[float] = []
            peer = peers(network)[-1]
            buckets = upkeep_of(peer)._to_fill
            assert buckets, f"seed {seed}"
            search = peer.search

            def noted(*args: Any, **options: Any) -> Any:
                lookups.append(now())
                return search(*args, **options)

            peer.search = noted  # type: ignore[method-assign]
            expected = len(buckets)
            await asyncio.sleep(upkeep_of(peer).idle * 1.5 * (expected + 1))
            assert len(lookups) == expected, f"seed {seed}"
            pauses = [later - earlier for earlier, later in itertools.pairwise(lookups)]
            assert all(pause >= upkeep_of(peer).idle / 2 for pause in pauses), f"seed {seed}: {pauses}"

    simulate(test)


def test_filling_waits_while_the_peer_is_busy_and_nothing_else_does() -> None:
    """A peer that is always asked for something still renews what it published."""

    async def test() -> None:
        async with town(12, 3, k=2) as network:
            peer, silent = peers(network)[0], network.members[7]
            upkeep = upkeep_of(peer)
            upkeep.fill_far_buckets()
            waiting = list(upkeep._to_fill)
            assert waiting
            key = await peer.set(some_value(3))
            silent.kill(silent=True)
            whom = contact(silent.ip, silent.port, silent.uid.int)
            network.log.events.clear()
            busy = True

            def again(*_: Any) -> None:
                if busy:
                    peer.requests.ask(whom, Peers(1), again)

            again()
            await asyncio.sleep(1.2 * HOUR)
            assert upkeep._to_fill == waiting, "filled while requests were open"
            assert any(event.verb == "set" and event.node == peer.own for event in network.log.events), "what is due waited as well"
            busy = False
            await asyncio.sleep(60)
            assert not upkeep._to_fill
            assert len(holders(network, key)) >= 5

    simulate(test)


# --- republishing -----------------------------------------------------------------------------------------------------------


async def all_kinds(peer: Peer, seed: int) -> tuple[list[Key | int], Author]:
    """A value, a bag and an entry, published by `peer`; the points at which they live."""
    key = await peer.set(some_value(seed))
    topic = key_of(b"topic %d" % seed)
    await peer.bag_publish(topic, key)
    author = Author.from_seed(random.Random(seed).randbytes(32))
    await peer.namespace_set(author.private_key, author.public_key, topic, key)
    return [key, topic, point_of(author.public_key, topic.int)], author


def test_publishers_renew_what_they_published() -> None:
    async def test() -> None:
        async with town(8, 4) as network:
            publisher, reader = peers(network)[:2]
            points, author = await all_kinds(publisher, 4)
            await asyncio.sleep(25 * HOUR)
            key, topic = points[0], points[1]
            assert isinstance(key, Key)
            assert isinstance(topic, Key)
            assert await reader.ref(key) == some_value(4)
            popular = await reader.bag_popular(topic)
            assert [entry.publishers for entry in popular.entries] == [1], "its vote, not only hand-overs"
            assert popular.entries[0].age < 1.2 * HOUR
            assert await reader.namespace_ref(author.public_key, topic) == key
            for point in points:
                assert len(holders(network, point)) >= 5

    simulate(test)


def test_what_nobody_renews_outlives_its_holders_for_24_hours_and_no_longer() -> None:
    """Every three hours the two oldest nodes are replaced by newcomers, so in the end nobody has a copy of the first hand."""

    async def test() -> None:
        async with town(12, 5) as network:
            born = now()
            points, author = await all_kinds(peers(network)[0], 5)
            network.kill([network.members[0]], silent=False)
            first = {member.position for member in network.members}
            while now() < born + 21 * HOUR:
                network.kill(network.living[:2], silent=False)
                await newcomer(network)
                await newcomer(network)
                await asyncio.sleep(2.5 * HOUR)
            for point in points:
                keeping = holders(network, point)
                assert len(keeping) >= 4, f"{point} is lost at {(now() - born) / HOUR} h"
                assert not first & set(keeping), "a first copy is left: this proves nothing"
            key, topic = points[0], points[1]
            assert isinstance(key, Key)
            assert isinstance(topic, Key)
            reader = peers(network)[-1]
            assert await reader.ref(key) == some_value(5)
            assert await reader.namespace_ref(author.public_key, topic) == key
            await asyncio.sleep(born + spec.EXPIRY + 2 * TICK - now())
            for point in points:
                assert holders(network, point) == [], "it lives longer by being moved"
            with pytest.raises(NotFound):
                await reader.ref(key)
            for peer in peers(network):
                assert peer.store.size == 0

    simulate(test)


def test_a_write_back_gives_twelve_hours_to_who_had_lost_the_entry_and_none_to_the_others() -> None:
    async def test() -> None:
        async with town(12, 6) as network:
            publisher = network.members[0]
            author = Author.from_seed(random.Random(6).randbytes(32))
            topic, born = key_of(b"read late"), now()
            point = point_of(author.public_key, topic.int)
            await publisher.living().namespace_set(author.private_key, author.public_key, topic, key_of(b"1"))
            network.kill([publisher], silent=False)
            await asyncio.sleep(22 * HOUR)
            kept = set(holders(network, point))
            forgetful = network.members[min(kept)]
            forgetful.living().store.drop(point)
            await peers(network)[-1].namespace_ref(author.public_key, topic)
            await asyncio.sleep(1.0)
            assert forgetful.position in holders(network, point)
            for member in network.living:
                for row in member.living().store.namespaces.rows(now()):
                    least = 12 * HOUR if member.position not in kept - {forgetful.position} else 22 * HOUR
                    assert row["age_s"] >= least, f"node {member.position}: {row['age_s']} s"
            await asyncio.sleep(born + 34 * HOUR + 2 * TICK - now())
            assert holders(network, point) == []

    simulate(test)


# --- newcomers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "k"), [(1, 20), (2, 20), (3, 2), (4, 2)])
def test_a_newcomer_is_given_its_records_within_seconds(seed: int, k: int) -> None:
    """Also where the bucket that it belongs to is full, so that it only waits for a place in the table."""

    async def test() -> None:
        async with town(15, seed, k=k) as network:
            await asyncio.sleep(120)
            keys = [await peers(network)[i % 15].set(some_value(100 * seed + i)) for i in range(40)]
            for _ in range(3):
                member = await newcomer(network)
                store = member.living().store
                for key in keys:
                    if member in nearest(network.living, key, 4):
                        assert key.int in store.keys(), f"seed {seed}, k {k}: {key} was not handed over"
                given = [event for event in network.log.events if event.verb == "set" and event.peer == member.uid.int]
                assert len(given) <= 2 * len(keys), f"seed {seed}: {len(given)}"
                network.log.events.clear()

    simulate(test)


def test_a_restarted_node_gets_its_records_back() -> None:
    """One after the other, all of them: nothing is lost, though every store was emptied."""

    async def test() -> None:
        async with town(12, 7) as network:
            keys = [await peers(network)[i % 12].set(some_value(i)) for i in range(20)]
            for peer in peers(network):
                peer.published.clear()
            for member in network.members:
                had = set(member.living().store.keys())
                await network.restart(member)
                await asyncio.sleep(SOON + 2.0)
                held = set(member.living().store.keys())
                near = {key.int for key in keys if member in nearest(network.living, key, 4)}
                assert had & near <= held, f"{len(had & near - held)} of node {member.position} are missing"
            for i, key in enumerate(keys):
                assert len(holders(network, key)) >= 5
                assert await peers(network)[0].ref(key) == some_value(i)

    simulate(test)


def test_a_newcomer_that_is_silent_stalls_nothing() -> None:
    async def test() -> None:
        async with town(10, 8) as network:
            keys = [await peers(network)[0].set(some_value(i)) for i in range(30)]
            await network.grow(1, [], lambda: None)
            dead = network.members[-1]
            dead.kill(silent=True)  # before it was given anything
            alive = await newcomer(network)
            for key in keys:
                if alive in nearest(network.living, key, 4):
                    assert key.int in alive.living().store.keys()
            await asyncio.sleep(6.0)
            asked = [event for event in network.log.events if event.verb == "set" and event.peer == dead.uid.int]
            assert len(asked) <= 10, "one that does not answer is asked no more"

    simulate(test)


class Alone:
    """One peer whose carrier is the test; `given` is what its upkeep sent to newcomers."""

    def __init__(self, **options: Any) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.given: list[tuple[float, Any, int | None]] = []
        self.peer = Peer(bytes(31) + b"\x01", self.inbox.get, self._send, rng=random.Random(1), **options)
        self.upkeep = upkeep_of(self.peer)

    def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Wire | None = None) -> Any:
        self.given.append((now(), payload, uid))
        wire = link or Wire(uid or 0, ip, port)
        if isinstance(payload, tuple) and payload[0] == "set":
            self.inbox.put_nowait(wire.received(True))
        elif isinstance(payload, tuple) and payload[0] == "peers":
            self.inbox.put_nowait(wire.received(to_datum(_nobody())))
        return wire

    async def hear(self, payload: Any, uid: int) -> None:
        self.inbox.put_nowait(Wire(uid, port=4_000 + uid % 1_000, outbound=False).received(payload))
        await asyncio.sleep(0.001)

    def gifts(self, uid: int) -> list[float]:
        return [when for when, payload, whom in self.given if whom == uid and payload[0] == "set"]


def _nobody() -> Any:
    from p2pnb.wire.messages import Nearest

    return Nearest(())


def test_the_same_newcomer_is_welcomed_ever_less_often() -> None:
    """At once, then not again within 30 seconds, then not within 60, then not within 120."""

    async def test() -> None:
        alone = Alone()
        await alone.peer.set(b"something")
        uid, began = 77, now()
        while now() < began + 200.0:
            await alone.hear(to_datum(Peers(uid)), uid)
            await asyncio.sleep(1.0)
        gifts = [when - began for when in alone.gifts(uid)]
        pauses = [later - earlier for earlier, later in itertools.pairwise(gifts)]
        assert gifts[0] < 3.0
        assert len(gifts) == 3
        assert WELCOME_AGAIN <= pauses[0] < WELCOME_AGAIN + 3.0
        assert 2 * WELCOME_AGAIN <= pauses[1] < 2 * WELCOME_AGAIN + 3.0
        await alone.peer.close()

    simulate(test)


def test_newcomers_are_not_kept_waiting_by_other_upkeep() -> None:
    """Republishing on a slow network takes minutes; a newcomer is served meanwhile."""

    async def test() -> None:
        alone = Alone()
        await alone.peer.set(b"something")
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def stuck() -> None:
            await never

        alone.upkeep.republish = stuck  # type: ignore[method-assign]
        await asyncio.sleep(1.1 * HOUR)
        await alone.hear(to_datum(Peers(77)), 77)
        await asyncio.sleep(SOON + 1.0)
        assert alone.gifts(77)
        never.cancel()
        await alone.peer.close()

    simulate(test)


def test_only_who_looks_itself_up_is_joining() -> None:
    async def test() -> None:
        alone = Alone()
        await alone.peer.set(b"something")
        await alone.hear(to_datum(Peers(78)), 77)
        await asyncio.sleep(30.0)
        assert not alone.gifts(77)
        client = Wire(79, outbound=False)
        client.listens = False
        alone.inbox.put_nowait(client.received(to_datum(Peers(79))))
        await asyncio.sleep(30.0)
        assert not alone.gifts(79), "a client holds no records"
        await alone.peer.close()

    simulate(test)


# --- suppression ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "far", "full", "suppressed"),
    [(10, False, False, True), (None, False, False, False), (10, True, False, False), (10, False, True, False)],
    ids=["handed on", "published", "from afar", "refused"],
)
def test_a_hand_on_by_another_replica_is_enough(age: int | None, far: bool, full: bool, suppressed: bool) -> None:
    """Only a hand-over counts, that was taken, and that came from one of the 20 nearest."""

    async def test() -> None:
        alone = Alone()
        peer, value = alone.peer, b"handed on"
        key = key_of(value).int
        if far:  # 20 are nearer to the key than the sender is
            for i in range(20):
                peer.table.seen(contact("127.0.0.1", 5_000 + i, key ^ (1 << 20 + i)), now(), dialled=True)
        if full:
            peer.store.quota.used = spec.STORE_BYTES
        sender = key ^ (1 << 200)
        await alone.hear(to_datum(Set(value, age)), sender)
        assert (key in upkeep_of(peer)._heard) is suppressed
        await peer.close()

    simulate(test)


def test_one_of_the_replicas_does_the_work() -> None:
    """In an hour a record is handed on by about one of its holders, not by each of them."""

    async def test() -> None:
        async with town(12, 9) as network:
            publisher = peers(network)[0]
            keys = [await publisher.set(some_value(i)) for i in range(20)]
            publisher.published.clear()
            await asyncio.sleep(1.2 * HOUR)
            network.log.events.clear()
            await asyncio.sleep(4 * HOUR)
            sets = [event for event in network.log.events if event.verb == "set"]
            each = len(sets) / (len(keys) * 4)
            assert 2.0 <= each <= 9.0, f"{each:.1f} copies of a record sent in an hour: 4 are one hand-on, 20 are all five"

    simulate(test)


# --- outgrown records -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusals", [0, 1])
def test_an_outgrown_record_is_forgotten_only_once_every_replica_has_acknowledged_it(refusals: int) -> None:
    async def test() -> None:
        async with town(30, 10) as network:
            await asyncio.sleep(600)
            value = some_value(10)
            key = key_of(value)
            far = nearest(network.living, key, 30)[-1]
            store = far.living().store
            assert store.put(Set(value), key.int, now(), publisher=None) is True
            for peer in peers(network):  # everybody knows everybody to be alive
                for other in network.living:
                    if other.uid != peer.uid:
                        peer.table.seen(contact(other.ip, other.port, other.uid.int), now(), dialled=True)
            assert far.living().table.nearer(key.int, far.uid.int, now()) == spec.ACCEPTORS
            if refusals:
                for member in nearest(network.living, key, 26):
                    member.living().store.quota.used = spec.STORE_BYTES
                nearest(network.living, key, 1)[0].living().store.quota.used = 0
            await upkeep_of(far.living()).republish()
            kept = far.position in holders(network, key)
            assert kept is bool(refusals)
            if not refusals:
                assert set(holders(network, key)) == {member.position for member in nearest(network.living, key, 5)}

    simulate(test)


def test_what_is_24_hours_old_is_forgotten_by_itself() -> None:
    async def test() -> None:
        alone = Alone(listens=True)
        await alone.hear(to_datum(Set(b"old", 80_000)), 77)
        await alone.hear(to_datum(BagAdd(5, bytes(32), 80_000)), 77)
        author = Author.from_seed(bytes(32))
        signature = sign(author.private_key, network="", key=6, sequence=0, value=bytes(32))
        await alone.hear(to_datum(NamespaceSet(author.public_key, 6, bytes(32), signature, 0, 80_000)), 77)
        alone.peer.store.drop(0)
        assert len(alone.peer.store) == 3
        await asyncio.sleep(6_400.0 - 2.0)
        assert len(alone.peer.store) == 3
        await asyncio.sleep(2 * TICK + 2.0)
        assert len(alone.peer.store) == 0
        assert alone.peer.store.size == 0
        await alone.peer.close()

    simulate(test)


# --- mistakes and ends ------------------------------------------------------------------------------------------------------


def test_a_mistake_is_said_aloud_and_upkeep_goes_on() -> None:
    errors: list[dict[str, Any]] = []

    async def test() -> None:
        alone = Alone()
        done: list[float] = []

        async def fails() -> None:
            done.append(now())
            raise ZeroDivisionError

        alone.upkeep.republish = fails  # type: ignore[method-assign]
        await asyncio.sleep(3.5 * HOUR)
        assert len(done) == 3
        await alone.peer.close()

    simulate(test, errors)
    assert [context["message"] for context in errors] == ["upkeep failed"] * 3


def test_stopping_in_the_middle_leaves_no_task_and_no_timer() -> None:
    """At any moment of a newcomer's welcome, of filling, or of republishing."""

    async def test() -> None:
        for moment in range(12):
            alone = Alone()
            await alone.peer.set(b"something")
            alone.upkeep.fill_far_buckets()
            if moment % 3 == 1:
                await alone.hear(to_datum(Peers(77)), 77)
            if moment % 3 == 2:
                alone.peer.spawn(alone.upkeep.republish())
            await asyncio.sleep(moment * 0.4)
            await alone.peer.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}, f"moment {moment}"
        loop: Any = asyncio.get_running_loop()
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []

    simulate(test)


