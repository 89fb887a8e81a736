"""A carrier without links, encryption or sockets: queues by address. What `Peer(uid, recv, send)` needs is this little.

`written=True` sends each datum through its text, as a pigeon would have to; `uids=True` authenticates who sent it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from p2pnb.net.contract import Received
from p2pnb.peer.peer import Peer
from p2pnb.wire.sexp import dumps, loads


class Loft:
    """All pigeons of a test. `lost` addresses swallow what is sent to them."""

    def __init__(self) -> None:
        self.boxes: dict[tuple[str, int], asyncio.Queue[Any]] = {}
        self.lost: set[tuple[str, int]] = set()
        self.flown: list[Any] = []

    def peer(self, number: int, rng: Random, **options: Any) -> Peer:
        """A peer at 127.0.0.1 and port `number`, with a random uid."""
        address = ("127.0.0.1", number)
        self.boxes[address] = asyncio.Queue()

        async def send(ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> None:
            self.flown.append(payload)
            if (ip, port) in self.boxes and (ip, port) not in self.lost:
                self.boxes[ip, port].put_nowait((*address, loads(dumps(payload))))

        return Peer(rng.randbytes(32), self.boxes[address].get, send, rng=rng, address=address, **options)


class Wire:
    """One link of a scripted carrier, for tests that play the other end themselves."""

    def __init__(self, uid: int, ip: str = "127.0.0.1", port: int = 4000, outbound: bool = True, listens: bool = True) -> None:
        self.uid, self.ip, self.port, self.outbound = uid, ip, port, outbound
        self.listens = listens
        self.clean = True
        self.closed = False
        self.why = ""
        self.last_sent = 0
        self.sent: list[Any] = []

    def close(self, reason: str = "") -> None:
        self.closed, self.clean, self.why = True, False, reason

    def received(self, payload: Any) -> Received:
        return Received(self.ip, self.port, payload, self.uid, self)


def live(test: Callable[[], Awaitable[None]]) -> None:
    """Runs `test`, and holds that no task is left."""

    async def whole() -> None:
        await test()
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(whole())


async def flock(n: int, seed: int = 1) -> tuple[Loft, list[Peer]]:
    """`n` peers on queues that have joined each other."""
    loft = Loft()
    rng = random.Random(seed)
    peers = [loft.peer(1000 + i, random.Random(rng.random())) for i in range(n)]
    for i, peer in enumerate(peers[1:], 1):
        assert await peer.connect("127.0.0.1", 1000 + rng.randrange(i))
        await peer.bootstrap()
    return loft, peers


async def end(peers: list[Peer]) -> None:
    for peer in peers:
        await peer.close()
