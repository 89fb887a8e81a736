"""p2pnb as one of the systems measured: encrypted TCP on loopback, through its public contract only.

Operations run on the cluster's own loop by `cluster.run`, with `node.peer.set` and `node.peer.ref`; launching, killing and
looking at tables are the calls that a notebook makes.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from measure import Work

from p2pnb import Cluster, Key
from p2pnb.cluster.node import Node
from p2pnb.errors import P2PError
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol, dumps

AT_ONCE = 20
CLOSED_WITHIN = 6.0  # a handshake may take 5 s


class P2pnb:
    """A `Cluster` with its defaults."""

    def __init__(self) -> None:
        self.cluster: Cluster
        self.nodes: list[Node] = []
        self.dead: set[int] = set()

    async def launch(self, n: int) -> None:
        self.cluster = await Cluster.launch(n)
        self.nodes = list(self.cluster)

    async def run(self, work: Work, *args: Any) -> Any:
        return await self.cluster.run(work, *args)

    def live(self) -> list[int]:
        return [node for node in range(len(self.nodes)) if node not in self.dead]

    async def put(self, node: int, value: bytes) -> Key | None:
        try:
            return await self.nodes[node].peer.set(value)
        except P2PError:
            return None

    async def get(self, node: int, key: Key) -> bytes | None:
        try:
            return await self.nodes[node].peer.ref(key)
        except P2PError:
            return None

    async def holders(self) -> dict[Key, set[int]]:
        held = self.cluster.values().reset_index()
        return {Key(key): set(rows) for key, rows in held.groupby("key")["node"]}

    async def kill(self, fraction: float, silent: bool) -> None:
        self.dead |= {node.position for node in self.cluster.kill(fraction=fraction, silent=silent)}

    async def close(self) -> None:
        await self.cluster.close()

    # --- abuse ----------------------------------------------------------------------------------------------------------

    async def abuse(self, node: int, rng: random.Random, count: int) -> None:
        """`count` connections of random bytes, then as many proper handshakes, each followed by one strange message."""
        where = self.nodes[node].ip, self.nodes[node].port
        for kind in (self.stammer, self.babble):
            for _ in range(count // AT_ONCE):
                await asyncio.gather(*[kind(where, rng) for _ in range(AT_ONCE)])
        if self.cluster.errors:
            raise self.cluster.errors[0]

    async def stammer(self, where: tuple[str, int], rng: random.Random) -> None:
        reader, writer = await asyncio.open_connection(*where)
        await self.until_closed(reader, writer, rng.randbytes(rng.randint(1, 1000)))

    async def babble(self, where: tuple[str, int], rng: random.Random) -> None:
        reader, writer = await asyncio.open_connection(*where)
        channel = NoiseChannel(True, StaticKey.generate(), 0, "")
        writer.write(channel.start())
        while not channel.established:
            answer, _ = channel.receive(await reader.read(65_536))
            writer.write(answer)
        await self.until_closed(reader, writer, channel.seal(strange(rng)))

    async def until_closed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Sends `data` and the end, and reads until the node has closed as well."""
        try:
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(CLOSED_WITHIN):
                while await reader.read(65_536):
                    pass
        except OSError:
            pass  # it was quicker, or closed with a reset
        finally:
            writer.close()


def strange(rng: random.Random) -> bytes:
    """A message text that is no message: noise, a request with bytes changed, or a vector of nonsense."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(rng.randint(1, 1000))
    if kind == 1:
        text = bytearray(dumps((Symbol("ref"), rng.getrandbits(256))))
        for _ in range(rng.randint(1, 5)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        return bytes(text)
    pieces: list[Any] = [rng.getrandbits(300), True, rng.randbytes(5), "text", Symbol("peer"), Symbol("set"), [1, [2]], ()]
    return dumps(tuple(rng.choices(pieces, k=rng.randint(0, 6))))
