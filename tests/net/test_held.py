"""Conformance: what waits at one node is bounded over all its links, and a message that began has to be whole in time."""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import Any

import pytest

from p2pnb.net.held import AFTERWARDS, Held
from p2pnb.net.link import SLOW_MESSAGE
from p2pnb.wire.sexp import Symbol, dumps

REF, SET, VALUE = map(Symbol, ("ref", "set", "value"))
LIMIT = 6_000_000


class Weighty:
    """A link that holds what a test says, since then."""

    def __init__(self, held: int, since: float) -> None:
        self.held, self.held_since, self.why = held, since, ""

    def fail(self, reason: str) -> None:
        self.why = reason


def test_who_holds_much_for_long_goes_first() -> None:
    now = 100.0
    held = Held(lambda: now, limit=10_000)
    old, quick, small = Weighty(4_000, 50.0), Weighty(5_000, 99.9), Weighty(900, 20.0)
    for link in (old, quick, small):
        held.weigh(link)
    assert held.total == 9_900
    held.weigh(Weighty(1_000, 100.0))
    assert (old.why, quick.why, small.why) == ("too much held", "", "")
    assert held.total == 6_900


def test_what_was_taken_meanwhile_counts_no_more() -> None:
    held = Held(lambda: 100.0, limit=10_000)
    link = Weighty(9_000, 1.0)
    held.weigh(link)
    link.held = 0
    held.weigh(other := Weighty(8_000, 99.0))
    assert (link.why, other.why, held.total) == ("", "", 8_000)
    held.forget(link)
    held.forget(other)
    held.forget(other)
    assert held.total == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_limit_holds_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    now, links = 0.0, [Weighty(0, 0.0) for _ in range(50)]
    held = Held(lambda: now, limit=100_000)
    for _ in range(2_000):
        now += rng.random()
        link = rng.choice(links)
        if link.why:
            link.why, link.held = "", 0
            held.forget(link)
        link.held, link.held_since = rng.choice([0, rng.randrange(20_000)]), rng.uniform(0, now)
        held.weigh(link)
        assert held.total <= 100_000, seed
        if any(each.why for each in links):
            assert sum(each.held for each in links if not each.why) <= 100_000, seed
    assert AFTERWARDS < 1


async def serve(node: Any, answer: Any) -> None:
    """Answers every request with `answer`, as a busy peer does."""
    while True:
        item = await node.recv()
        if hasattr(item, "payload"):
            try:
                node.send(item.ip, item.port, answer, link=item.link)
            except Exception:
                continue


def test_many_who_stop_reading_are_bounded_together(world: Any) -> None:
    """Each alone is within its limits; an honest link among them is served as ever."""

    async def test() -> None:
        node = await world.node()
        node.held = Held(node.now, limit=LIMIT)
        serving = asyncio.ensure_future(serve(node, (VALUE, "x" * 250_000)))
        honest = await world.node()
        most, raws = 0, []
        for _ in range(12):
            raws.append(raw := await world.greeted(node))
            world.stop_reading(raw)
            raw.say(*[(REF, number) for number in range(16)])
            for _ in range(10):
                await world.settled(0.01)
                most = max(most, sum(link.held for link in node._links))
            sent = honest.send(node.ip, node.port, (REF, 1), uid=node.uid)
            await sent if inspect.isawaitable(sent) else None
            assert len((await world.take(honest, 1))[0].payload[1]) == 250_000
        assert most <= LIMIT + 1_000_000
        assert node.counters["too much held"] >= 1
        assert node.counters["too much held"] + node.counters["stopped reading"] == sum(node.counters.values())
        assert honest.links, "the honest link was never reset"
        serving.cancel()
        for raw in raws:
            raw.transport.abort()

    world.run(test)


def test_many_messages_that_are_never_whole_are_bounded_together(world: Any) -> None:
    async def test() -> None:
        node = await world.node()
        node.held = Held(node.now, limit=LIMIT)
        text = dumps((SET, "x" * 900_000))
        for _ in range(12):
            raw = await world.greeted(node)
            raw.transport.write(raw.channel.seal(text)[:-100])
            await world.settled(0.05)
            assert sum(link.held for link in node._links) <= LIMIT
        assert node.counters["too much held"] >= 5

    world.run(test)


@pytest.mark.parametrize("size", [60, 900_000])
@pytest.mark.parametrize("drip", [False, True])
def test_a_message_that_began_must_be_whole_in_time(memory: Any, size: int, drip: bool) -> None:
    """One byte a second keeps no link open; nor does a message that came before it, or silence."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        node = await memory.node()
        raw = await memory.greeted(node)
        whole, rest = raw.channel.seal(dumps((REF, 1))), raw.channel.seal(dumps((SET, "x" * size)))
        raw.transport.write(whole + rest[:30])
        (item,) = await memory.take(node, 1)
        begun, at = loop.time(), 30
        while not raw.lost:
            assert loop.time() - begun < SLOW_MESSAGE + 1.0
            await asyncio.sleep(1.0)
            if drip:
                raw.transport.write(rest[at : at + 1])
                at += 1
        assert loop.time() - begun > SLOW_MESSAGE - 1.0
        assert node.counters == {"slow message": 1}
        assert not item.link.clean

    memory.run(test)


def test_a_link_may_be_silent_between_messages(memory: Any) -> None:
    async def test() -> None:
        node = await memory.node()
        raw = await memory.greeted(node)
        for pause in (0.0, 5.0, 60.0):
            sealed = raw.channel.seal(dumps((REF, 1)))
            raw.transport.write(sealed[:7])
            await asyncio.sleep(pause / 10)
            raw.transport.write(sealed[7:])
            (item,) = await memory.take(node, 1)
            node.send(item.ip, item.port, True, link=item.link)
            await asyncio.sleep(pause)
        assert not raw.lost
        raw.transport.abort()

    memory.run(test)


def test_only_well_formed_requests_are_kept_for_later(world: Any) -> None:
    """A text of 60 KB may be a datum of a megabyte: while replies wait to leave, such a request is not kept but refused."""

    async def test() -> None:
        node = await world.node()
        raw = await world.greeted(node)
        world.stop_reading(raw)
        raw.say(*[(REF, number) for number in range(4)])
        for item in await world.take(node, 4):
            node.send(item.ip, item.port, (VALUE, "x" * 400_000), link=item.link)
        await world.settled()
        raw.say_text(b"#(ref" + b" ()" * 19_000 + b")")
        waiting = asyncio.ensure_future(node.recv())
        await world.until(lambda: node.counters)
        assert node.counters == {"protocol": 1}
        waiting.cancel()
        raw.transport.abort()

    world.run(test)
