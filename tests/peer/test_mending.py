"""Reading a bag mends a replica that has lost it; nothing lives longer for that, nobody gains a vote, and no invention is spread."""

from __future__ import annotations

import asyncio

import pytest
from town import HOUR, nearest, now, peers, simulate, some_value, town

from p2pnb import spec
from p2pnb.cluster.network import Network
from p2pnb.uid import Key, key_of
from p2pnb.wire.messages import BagAdd

TOPIC, VALUE, INVENTED = key_of(b"cats"), key_of(b"a cat"), key_of(b"a dog")


def listed(network: Network, key: Key) -> dict[int, dict[bytes, int]]:
    """For each living node that has the bag: its values, and how many voted for each there."""
    rows = {member.position: member.living().store.bags.rows(now()) for member in network.living}
    return {
        position: {row["value"]: len(row["publishers"]) for row in of if row["key"] == key.int} for position, of in rows.items() if of
    }


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
