"""Networks under attack: real members in simulated time, encrypted or not, and strangers that speak for themselves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from p2pnb.cluster.member import Settings
from p2pnb.cluster.network import Network
from p2pnb.errors import ProtocolError
from p2pnb.peer.peer import Peer
from p2pnb.wire.channel import NoiseChannel, PlainChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import dumps, loads

LATENCY = 0.02


@asynccontextmanager
async def besieged(n: int, seed: int, encryption: bool = True, **settings: Any) -> AsyncIterator[Network]:
    """`n` members on a memory network that have joined; closed in the end."""
    network = Network("memory", Settings(encryption=encryption, **settings), seed, LATENCY, 0.0)
    await network.grow(n, [], lambda: None)
    try:
        yield network
    finally:
        await network.close()


def tables(network: Network) -> list[set[tuple[Any, ...]]]:
    return [{(each.uid, each.ip, each.port) for each in member.living().table} for member in network.members]


def peers(network: Network) -> list[Peer]:
    return [member.living() for member in network.living]


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Lets time pass until something is so."""
    limit = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < limit, "it never came true"
        await asyncio.sleep(LATENCY / 4)


class Stranger(asyncio.Protocol):
    """One connection, in which a test says what it likes. `data` is what was answered."""

    def __init__(self, network: Network, seed: int, encryption: bool = True) -> None:
        key = StaticKey.from_seed(random.Random(seed).randbytes(32))
        self.uid = key.uid
        self.channel = NoiseChannel(True, key, 0, "") if encryption else PlainChannel(True, key.uid, 0, "")
        self.transport: Any = None
        self.data: list[Any] = []
        self.lost = False
        self.lost_at = 0.0
        self._network = network

    def dial(self, ip: str, port: int, greet: bool = True) -> None:
        self._greet = greet
        assert self._network.carrier is not None
        self._network.carrier.dial(self, ip, port, ("127.0.0.1", 0))

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self._greet:
            transport.write(self.channel.start())

    def data_received(self, data: bytes) -> None:
        try:
            answer, texts = self.channel.receive(data)
        except ProtocolError:
            return
        if answer:
            self.transport.write(answer)
        self.data += [loads(text) for text in texts]

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        self.lost, self.lost_at = True, asyncio.get_running_loop().time()

    def say(self, *data: Any) -> None:
        self.transport.write(b"".join([self.channel.seal(dumps(datum)) for datum in data]))

    async def greeted(self, ip: str, port: int) -> Stranger:
        self.dial(ip, port)
        await until(lambda: self.channel.established)
        await asyncio.sleep(2 * LATENCY)
        return self
