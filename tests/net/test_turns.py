"""Conformance: whoever asks now and then goes before those who ask without end, however many they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pnb import spec
from p2pnb.net.accounts import BURST, PER_MESSAGE, REPLY, SHARE
from p2pnb.wire.sexp import Symbol

REF = Symbol("ref")
FLOOD = 10


async def answered(world: Any, node: Any, raws: list[Any], each: int) -> None:
    """Each asks so often, 16 at a time, and is answered."""
    for raw in raws:
        raw.data.clear()
    for begun in range(0, each, 16):
        for raw in raws:
            raw.say(*[(REF, number) for number in range(min(16, each - begun))])
        for item in await world.take(node, min(16, each - begun) * len(raws)):
            node.send(item.ip, item.port, True, link=item.link)
    await world.until(lambda: all(len(raw.data) == each for raw in raws))


def test_a_flood_takes_turns_and_the_honest_go_first(memory: Any) -> None:
    async def test() -> None:
        node = await memory.node()
        raws = [await memory.greeted(node) for _ in range(FLOOD)]
        honest = await memory.greeted(node, key := memory.key())
        await answered(memory, node, raws, int(BURST))
        for _ in range(3):
            for raw in raws:
                raw.say(*[(REF, number) for number in range(16)])
            honest.say((REF, 7))
            for position in range(16 * FLOOD + 1):
                (item,) = await memory.take(node, 1)
                node.send(item.ip, item.port, True, link=item.link)
                if item.uid == key.uid:
                    before = position
            assert before < 4 * FLOOD, f"behind {before} of {16 * FLOOD} others"
        assert not node.counters, "nobody was cut off for it"

    memory.run(test)


def test_answers_keep_their_order_when_some_had_to_wait(world: Any) -> None:
    async def test() -> None:
        node = await world.node()
        raw = await world.greeted(node)
        await answered(world, node, [raw], int(BURST) - 3)
        raw.say(*[(REF, number) for number in range(16)])
        items = await world.take(node, 16)
        assert [item.payload[1] for item in items] == list(range(16))

    world.run(test)


def test_more_than_sixteen_unanswered_are_too_many_even_unread(memory: Any) -> None:
    async def test() -> None:
        node = await memory.node()
        raw = await memory.greeted(node)
        await answered(memory, node, [raw], int(BURST))
        raw.say(*[(REF, number) for number in range(40)])
        await memory.until(lambda: node.counters)
        assert node.counters == {"unanswered requests": 1}

    memory.run(test)


def test_credit_comes_back(memory: Any) -> None:
    """A link that has been quiet goes first again, and never more than a burst at once."""

    async def test() -> None:
        node = await memory.node()
        raw = await memory.greeted(node)
        (link,) = node.links
        await answered(memory, node, [raw], int(BURST))
        now = asyncio.get_running_loop().time()
        assert not link._goes_first(now)
        assert [link._goes_first(now + 10 / SHARE + 1e-6) for _ in range(12)].count(True) == 10
        assert sum(link._goes_first(now + 3_600) for _ in range(1_000)) == int(BURST)
        assert spec.MAX_UNANSWERED < BURST, "a pipeline of an honest peer goes first"

    memory.run(test)


def test_a_large_reply_counts_as_many_messages_and_a_debt_is_bounded(memory: Any) -> None:
    """A small request for much is no small request; who asked for far too much is heard again within a moment."""

    async def test() -> None:
        node = await memory.node()
        raw = await memory.greeted(node)
        (link,) = node.links
        raw.say((REF, 1))
        (item,) = await memory.take(node, 1)
        before = link._credit
        node.send(item.ip, item.port, memory.filling(12_288, "value"), link=link)
        assert before - link._credit == pytest.approx((12_288 + spec.SIZE_PREFIX) * REPLY / PER_MESSAGE)
        link._count_large(10**9)
        now = asyncio.get_running_loop().time()
        assert not link._goes_first(now)
        assert link._goes_first(now + (BURST + 2) / SHARE)

    memory.run(test)
