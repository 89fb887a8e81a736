"""A town of real peers in simulated time, some of whom lie: where attacks are tried out before somebody else tries them.

Each resident has the uid and the address that an experiment gives it, on a memory network whose clock jumps. Everything else is
what any node runs: links, wire bytes, tables, stores. A liar is a peer whose answers are not its responder's, and who still proves
its uid as everybody must.

`simulated` runs an experiment to its end and gives back what it returns, also from a notebook cell, where a loop already runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from p2pnb import spec
from p2pnb.net.endpoint import Endpoint
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.virtual import VirtualLoop
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Request
from p2pnb.words import counted

T = TypeVar("T")

LATENCY = 0.02  # seconds, one way
Lie = Callable[[Request, Any], Any]  # the request and the honest answer -> the answer that is given


def simulated(experiment: Callable[..., Coroutine[Any, Any, T]], *args: Any, **options: Any) -> T:
    """What `experiment(*args, **options)` returns. Raises what it raises, and `RuntimeError` for an error that nobody handled."""

    def run() -> T:
        unhandled: list[dict[str, Any]] = []

        async def whole() -> T:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            return await experiment(*args, **options)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            result = runner.run(whole())
        if unhandled:
            raise RuntimeError(f"{counted(len(unhandled), 'error')} in the background, the first: {unhandled[0]}")
        return result

    with ThreadPoolExecutor(1, "p2pnb-lab") as thread:
        return thread.submit(run).result()


@dataclass(eq=False, slots=True)
class Resident:
    """One peer of a town."""

    peer: Peer
    endpoint: Endpoint

    @property
    def contact(self) -> Contact:
        """How others name it."""
        return contact(self.endpoint.ip, self.endpoint.port, self.endpoint.uid)

    def lie(self, lie: Lie) -> None:
        """From now on it answers what `lie(request, honest answer)` says."""
        honest = self.peer.responder.answer

        def answer(request: Request, **seen: Any) -> Any:
            return lie(request, honest(request, **seen))

        self.peer.responder.answer = answer  # type: ignore[method-assign]

    async def leave(self) -> None:
        """Ends it in order."""
        await self.peer.close()
        await self.endpoint.close()


class Town:
    """Residents in the order in which they came. Use it as `async with Town(seed=7) as town`."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.rng = random.Random(seed)
        self.residents: list[Resident] = []
        self._network = MemoryNetwork(random.Random(self.rng.getrandbits(64)), LATENCY)
        self._holes: list[Endpoint] = []
        self._options = options

    async def __aenter__(self) -> Town:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(resident.leave() for resident in self.residents), *(hole.close() for hole in self._holes))

    async def settle(self, uid: int | None = None, ip: str = "127.0.0.1", **options: Any) -> Resident:
        """One more resident with this uid (default: a random one), who has joined through one of the others."""
        near = uid is not None  # who chose a uid has as many empty far buckets as it shares bits with somebody
        uid = self.rng.getrandbits(256) if uid is None else uid
        endpoint = Endpoint(self._network, uid, ip=ip, encryption=False)
        await endpoint.open()
        rng = random.Random(self.rng.getrandbits(64))
        address = endpoint.ip, endpoint.port
        options = {"upkeep": False, **self._options, **options}
        peer = Peer(Key.from_int(uid), endpoint.recv, endpoint.send, address=address, rng=rng, **options)
        resident = Resident(peer, endpoint)
        if self.residents:
            through = self.rng.choice(self.residents).contact
            await peer.greet(through.ip, through.port)
            await peer.bootstrap(far=not near)
        self.residents.append(resident)
        return resident

    async def grow(self, n: int) -> list[Resident]:
        """`n` more residents with random uids, one after the other."""
        return [await self.settle() for _ in range(n)]

    async def evict(self, residents: Iterable[Resident]) -> None:
        """They leave, and everybody notices."""
        gone = list(residents)
        self.residents = [each for each in self.residents if each not in gone]
        await asyncio.gather(*(each.leave() for each in gone))
        for each in self.residents:
            for other in gone:
                each.peer.table.remove(other.endpoint.uid)

    def nearest(self, key: int, n: int = spec.REPLICATION) -> list[Resident]:
        """Those truly nearest to `key`, whoever they are."""
        return sorted(self.residents, key=lambda each: each.endpoint.uid ^ key)[:n]

    def honest(self, key: int, lying: Collection[int], asker: Resident) -> list[int]:
        """Of the five nearest to `key`, the asker left out, the uids of those who do not lie."""
        others = [each.endpoint.uid for each in self.nearest(key, spec.REPLICATION + 1) if each is not asker]
        return [uid for uid in others[: spec.REPLICATION] if uid not in lying]

    async def hole(self) -> Contact:
        """An address at which connections are taken and nothing is ever answered."""
        endpoint = Endpoint(self._network, self.rng.getrandbits(256), encryption=False)
        await endpoint.open()
        endpoint.kill(silent=True)
        self._holes.append(endpoint)
        return contact(endpoint.ip, endpoint.port, endpoint.uid)
