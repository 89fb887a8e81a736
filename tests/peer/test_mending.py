"""Reading mends a replica that has lost a record; nothing lives longer for that, nobody gains a vote, and no invention is spread."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from town import HOUR, holders, nearest, now, peers, simulate, some_value, town

from p2pnb import Author, spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.errors import NotFound, StoreFull
from p2pnb.peer.peer import Peer
from p2pnb.peer.upkeep import TICK
from p2pnb.uid import Key, key_of
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import BagAdd, Request, Value, Version

TOPIC, VALUE, INVENTED = key_of(b"cats"), key_of(b"a cat"), key_of(b"a dog")


def listed(network: Network, key: Key) -> dict[int, dict[bytes, int]]:
    """For each living node that has the bag: its values, and how many voted for each there."""
    rows = {member.position: member.living().store.bags.rows(now()) for member in network.living}
    return {
        position: {row["value"]: len(row["publishers"]) for row in of if row["key"] == key.int} for position, of in rows.items() if of
    }


# --- values and entries -----------------------------------------------------------------------------------------------------


def ages(network: Network, kind: str) -> dict[int, float]:
    """How old the records of a kind ("values", "bags", "namespaces") are, by position."""
    return {member.position: row["age_s"] for member in network.living for row in member.living().store.rows(now())[kind]}


def turn(member: Member, lie: Callable[[Any], Any]) -> None:
    """From now on `member` gives `lie(honest answer)`."""
    responder = member.living().responder
    honest = responder.answer

    def answer(request: Request, **asker: Any) -> Any:
        return lie(honest(request, **asker))

    responder.answer = answer  # type: ignore[method-assign]


def asks_only(reader: Peer, members: list[Member]) -> None:
    for known in list(reader.table):
        reader.table.remove(known.uid or 0)
    for member in members:
        reader.table.seen(contact(member.ip, member.port, member.uid.int), now(), dialled=True)


@pytest.mark.slow
def test_a_reading_gives_the_value_with_its_age_to_the_nearest_that_lacks_it() -> None:
    async def test() -> None:
        async with town(12, 16) as network:
            publisher = peers(network)[0]
            born = now()
            key = await publisher.set(some_value(16))
            publisher.published.clear()
            await asyncio.sleep(20 * HOUR)
            ranked = nearest(network.living, key, 12)
            assert key.int in ranked[0].living().store.keys()
            for member in ranked[:2]:
                member.living().store.drop(key.int)
            reader = ranked[-1].living()
            asks_only(reader, ranked[:3])  # the nearest first
            assert await reader.ref(key) == some_value(16)
            await asyncio.sleep(1.0)
            held = ages(network, "values")
            assert ranked[0].position in held
            assert ranked[1].position not in held, "one reading mends one replica"
            assert 0 <= held[ranked[0].position] - (now() - born) < 10.0
            await asyncio.sleep(born + spec.EXPIRY + 2 * TICK - now())
            assert holders(network, key) == [], "it lives longer by being read"

    simulate(test)


@pytest.mark.parametrize(
    ("size", "told", "handed"),
    [
        *[(40, 80_000, True), (40, 0, True), (40, 86_398, False), (40, 86_400, False), (40, None, False)],
        *[(spec.MAX_VALUE - 1, 80_000, True), (spec.MAX_VALUE, 80_000, False)],
    ],
)
def test_a_value_is_handed_on_with_the_age_that_was_told_or_not_at_all(size: int, told: int | None, handed: bool) -> None:
    """A value whose message has no room for its age is one of which nobody tells it."""

    async def test() -> None:
        async with town(12, 16) as network:
            value = bytes([200]) * size
            key = key_of(value)
            ranked = nearest(network.living, key, 12)
            holder, reader = ranked[1], ranked[-1].living()
            holder.living().store.values.put(key.int, value, now(), age=80_000)
            if size < spec.MAX_VALUE:
                turn(holder, lambda answer: Value(answer.value, told) if isinstance(answer, Value) else answer)
            asks_only(reader, ranked[:3])
            assert await reader.ref(key) == value
            await asyncio.sleep(3.0)
            held = ages(network, "values")
            assert set(held) == {ranked[0].position, holder.position} if handed else {holder.position}
            if handed:
                assert (told or 0) + 3.0 <= held[ranked[0].position] < (told or 0) + 6.0

    simulate(test)


@pytest.mark.slow
def test_a_reading_gives_the_entry_with_its_age_to_who_had_lost_it() -> None:
    async def test() -> None:
        async with town(12, 6) as network:
            publisher = network.members[0]
            author = Author.from_seed(random.Random(6).randbytes(32))
            topic, born = key_of(b"read late"), now()
            point = point_of(author.public_key, topic.int)
            await publisher.living().namespace_set(author.private_key, author.public_key, topic, key_of(b"1"))
            network.kill([publisher], silent=False)
            await asyncio.sleep(22 * HOUR)
            forgetful = network.members[min(holders(network, point))]
            forgetful.living().store.drop(point)
            reader = next(peer for peer in reversed(peers(network)) if peer.uid != forgetful.uid)
            await reader.namespace_ref(author.public_key, topic)
            await asyncio.sleep(1.0)
            held = ages(network, "namespaces")
            assert forgetful.position in held
            assert all(-1.0 < age - (now() - born) < 60.0 for age in held.values())
            await asyncio.sleep(born + spec.EXPIRY + 2 * TICK - now())
            assert holders(network, point) == []

    simulate(test)


@pytest.mark.parametrize("liars", [1, 2])
@pytest.mark.parametrize("told", [0, 86_399, 2**63 - 1, None])
def test_whatever_age_some_state_no_entry_lives_longer(liars: int, told: int | None) -> None:
    async def test() -> None:
        async with town(12, 7) as network:
            author, name, born = Author.from_seed(bytes(32)), key_of(b"name"), now()
            point = point_of(author.public_key, name.int)
            for version in (b"1", b"2"):
                await peers(network)[0].namespace_set(author.private_key, author.public_key, name, key_of(version))
            peers(network)[0].published.clear()
            ranked = nearest(network.living, point, 12)
            stale, empty, *true = ranked[:5]
            empty.living().store.drop(point)
            (row, *_) = [row for row in stale.living().store.namespaces.rows(now()) if row["sequence"] == 0]
            stale.living().store.drop(point)
            old = Version(row["value"], row["signature"], 0)
            stale.living().store.namespaces.put(author.public_key, name.int, old, now(), age=40_000)
            for liar in true[:liars]:
                turn(liar, lambda answer: answer.aged(told) if isinstance(answer, Version) else answer)
            await asyncio.sleep(600)
            assert await ranked[-1].living().namespace_ref(author.public_key, name) == key_of(b"2")
            await asyncio.sleep(0.5)
            held = ages(network, "namespaces")
            assert all(age >= now() - born - 1.0 for age in held.values()), held
            rows = {member.position: member.living().store.namespaces.rows(now()) for member in ranked[:5]}
            newest = {position for position, found in rows.items() if any(row["sequence"] == 1 for row in found)}
            assert newest >= {stale.position, *[member.position for member in true]}
            if told != 86_399:
                assert empty.position in newest
                assert held[empty.position] < now() - born + 5.0

    simulate(test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_readers_all_day_long_prolong_nothing(seed: int) -> None:
    """Nodes lose records and come back empty while others read; nobody renews. Every copy is at least as old as the record."""

    async def test() -> None:
        rng = random.Random(seed)
        async with town(12, 40 + seed, lambda rng: rng.uniform(0.0, 0.5), codec=False) as network:
            author, name, topic = Author.from_seed(bytes(32)), key_of(b"name"), key_of(b"topic")
            writer, lost, written = rng.choice(peers(network)), 0, {}
            key = await writer.set(some_value(seed))
            written["values"] = now()
            await writer.bag_publish(topic, key)
            written["bags"] = now()
            await writer.namespace_set(author.private_key, author.public_key, name, key)
            written["namespaces"] = now()
            writer.published.clear()
            while now() < written["values"] + spec.EXPIRY + HOUR:
                await asyncio.sleep(rng.expovariate(1 / 900))
                forgetful = rng.choice(network.living)
                if rng.random() < 0.3:
                    for each in forgetful.living().store.keys():
                        forgetful.living().store.drop(each)
                        lost += 1
                reader = rng.choice(peers(network))
                for reading in (reader.ref(key), reader.bag_popular(topic), reader.namespace_ref(author.public_key, name)):
                    try:
                        await reading
                    except NotFound:
                        continue
                for kind, when in written.items():
                    for position, age in ages(network, kind).items():
                        assert age >= now() - when, f"seed {seed}: {kind} at node {position}"
            assert lost > 10
            assert all(not len(peer.store) for peer in peers(network))

    simulate(test)


# --- bags -------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_nearest_that_has_lost_a_bag_is_given_what_a_quorum_lists() -> None:
    async def test() -> None:
        async with town(14, 21) as network:
            born = now()
            for peer in peers(network)[:4]:
                await peer.bag_publish(TOPIC, VALUE)
                peer.published.clear()
            ranked = nearest(network.living, TOPIC, 14)
            for member in ranked[:2]:
                member.living().store.drop(TOPIC.int)
            await asyncio.sleep(HOUR / 4)
            reader = ranked[-1].living()
            assert await reader.bag_popular(TOPIC) == [VALUE]
            await asyncio.sleep(1.0)
            held = listed(network, TOPIC)
            assert held[ranked[0].position] == {VALUE: 0}, "handed over: listed, and nobody's vote"
            assert ranked[1].position not in held, "one reading mends one replica"
            assert (await reader.bag_popular(TOPIC)).entries[0].publishers == 4
            await asyncio.sleep(born + spec.EXPIRY + 120.0 - now())
            assert listed(network, TOPIC) == {}, "it lives longer by being read"

    simulate(test)


@pytest.mark.parametrize("inventors", [1, 2])
def test_what_two_of_five_invent_is_not_spread(inventors: int) -> None:
    async def test() -> None:
        async with town(14, 22) as network:
            await peers(network)[0].bag_publish(TOPIC, VALUE)
            ranked = nearest(network.living, TOPIC, 14)
            for member in ranked[1 : 1 + inventors]:
                invented = BagAdd(TOPIC.int, INVENTED)
                for voter in range(50):
                    member.living().store.put(invented, TOPIC.int, now(), publisher=voter)
            ranked[0].living().store.drop(TOPIC.int)
            await ranked[-1].living().bag_recent(TOPIC)
            await asyncio.sleep(1.0)
            assert set(listed(network, TOPIC)[ranked[0].position]) == {VALUE}

    simulate(test)


def test_two_holders_are_no_quorum() -> None:
    async def test() -> None:
        async with town(14, 23) as network:
            await peers(network)[0].bag_publish(TOPIC, some_value(1)[:32])
            ranked = nearest(network.living, TOPIC, 14)
            for member in ranked[:3]:
                member.living().store.drop(TOPIC.int)
            assert len(await ranked[-1].living().bag_sample(TOPIC)) == 1
            await asyncio.sleep(1.0)
            assert not {member.position for member in ranked[:3]} & set(listed(network, TOPIC))

    simulate(test)


# --- all of it, by seeds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_after_a_few_readings_nothing_is_missing(seed: int) -> None:
    """Two of the five nearest, drawn at random, have lost everything: the entry is mended by one reading, the bag by one for each of them.

    Of a value, which whoever has it may give, the nearest of all has it again as soon as a reading met it without.
    """

    async def test() -> None:
        rng = random.Random(seed)
        async with town(14, 60 + seed, lambda rng: rng.uniform(0.0, 0.1)) as network:
            await asyncio.sleep(60)
            author, name, writer = Author.from_seed(bytes(32)), key_of(b"name"), rng.choice(peers(network))
            key = await writer.set(some_value(seed))
            await writer.bag_publish(name, key)
            await writer.namespace_set(author.private_key, author.public_key, name, key)
            points = [key.int, name.int, point_of(author.public_key, name.int)]
            for point in points:
                for member in rng.sample(nearest(network.living, point, 5), 2):
                    member.living().store.drop(point)
            for _ in range(4):
                reader = rng.choice(network.living).living()
                assert await reader.bag_recent(name) == [key]
                assert await reader.namespace_ref(author.public_key, name) == key
                await asyncio.sleep(2.0)
            for point in points[1:]:
                missing = {member.position for member in nearest(network.living, point, 5)} - set(holders(network, point))
                assert not missing, f"seed {seed}"
            ranked = nearest(network.living, key, 14)
            reader = ranked[-1].living()
            asks_only(reader, ranked[:4])
            assert await reader.ref(key) == some_value(seed)
            await asyncio.sleep(2.0)
            assert ranked[0].position in holders(network, key), f"seed {seed}"

    simulate(test)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_after_partitions_the_newest_version_is_everywhere(seed: int) -> None:
    """Both sides write versions of one entry, once or twice over; an hour after the last healing everybody reads the newest, and the
    five nearest have it."""

    async def test() -> None:
        rng = random.Random(seed)
        async with town(rng.choice([10, 16, 24]), seed, lambda rng: rng.uniform(0.0, 0.1), codec=False) as network:
            author, name, newest = Author.from_seed(bytes(32)), key_of(b"name"), -1
            for _ in range(rng.choice([1, 2])):
                cut = network.partition(network.choose(rng.uniform(0.1, 0.5)))
                sides = [cut, [member for member in network.living if member not in cut]]
                for _ in range(rng.randrange(1, 5)):
                    peer = rng.choice(rng.choice(sides)).living()
                    value = key_of(rng.randbytes(8))
                    await peer.namespace_set(author.private_key, author.public_key, name, value)
                    newest = max(newest, int(str(peer.last.facts["sequence"])))
                    await asyncio.sleep(rng.choice([1.0, 60.0, 900.0]))
                network.heal()
                await asyncio.sleep(rng.choice([61.0, 1.3 * HOUR]))
            await asyncio.sleep(1.3 * HOUR)
            for peer in peers(network):
                assert (await peer.namespace_version(author.public_key, name)).sequence == newest, f"seed {seed}"
            await asyncio.sleep(2.0)
            for member in nearest(network.living, point_of(author.public_key, name.int), 5):
                rows = member.living().store.namespaces.rows(now())
                assert max(row["sequence"] for row in rows) == newest, f"seed {seed}: node {member.position}"

    simulate(test)


def test_a_bag_that_lies_farther_out_is_read_once_one_of_the_nearest_has_room_for_it() -> None:
    """Nobody takes it farther out for those who are full, and nobody reads it there: that would be any liar's bag."""

    async def test() -> None:
        async with town(12, 21) as network:
            ranked = nearest(network.living, TOPIC, 12)
            full, holder, reader = ranked[:5], ranked[7].living(), ranked[-1].living()
            for member in full:
                member.living().store.quota.used = spec.STORE_BYTES
            assert holder.store.put(BagAdd(TOPIC.int, VALUE), TOPIC.int, now(), publisher=holder.own) is True
            with pytest.raises(StoreFull):
                await holder.bag_publish(TOPIC, VALUE)
            await asyncio.sleep(1.2 * HOUR)
            assert holders(network, TOPIC) == [ranked[7].position]
            assert await reader.bag_popular(TOPIC) == []
            full[3].living().store.quota.used = 0
            await asyncio.sleep(1.2 * HOUR)
            assert await reader.bag_popular(TOPIC) == [VALUE]

    simulate(test)
