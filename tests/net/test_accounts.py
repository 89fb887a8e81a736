"""Conformance: a link's accounts. Sixteen requests, two megabytes, and nobody honest is ever cut off for either."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from p2pnb import spec
from p2pnb.errors import PeerUnreachable
from p2pnb.wire.sexp import Symbol, written

REF, WELCOME = map(Symbol, ("ref", "welcome"))


def test_sixteen_requests_may_be_unanswered(world: Any) -> None:
    async def test() -> None:
        b = await world.node()
        raw = await world.greeted(b)
        raw.say(*[(REF, number) for number in range(16)])
        items = await world.take(b, 16)
        b.send("", 0, True, link=items[0].link)
        raw.say((REF, 16))
        await world.take(b, 1)
        assert not raw.lost
        raw.say((REF, 17))
        assert (await world.loss(b)) is items[0].link
        await world.until(lambda: raw.lost)
        assert b.counters["unanswered requests"] == 1

    world.run(test)


def test_seventeen_at_once_are_too_many(world: Any) -> None:
    async def test() -> None:
        b = await world.node()
        raw = await world.greeted(b)
        raw.say(*[(REF, number) for number in range(17)])
        await world.until(lambda: raw.lost)
        assert raw.data == []
        assert b.counters["unanswered requests"] == 1

    world.run(test)


def test_requests_beyond_the_limit_wait_for_room(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        unanswered = most = 0

        async def ask(number: int) -> None:
            sent = a.send(b.ip, b.port, (REF, number), uid=b.uid)
            await sent if inspect.isawaitable(sent) else None

        async def answer() -> None:
            nonlocal unanswered, most
            waiting = []
            for _ in range(100):
                waiting.append(await world.next(b))
                most = max(most, len(waiting))
                if len(waiting) > 3 and not b.inbox:
                    for item in waiting:
                        b.send(item.ip, item.port, item.payload[1] % 2 == 0, link=item.link)
                    waiting = []
            for item in waiting:
                b.send(item.ip, item.port, True, link=item.link)

        await asyncio.gather(answer(), *[ask(number) for number in range(100)])
        assert len(await world.take(a, 100)) == 100
        assert 4 <= most <= spec.MAX_UNANSWERED

    world.run(test)


def test_two_megabytes_of_requests_at_a_time(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        datum = written(world.filling(900_000))
        await a.send(b.ip, b.port, datum, uid=b.uid)
        assert not inspect.isawaitable(a.send(b.ip, b.port, datum, uid=b.uid))
        third = asyncio.ensure_future(a.send(b.ip, b.port, datum, uid=b.uid))
        first, _ = await world.take(b, 2)
        await world.settled()
        assert not third.done()
        b.send(first.ip, first.port, True, link=first.link)
        assert (await third).uid == b.uid
        assert len(await world.take(b, 1)) == 1
        assert a.links[0].last_sent == 900_004

    world.run(test)


def test_big_replies_to_a_pipeline_wait_for_one_another(world: Any) -> None:
    """16 small requests with 16 MB of replies: more than may be queued, and yet nobody is cut off."""

    async def test() -> None:
        a, b = await world.nodes(2)
        big = written(world.filling(spec.MAX_MESSAGE, WELCOME))
        most = 0

        async def answer() -> None:
            nonlocal most
            for _ in range(16):
                item = await world.next(b)
                b.send(item.ip, item.port, big, link=item.link)
                most = max(most, item.link.leaving)

        link = await a.send(b.ip, b.port, (REF, 0), uid=b.uid)
        for number in range(1, 16):
            a.send(b.ip, b.port, (REF, number), link=link)
        answering = asyncio.ensure_future(answer())
        assert len(await world.take(a, 16)) == 16
        await answering
        assert most <= spec.MAX_QUEUED

    world.run(test)


def test_more_replies_than_may_wait_to_leave(world: Any) -> None:
    """Replies that were put off and come all at once: what the asker could not know of him, nor the peer of the link."""

    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (REF, 0), uid=b.uid)
        for number in range(1, 4):
            a.send(b.ip, b.port, (REF, number), link=link)
        items = await world.take(b, 4)
        big = written(world.filling(spec.MAX_MESSAGE - 100, WELCOME))
        for item in items[:2]:
            b.send(item.ip, item.port, big, link=item.link)
        with pytest.raises(PeerUnreachable) as error:
            b.send(items[2].ip, items[2].port, big, link=items[2].link)
        assert error.value.reason == "lost"
        assert b.counters["outgoing queue"] == 1
        assert (await world.loss(a)) is link

    world.run(test)
