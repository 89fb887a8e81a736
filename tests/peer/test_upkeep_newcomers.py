"""Newcomers: whoever joins is given the records it is near to, and cannot abuse it."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from pigeons import Wire
from town import HOUR, Alone, holders, nearest, newcomer, now, peers, simulate, some_value, town

from p2pnb.peer.upkeep import AT_ONCE, REMEMBERED, SOON, WELCOME_AGAIN
from p2pnb.wire.messages import Peers, to_datum


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
                peer.lasting.published.clear()
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


def test_thousands_of_newcomers_are_remembered_and_served_within_bounds() -> None:
    """Uids cost nothing: 5,000 of them look themselves up, and neither memory nor work grows with them."""

    async def test() -> None:
        alone = Alone()
        await alone.peer.set(b"something")
        most = 0
        for uid in range(1, 5_001):
            await alone.hear(to_datum(Peers(uid)), uid)
            most = max(most, alone.upkeep._welcoming)
        assert 1 < most <= AT_ONCE
        assert len(alone.upkeep._welcomed) <= REMEMBERED
        await asyncio.sleep(60.0)
        assert alone.upkeep._welcoming == 0
        await alone.hear(to_datum(Peers(9_999)), 9_999)
        assert alone.upkeep._welcoming == 1, "and then newcomers are welcomed as ever"
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


@pytest.mark.parametrize("hours", [0, 1])
def test_who_joined_within_the_hour_is_not_counted_on(hours: int) -> None:
    """Two that are nearer than this peer would give a record to a newcomer, but they have just joined, and may wait for it themselves."""

    async def test() -> None:
        alone = Alone()
        key = await alone.peer.set(b"something")
        for uid in (key.int ^ 1, key.int ^ 2):
            await alone.hear(to_datum(Peers(uid)), uid)
        await asyncio.sleep(hours * HOUR + 10.0)
        for uid in (key.int ^ 1, key.int ^ 2):
            await alone.hear(to_datum(Peers(9)), uid)
        alone.given.clear()
        await alone.hear(to_datum(Peers(key.int ^ 3)), key.int ^ 3)
        await asyncio.sleep(SOON + 1.0)
        assert len(alone.gifts(key.int ^ 3)) == (hours == 0)
        await alone.peer.close()

    simulate(test)


def test_once_upkeep_is_stopped_nobody_is_welcomed() -> None:
    async def test() -> None:
        alone = Alone()
        await alone.peer.set(b"something")
        alone.upkeep.stop()
        await alone.hear(to_datum(Peers(77)), 77)
        await asyncio.sleep(30.0)
        assert not alone.gifts(77)
        await alone.peer.close()

    simulate(test)
