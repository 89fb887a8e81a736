"""What a peer does unasked, over hours of simulated time on a live network."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest
from town import HOUR, Alone, holders, newcomer, now, peers, simulate, some_value, town, upkeep_of

from p2pnb import Author, key_of, spec
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import sign
from p2pnb.errors import NotFound
from p2pnb.peer.core import Core
from p2pnb.peer.filling import fill
from p2pnb.peer.peer import Peer
from p2pnb.peer.report import Report
from p2pnb.peer.upkeep import TICK
from p2pnb.uid import Key, siphashed
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import BagAdd, NamespaceSet, Peers, Set, to_datum

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
def test_far_buckets_are_filled_one_at_a_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join leaves them with room; then at most one is filled in `idle` / 2 seconds, and in the end all are."""

    async def test() -> None:
        async with town(16, seed, k=2) as network:
            filled: list[tuple[int, float]] = []
            peer = peers(network)[-1]
            buckets = list(upkeep_of(peer)._to_fill)
            assert buckets, f"seed {seed}"

            async def noted(whose: Core, bucket: int) -> None:
                if whose.own == peer.own:
                    filled.append((bucket, now()))
                await fill(whose, bucket)

            monkeypatch.setattr("p2pnb.peer.upkeep.fill", noted)
            await asyncio.sleep(upkeep_of(peer).idle * 1.5 * (len(buckets) + 1))
            assert [bucket for bucket, _ in filled] == buckets[::-1], f"seed {seed}"
            pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(filled)]
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


@pytest.mark.slow
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


@pytest.mark.slow
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
        assert (siphashed(key) in upkeep_of(peer)._heard) is suppressed
        await peer.close()

    simulate(test)


def test_one_of_the_replicas_does_the_work() -> None:
    """In an hour a record is handed on by about one of its holders, not by each of them."""

    async def test() -> None:
        async with town(12, 9) as network:
            publisher = peers(network)[0]
            keys = [await publisher.set(some_value(i)) for i in range(20)]
            publisher.lasting.published.clear()
            await asyncio.sleep(1.2 * HOUR)
            network.log.events.clear()
            await asyncio.sleep(4 * HOUR)
            sets = [event for event in network.log.events if event.verb == "set"]
            each = len(sets) / (len(keys) * 4)
            assert 2.0 <= each <= 9.0, f"{each:.1f} copies of a record sent in an hour: 4 are one hand-on, 20 are all five"

    simulate(test)


# --- expiry ----------------------------------------------------------------------------------------------------------------


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["value", "bag", "version"])
def test_false_hand_overs_keep_nobody_from_handing_on(kind: str) -> None:
    """A peer near the key hands everything to each replica every half hour, and to nobody else: what is kept finds its way all the same."""

    async def test() -> None:
        async with town(10, 8) as network:
            publisher = peers(network)[0]
            points, _ = await all_kinds(publisher, 8)
            network.kill([network.members[0]], silent=False)  # nobody renews it
            point = points[("value", "bag", "version").index(kind)]
            number = point.int if isinstance(point, Key) else point
            replicas = [member.living() for member in network.living if number in member.living().store.keys()]

            async def deceive() -> None:
                while True:
                    for replica in replicas:
                        record = replica.store.record(number, now())
                        for request in record.requests if record else ():
                            assert replica.unasked is not None
                            replica.unasked.heard(number, request)
                    await asyncio.sleep(HOUR / 2)

            deceiving = asyncio.create_task(deceive())
            network.log.events.clear()
            await asyncio.sleep(6 * HOUR)
            deceiving.cancel()
            verb = {"value": "set", "bag": "bag-add", "version": "namespace-set"}[kind]
            handed = sum(event.verb == verb for event in network.log.events)
            assert handed >= len(replicas), f"{handed} in six hours"

    simulate(test)


def test_only_what_came_is_left_to_others_and_not_for_the_third_time() -> None:
    async def test() -> None:
        alone = Alone()
        peer, upkeep = alone.peer, upkeep_of(alone.peer)
        key, first, second = 77, bytes(31) + b"1", bytes(31) + b"2"
        written: list[bytes] = []

        async def write(_: int, request: Any) -> Any:
            written.append(request.value)
            return Report("upkeep", "upkeep")

        upkeep._write = write  # type: ignore[method-assign]
        for value in (first, second):
            peer.store.put(BagAdd(key, value), key, now(), publisher=1)
        handed = []
        for _ in range(4):
            written.clear()
            upkeep.heard(key, BagAdd(key, first, 5))
            await upkeep.republish()
            handed.append(set(written))
        assert handed == [{second}, {second}, {first, second}, {second}]
        await peer.close()

    simulate(test)


@pytest.mark.parametrize("newcomer", [False, True], ids=["hourly", "to a newcomer"])
def test_what_is_handed_on_grows_older_while_those_before_it_are_written(newcomer: bool) -> None:
    async def test() -> None:
        alone = Alone()
        peer, upkeep = alone.peer, upkeep_of(alone.peer)
        key, born = 77, now()
        told: list[int] = []

        async def write(_: Any, request: Any) -> Any:
            told.append(request.age - round(now() - born))
            await asyncio.sleep(9.0)
            return Report("upkeep", "upkeep")

        upkeep._write = peer.requests.reply = write  # type: ignore[method-assign]
        for each in range(4):
            assert peer.store.put(BagAdd(key, bytes([each]) * 32, 100), key, now(), publisher=None) is True
        await (upkeep._give(contact("127.0.0.1", 4_000, key ^ 1)) if newcomer else upkeep.republish())
        assert told == [100] * 4
        await peer.close()

    simulate(test)
