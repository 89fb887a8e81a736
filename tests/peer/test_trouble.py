"""A writing that reached too few: it is tried again where many did not answer, and only there."""

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
