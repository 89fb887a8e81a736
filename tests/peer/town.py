"""Live networks in simulated time: real peers, links and wire bytes, on a loop whose clock jumps while everybody waits.

A day of upkeep takes seconds, and a deadline is exact. Whoever runs here ends with no unhandled error and no task left.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Network
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key

LATENCY = 0.02  # seconds, one way


class _JumpSelector(selectors.SelectSelector):
    """Instead of waiting, lets the clock jump to where the waiting would have ended."""

    loop: JumpLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout is not None and timeout > 0:
            self.loop.clock += timeout
        return ready


class JumpLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits."""

    def __init__(self) -> None:
        self.clock = 1_000.0
        selector = _JumpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock


def simulate(test: Callable[[], Awaitable[None]], errors: list[dict[str, Any]] | None = None) -> None:
    """Runs `test` to its end. What was unhandled goes to `errors`, or is a failure."""
    unhandled: list[dict[str, Any]] = [] if errors is None else errors

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    with asyncio.Runner(loop_factory=JumpLoop) as runner:
        runner.run(whole())
    assert errors is not None or not unhandled, unhandled


@asynccontextmanager
async def town(n: int, seed: int, latency: Any = LATENCY, **settings: Any) -> AsyncIterator[Network]:
    """`n` nodes on a memory network, joined and with quiet upkeep; closed in the end."""
    network = Network("memory", Settings(encryption=False, **settings), seed, latency, 0.0)
    await network.grow(n, [], lambda: None)
    try:
        yield network
    finally:
        await network.close()


def now() -> float:
    return asyncio.get_running_loop().time()


def nearest(members: Iterable[Member], key: Key | int, n: int) -> list[Member]:
    """Those of `members` that are truly nearest to `key`."""
    point = key if isinstance(key, int) else key.int
    return sorted(members, key=lambda member: member.uid.int ^ point)[:n]


def holders(network: Network, key: Key | int) -> list[int]:
    """The positions of the living who keep something at `key`, whatever is due to be forgotten included."""
    point = key if isinstance(key, int) else key.int
    return [member.position for member in network.living if point in member.living().store.keys()]


def peers(network: Network) -> list[Peer]:
    return [member.living() for member in network.living]


def some_value(seed: int) -> bytes:
    return random.Random(seed).randbytes(40)
