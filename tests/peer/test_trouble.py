"""A writing that reached too few, a reading that found nothing: tried again where many did not answer, and only there."""

from __future__ import annotations

import asyncio

import pytest
from town import holders, peers, simulate, some_value, town

from p2pnb import Author, key_of
from p2pnb.dht.namespaces import point_of


@pytest.mark.parametrize("kind", ["value", "vote", "version"])
def test_a_writing_that_reached_too_few_is_tried_again_with_those_who_did_not_come_to_speak(kind: str) -> None:
    """Eight of eleven are behind a wall when the writing begins, and back after the first try, before it has given up."""

    async def test() -> None:
        async with town(12, 5) as network:
            await asyncio.sleep(60)
            writer, *others = network.living
            walled = {(member.ip, member.port) for member in others[:8]}
            assert writer.endpoint is not None
            writer.endpoint.wall(walled)
            asyncio.get_running_loop().call_later(2.0, writer.endpoint.unwall)
            author, peer = Author.from_seed(bytes(32)), writer.living()
            if kind == "value":
                point = (await peer.set(some_value(5))).int
            elif kind == "vote":
                point = key_of(b"topic").int
                await peer.bag_publish(key_of(b"topic"), key_of(b"1"))
            else:
                point = point_of(author.public_key, key_of(b"name").int)
                await peer.namespace_set(author.private_key, author.public_key, key_of(b"name"), key_of(b"1"), 0)
            assert (peer.last.stored, peer.last.wanted) == (5, 5), str(peer.last)
            assert len(holders(network, point)) == 5
            assert any((member.ip, member.port) in walled for member in network.living if point in member.living().store.keys())

    simulate(test)


@pytest.mark.parametrize("n", [1, 3])
def test_few_peers_that_all_answer_are_written_to_once(n: int) -> None:
    async def test() -> None:
        async with town(n, 6) as network:
            network.log.events.clear()
            await peers(network)[0].set(some_value(6))
            assert sum(event.verb == "set" for event in network.log.events) == n - 1
            assert sum(event.verb == "peers" and event.cause != "upkeep" for event in network.log.events) <= n - 1

    simulate(test)


@pytest.mark.parametrize("kind", ["value", "vote", "version"])
def test_a_reading_that_found_nothing_is_tried_again_with_those_who_did_not_come_to_speak(kind: str) -> None:
    """All who have the record, and three more, are behind a wall when the reading begins, and back after the first try."""

    async def test() -> None:
        async with town(12, 7) as network:
            await asyncio.sleep(60)
            author, value = Author.from_seed(bytes(32)), key_of(some_value(5))
            writer = network.members[0].living()
            if kind == "value":
                point = (await writer.set(some_value(5))).int
            elif kind == "vote":
                point = value.int
                await writer.bag_publish(value, value)
            else:
                point = point_of(author.public_key, value.int)
                await writer.namespace_set(author.private_key, author.public_key, value, value, 0)
            reader, *others = sorted(network.living, key=lambda member: point in member.living().store.keys())
            assert reader.endpoint is not None
            reader.endpoint.wall({(member.ip, member.port) for member in others[-8:]})
            asyncio.get_running_loop().call_later(2.0, reader.endpoint.unwall)
            peer = reader.living()
            if kind == "value":
                assert await peer.ref(value) == some_value(5)
            elif kind == "vote":
                assert await peer.bag_popular(value) == [value]
            else:
                assert await peer.namespace_ref(author.public_key, value) == value

    simulate(test)
