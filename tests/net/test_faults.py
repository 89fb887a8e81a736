"""Conformance: nodes that die, cables that are cut, and what the others see of it."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from typing import Any

import pytest

from p2pnb.errors import PeerUnreachable
from p2pnb.net.contract import Lost, Opened
from p2pnb.wire.sexp import Symbol

IAM, REF = Symbol("iam"), Symbol("ref")


async def linked(world: Any, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Two nodes, and the link between them as each sees it."""
    a, b = await world.nodes(2, **options)
    link = await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
    (item,) = await world.take(b, 1)
    b.send(item.ip, item.port, True, link=item.link)
    await world.take(a, 1)
    return a, b, link, item.link


async def unreachable(a: Any, b: Any) -> str:
    with pytest.raises(PeerUnreachable) as error:
        await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
    return error.value.reason


def test_a_killed_node_resets_its_links_and_refuses_dials(world: Any) -> None:
    async def test() -> None:
        a, b, link, _ = await linked(world)
        b.kill()
        assert await world.next(a) == Lost(link)
        assert not link.clean
        assert await unreachable(a, b) == "refused"
        with pytest.raises(PeerUnreachable) as error:
            await b.recv()
        assert error.value.reason == "closed"
        again = await world.node(port=b.port)
        assert (await a.send(again.ip, again.port, (IAM, 1), uid=again.uid)).uid == again.uid

    world.run(test)


def test_a_kill_ends_what_is_being_dialled(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        b.kill(silent=True)
        sending = asyncio.ensure_future(a.send(b.ip, b.port, (IAM, 1), uid=b.uid))
        await world.settled()
        a.kill()
        with pytest.raises(PeerUnreachable) as error:
            await sending
        assert error.value.reason == "closed"
        assert not a._dials

    world.run(test)


def test_a_silent_node_is_a_black_hole(world: Any) -> None:
    async def test() -> None:
        a, b, link, _ = await linked(world, handshake_timeout=0.5)
        b.kill(silent=True)
        for number in range(5):
            assert a.send(b.ip, b.port, (REF, number), uid=b.uid) is link
        await world.settled(0.3)
        assert not link.closed
        assert not a.inbox
        link.close("timeout")
        assert await world.next(a) == Lost(link)
        assert await unreachable(a, b) == "timeout"
        await b.close()
        assert await unreachable(a, b) == "refused"

    world.run(test)


def test_a_wall_freezes_links_and_hangs_dials_until_it_falls(world: Any) -> None:
    async def test() -> None:
        a, b, link, back = await linked(world, handshake_timeout=0.5)
        c = await world.node(handshake_timeout=0.5)
        to_c = await a.send(c.ip, c.port, (IAM, 1), uid=c.uid)
        assert await a.recv() == Opened(to_c)
        a.wall({(b.ip, b.port)})
        b.wall(lambda ip, port: (ip, port) == (a.ip, a.port))
        assert a.send(b.ip, b.port, (REF, 1), uid=b.uid) is link
        assert b.send(a.ip, a.port, (REF, 2), uid=a.uid) is back
        assert a.send(c.ip, c.port, (REF, 3), uid=c.uid).uid == c.uid, "others are reached as before"
        assert [item.payload for item in await world.take(c, 2)] == [(IAM, 1), (REF, 3)]
        await world.settled(0.2)
        assert not a.inbox
        assert not b.inbox
        link.close("timeout")
        assert await world.next(a) == Lost(link)
        assert await unreachable(a, b) == "timeout"
        assert await unreachable(b, a) == "reset" if back.closed else True
        a.unwall()
        b.unwall()
        assert (await world.loss(b)) is back
        assert not back.clean
        assert (await a.send(b.ip, b.port, (IAM, 4), uid=b.uid)).uid == b.uid
        assert (await world.take(b, 1))[0].payload == (IAM, 4)

    world.run(test)


def test_a_wall_on_one_side_is_enough(world: Any) -> None:
    async def test() -> None:
        a, b, link, back = await linked(world, handshake_timeout=0.5)
        b.wall({(a.ip, a.port)})
        a.send(b.ip, b.port, (REF, 1), link=link)
        link.close("timeout")
        await world.settled(0.2)
        assert not back.closed, "it is told nothing"
        with suppress(PeerUnreachable):  # of three handshake messages a has seen its last before b knows who a is
            dialled = await a.send(b.ip, b.port, (REF, 2), uid=b.uid)
            await world.settled(0.2)
            assert not dialled.closed
        assert not b.inbox
        b.unwall()
        await world.until(lambda: not a.links)
        assert (await a.send(b.ip, b.port, (REF, 3), uid=b.uid)).uid == b.uid
        assert (await world.take(b, 1))[0].payload == (REF, 3)

    world.run(test)


def test_walls_do_not_wait_for_handshakes_that_are_under_way(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2, handshake_timeout=0.5)
        sending = asyncio.ensure_future(a.send(b.ip, b.port, (IAM, 1), uid=b.uid))
        await asyncio.sleep(0)
        a.wall({(b.ip, b.port)})
        with pytest.raises(PeerUnreachable) as error:
            await sending
        assert error.value.reason == "timeout"
        a.unwall()
        await a.send(b.ip, b.port, (IAM, 2), uid=b.uid)
        assert (await world.take(b, 1))[0].payload == (IAM, 2)

    world.run(test)


def test_closing_twice_and_closing_what_was_killed(world: Any) -> None:
    async def test() -> None:
        a, b, *_ = await linked(world)
        c = world.endpoint()
        await asyncio.gather(a.close(), a.close(), c.close())
        await a.close()
        b.kill(silent=True)
        b.kill()
        b.kill()
        await b.close()
        d, e, *_ = await linked(world)
        d.kill(silent=True)
        await asyncio.gather(e.close(), d.close())

    world.run(test)


def test_everybody_closes_at_once(world: Any) -> None:
    async def test() -> None:
        nodes = await world.nodes(8)
        for a in nodes:
            for b in nodes:
                if a is not b:
                    sent = a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
                    await sent if inspect.isawaitable(sent) else None
        before = asyncio.get_running_loop().time()
        await asyncio.gather(*[node.close() for node in nodes])
        assert asyncio.get_running_loop().time() - before < 0.9, "nobody had to be waited for"
        for node in nodes:
            assert set(node.counters) <= {"closed", "finished"}

    world.run(test)
