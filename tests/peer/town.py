"""Live networks in simulated time: real peers, links and wire bytes, on a loop whose clock jumps while everybody waits.

A day of upkeep takes seconds, and a deadline is exact. Whoever runs here ends with no unhandled error and no task left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from pigeons import Wire

from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Network
from p2pnb.net.virtual import VirtualLoop
from p2pnb.peer.peer import Peer
from p2pnb.peer.upkeep import SOON, Upkeep
from p2pnb.uid import Key
from p2pnb.wire.messages import to_datum

LATENCY = 0.02  # seconds, one way


def simulate(test: Callable[[], Awaitable[None]], errors: list[dict[str, Any]] | None = None) -> None:
    """Runs `test` to its end. What was unhandled goes to `errors`, or is a failure."""
    unhandled: list[dict[str, Any]] = [] if errors is None else errors

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(whole())
    assert errors is not None or not unhandled, unhandled


@asynccontextmanager
async def town(n: int, seed: int, latency: Any = LATENCY, **settings: Any) -> AsyncIterator[Network]:
    """`n` nodes on a virtual network, joined and with quiet upkeep; closed in the end."""
    network = Network("virtual", Settings(encryption=False, **settings), seed, latency, 0.0)
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


HOUR = 3_600.0


def upkeep_of(peer: Peer) -> Upkeep:
    assert peer.upkeep is not None
    return peer.upkeep


async def newcomer(network: Network) -> Member:
    """One more member that has joined, a few seconds ago."""
    (member,) = await network.grow(1, [], lambda: None)
    await asyncio.sleep(SOON + 2.0)
    return member


class Alone:
    """One peer whose carrier is the test; `given` is what its upkeep sent to newcomers."""

    def __init__(self, **options: Any) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.given: list[tuple[float, Any, int | None]] = []
        self.peer = Peer(bytes(31) + b"\x01", self.inbox.get, self._send, rng=random.Random(1), **options)
        self.upkeep = upkeep_of(self.peer)

    def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Wire | None = None) -> Any:
        self.given.append((now(), payload, uid))
        wire = link or Wire(uid or 0, ip, port)
        if isinstance(payload, tuple) and payload[0] == "set":
            self.inbox.put_nowait(wire.received(True))
        elif isinstance(payload, tuple) and payload[0] == "peers":
            self.inbox.put_nowait(wire.received(to_datum(_nobody())))
        return wire

    async def hear(self, payload: Any, uid: int) -> None:
        self.inbox.put_nowait(Wire(uid, port=4_000 + uid % 1_000, outbound=False).received(payload))
        await asyncio.sleep(0.001)

    def gifts(self, uid: int) -> list[float]:
        return [when for when, payload, whom in self.given if whom == uid and payload[0] == "set"]


def _nobody() -> Any:
    from p2pnb.wire.messages import Nearest

    return Nearest(())
