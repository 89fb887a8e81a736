"""The shared timer, and the contract that others may rely on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from p2pnb.net.carrier import TICK, Carrier, Sweep


class Watched:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def check(self, now: float) -> None:
        self.seen.append(now)


@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_looked_at_in_time_by_one_timer(jump: Any, seed: int) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        rng = random.Random(seed)
        sweep = Sweep(loop)
        entered: list[tuple[float, float, Watched]] = []
        for _ in range(300):
            watched, when = Watched(), loop.time() + rng.uniform(-1, 9)
            sweep.at(when, watched)
            entered.append((loop.time(), when, watched))
            assert sum(not handle.cancelled() for handle in loop._scheduled) <= 1
            await asyncio.sleep(rng.choice((0, 0, 0.01, 0.3)))
        await asyncio.sleep(10)
        for begun, when, watched in entered:
            assert len(watched.seen) == 1, f"seed {seed}"
            assert max(when - TICK, begun) - 1e-6 < watched.seen[0] <= max(when, begun + TICK) + 1e-9, f"seed {seed}"
        assert not [handle for handle in loop._scheduled if not handle.cancelled()], "nobody to look at, no timer"

    jump(test())


def test_whoever_enters_anew_while_it_is_looked_at_makes_nobody_else_wait(jump: Any) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        sweep = Sweep(loop)
        now = loop.time()

        class Again(Watched):
            def check(self, now: float) -> None:
                super().check(now)
                if len(self.seen) == 1:
                    sweep.at(now + 5, self)

        again, other = Again(), Watched()
        sweep.at(now + 1, again)
        sweep.at(now + 2, other)
        await asyncio.sleep(2)
        assert len(other.seen) == 1, "it is not its turn only when the other one's has come again"
        await asyncio.sleep(5)
        assert len(again.seen) == 2

    jump(test())


def test_whoever_was_held_up_with_everybody_else_is_given_another_moment(jump: Any) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        sweep = Sweep(loop)
        waiting = [Watched() for _ in range(5)]
        for number, watched in enumerate(waiting):
            sweep.at(loop.time() + 1 + number, watched)
        loop.clock += 60  # something held the loop up
        await asyncio.sleep(TICK / 2)
        assert not any(watched.seen for watched in waiting), "what they wait for may be there, unread"
        await asyncio.sleep(TICK)
        assert all(len(watched.seen) == 1 for watched in waiting)
        sweep.at(loop.time() + 1, last := Watched())
        await asyncio.sleep(1)
        assert len(last.seen) == 1

    jump(test())


def test_a_carrier_must_say_how_to_dial_and_to_listen() -> None:
    carrier = Carrier()
    with pytest.raises(NotImplementedError):
        carrier.dial(asyncio.Protocol(), "127.0.0.1", 1, ("127.0.0.1", 2))
    with pytest.raises(NotImplementedError):
        carrier.listen(lambda ip, port: asyncio.Protocol(), "127.0.0.1", 1)


def test_links_and_endpoints_show_what_they_are(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, True, uid=b.uid)
        assert repr(link) == f"<Link to {b.ip}:{b.port} open>"
        assert f"at {a.ip}:{a.port}, 1 link" in repr(a)
        link.freeze()
        assert "frozen" in repr(link)
        assert not hasattr(link, "__dict__"), "thousands of them are in memory"
        await a.close()
        assert repr(a).endswith("closed>")

    world.run(test)
