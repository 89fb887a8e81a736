"""The peers to beat, from PyPI: `kademlia` 2.2.3 (Python) and OpenDHT (C++), both unencrypted over UDP on loopback.

Each is used as its own documentation shows, all nodes in this process, and is given every advantage that it has a setting
for: OpenDHT's rate limits are lifted, `kademlia` joins one node after the other, which is how it loses no datagrams.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import opendht
from kademlia.network import Server
from kademlia.utils import digest
from measure import Work

LOOPBACK = "127.0.0.1"
JOINED = 8  # good contacts: what OpenDHT keeps in a bucket
JOIN_SECONDS, QUIET_SECONDS, LOOKS_EVERY = 30.0, 10.0, 0.05
MOST_JOINED = 0.95  # OpenDHT tries again after ten seconds for the few whose first request went unanswered


def send_noise(port: int, rng: random.Random, count: int) -> None:
    """`count` datagrams of random bytes to `port` on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(rng.randbytes(rng.randint(1, 1000)), (LOOPBACK, port))


class Kademlia:
    """`kademlia.network.Server`; keys are the strings that it hashes itself."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.dead: set[int] = set()
        self.rng = random.Random(1)

    async def launch(self, n: int) -> None:
        self.servers = [Server() for _ in range(n)]
        for server in self.servers:
            await server.listen(0, LOOPBACK)
        for position in range(1, n):
            await self.servers[position].bootstrap([(LOOPBACK, self.port(self.rng.randrange(position)))])

    def port(self, node: int) -> int:
        return int(self.servers[node].transport.get_extra_info("sockname")[1])

    async def run(self, work: Work, *args: Any) -> Any:
        return await work(*args)

    def live(self) -> list[int]:
        return [node for node in range(len(self.servers)) if node not in self.dead]

    async def put(self, node: int, value: bytes) -> str | None:
        key = digest(value).hex()
        return key if await self.servers[node].set(key, value) else None

    async def get(self, node: int, key: str) -> bytes | None:
        found: bytes | None = await self.servers[node].get(key)
        return found

    async def holders(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for node, server in enumerate(self.servers):
            for _, value in server.storage:
                found.setdefault(digest(value).hex(), set()).add(node)
        return found

    async def kill(self, fraction: float, silent: bool) -> None:
        self.dead = set(self.rng.sample(range(len(self.servers)), int(fraction * len(self.servers))))
        for node in self.dead:
            self.servers[node].stop()

    async def abuse(self, node: int, rng: random.Random, count: int) -> None:
        for _ in range(count // 50):
            send_noise(self.port(node), rng, 50)
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for node in self.live():
            self.servers[node].stop()
        await asyncio.sleep(0)


class OpenDht:
    """`opendht.DhtRunner`: a thread of C++ for each node; its callbacks are handed over to this event loop.

    Its binding holds Python's lock while it waits for a node's own, and a node holds its own while it calls back: to look
    at tables or to stop a node with callbacks still to come would freeze the process. So both wait for quiet.
    """

    def __init__(self) -> None:
        self.nodes: list[opendht.DhtRunner] = []
        self.dead: set[int] = set()
        self.under_way = 0
        self.rng = random.Random(1)

    async def launch(self, n: int) -> None:
        for _ in range(n):
            node, config = opendht.DhtRunner(), opendht.DhtConfig()
            config.setRateLimit(1_000_000, 1_000_000)
            node.run(id=opendht.Identity(), is_bootstrap=False, port=0, ipv4=LOOPBACK, ipv6="", config=config)
            self.nodes.append(node)
        for position in range(1, n):
            self.nodes[position].bootstrap(LOOPBACK, str(self.port(self.rng.randrange(position))))
        for _ in range(int(JOIN_SECONDS / LOOKS_EVERY)):  # it announces no end of joining: its tables have to be looked at
            if self.joined():
                break
            await asyncio.sleep(LOOKS_EVERY)

    def joined(self) -> bool:
        enough = min(JOINED, len(self.nodes) - 1)
        return sum(node.getRoutingTablesLog(2).count("[good]") >= enough for node in self.nodes) >= MOST_JOINED * len(self.nodes)

    def port(self, node: int) -> int:
        return int(self.nodes[node].getBound().getPort())

    async def run(self, work: Work, *args: Any) -> Any:
        return await work(*args)

    def live(self) -> list[int]:
        return [node for node in range(len(self.nodes)) if node not in self.dead]

    async def put(self, node: int, value: bytes) -> str | None:
        key = opendht.InfoHash.get(value.hex())
        settled, settle = self.settling()
        self.nodes[node].put(key, opendht.Value(value), lambda ok, _nodes: settle(ok, True))
        return str(key) if await settled else None

    async def get(self, node: int, key: str) -> bytes | None:
        settled, settle = self.settling()

        def found(value: opendht.Value) -> bool:
            settle(value.data, False)
            return False  # the first is enough

        self.nodes[node].get(opendht.InfoHash(key.encode()), found, lambda _ok, _nodes: settle(None, True))
        value: bytes | None = await settled
        return value

    def settling(self) -> tuple[asyncio.Future[Any], Callable[[Any, bool], None]]:
        """A future, and how another thread settles it: with the result, of which the first counts, and whether it was the last."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.under_way += 1

        def settled(result: Any, last: bool) -> None:
            self.under_way -= last
            if not future.done():
                future.set_result(result)

        return future, lambda result, last: loop.call_soon_threadsafe(settled, result, last)

    async def quiet(self) -> None:
        for _ in range(int(QUIET_SECONDS / LOOKS_EVERY)):
            if not self.under_way:
                break
            await asyncio.sleep(LOOKS_EVERY)
        await asyncio.sleep(LOOKS_EVERY)  # for the last callback to return

    async def holders(self) -> dict[str, set[int]]:
        await self.quiet()
        found: dict[str, set[int]] = {}
        for position, node in enumerate(self.nodes):
            for line in node.getStorageLog().splitlines():
                if line.startswith("Storage "):
                    found.setdefault(line.split()[1], set()).add(position)
        return found

    async def kill(self, fraction: float, silent: bool) -> None:
        self.dead = set(self.rng.sample(range(len(self.nodes)), int(fraction * len(self.nodes))))
        await self.stop(self.dead)

    async def stop(self, positions: set[int]) -> None:
        await self.quiet()
        with ThreadPoolExecutor(16) as pool:
            await asyncio.gather(*[asyncio.get_running_loop().run_in_executor(pool, self.nodes[each].join) for each in positions])

    async def abuse(self, node: int, rng: random.Random, count: int) -> None:
        for _ in range(count // 50):
            send_noise(self.port(node), rng, 50)
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.stop(set(self.live()))
