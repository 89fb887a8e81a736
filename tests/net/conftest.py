"""What the tests of the network share: a clock that jumps, a raw end that says whatever it likes, and one world a carrier.

Every test in a world ends with the same three questions: was anything unhandled, is a task left, is a descriptor left?
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from p2pnb.errors import ProtocolError
from p2pnb.net.carrier import Carrier
from p2pnb.net.contract import Lost, Opened, Received
from p2pnb.net.endpoint import Endpoint
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.tcp import TcpCarrier
from p2pnb.net.virtual import VirtualLoop
from p2pnb.wire.channel import Channel, NoiseChannel, PlainChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol, dumps, loads


class Raw(asyncio.Protocol):
    """An end of a connection that a test speaks for, through a channel or in raw bytes."""

    def __init__(self, channel: Channel | None = None) -> None:
        self.channel = channel
        self.transport: Any = None
        self.bytes = b""
        self.data: list[Any] = []
        self.eof = False
        self.lost = False
        self.error: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.channel is not None:
            transport.write(self.channel.start())

    def data_received(self, data: bytes) -> None:
        self.bytes += data
        if self.channel is not None:
            try:
                answer, texts = self.channel.receive(data)
            except ProtocolError as error:
                self.error = error
                self.transport.abort()
                return
            self.transport.write(answer)
            self.data += [loads(text) for text in texts]

    def eof_received(self) -> None:
        self.eof = True

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.error = self.error or error

    def say(self, *data: Any) -> None:
        """Sends data through the channel, in one write."""
        assert self.channel is not None
        self.transport.write(b"".join([self.channel.seal(dumps(datum)) for datum in data]))

    def say_text(self, text: bytes) -> None:
        assert self.channel is not None
        self.transport.write(self.channel.seal(text))


class World:
    """One carrier, the endpoints that a test opens on it, and a loop to run it in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tcp = name == "tcp"
        self.encryption = name != "memory, plain"
        self.unhandled: list[dict[str, Any]] = []
        self.endpoints: list[Endpoint] = []
        self.carrier: Any = None
        self.seed = 0

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop if self.tcp else VirtualLoop) as runner:
            runner.run(self._guarded(test))
        after = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        assert after == before, f"{after - before} descriptors were left open"

    async def _guarded(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.unhandled.append(context))
        self.carrier = self._carrier()
        self.carrier.attach()
        try:
            await test()
        finally:
            await asyncio.gather(*[endpoint.close() for endpoint in self.endpoints])
        assert not self.unhandled, self.unhandled
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for endpoint in self.endpoints:
            assert not endpoint._links
            assert not endpoint._dials

    def _carrier(self) -> Carrier:
        return TcpCarrier() if self.tcp else MemoryNetwork(random.Random(7))

    def key(self) -> StaticKey:
        self.seed += 1
        return StaticKey.from_seed(random.Random(self.seed).randbytes(32))

    def endpoint(self, **options: Any) -> Endpoint:
        """A new endpoint, not open yet."""
        identity = options.pop("identity", None) or self.key()
        endpoint = Endpoint(options.pop("carrier", self.carrier), identity, encryption=self.encryption, **options)
        self.endpoints.append(endpoint)
        return endpoint

    async def node(self, **options: Any) -> Endpoint:
        """A new endpoint that listens."""
        endpoint = self.endpoint(**options)
        await endpoint.open()
        return endpoint

    async def nodes(self, count: int, **options: Any) -> list[Endpoint]:
        return [await self.node(**options) for _ in range(count)]

    def channel(self, identity: StaticKey | None = None) -> Channel:
        """A client's end of a channel."""
        key = identity or self.key()
        return NoiseChannel(True, key, 0, "") if self.encryption else PlainChannel(True, key.uid, 0, "")

    def dial(self, endpoint: Endpoint, channel: Channel | None = None) -> Raw:
        """A connection to an endpoint, in which the test says what it likes."""
        raw = Raw(channel)
        self.carrier.dial(raw, endpoint.ip, endpoint.port, ("127.0.0.1", 0))
        return raw

    async def greeted(self, endpoint: Endpoint, identity: StaticKey | None = None) -> Raw:
        """The same, after an honest handshake."""
        key = identity or self.key()
        raw = self.dial(endpoint, channel := self.channel(key))
        await self.until(lambda: channel.established and any(link.uid == key.uid for link in endpoint._links))
        return raw

    def stop_reading(self, raw: Raw) -> None:
        """From now on the raw end takes nothing, though it may still speak."""
        if self.tcp:
            self.carrier.readiness.forget(raw.transport.get_extra_info("socket").fileno())
        else:
            raw.transport.held = True

    def filling(self, size: int, head: str = "set") -> Any:
        """A datum whose text has exactly `size` bytes."""
        datum = (Symbol(head), "x" * (size - len(dumps((Symbol(head), "")))))
        assert len(dumps(datum)) == size
        return datum

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        """Lets the loop run until something is so."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        turns = 0
        while not condition():
            assert loop.time() < limit, "it never came true"
            turns += 1
            await asyncio.sleep(0.002 if turns > 20 else 0)

    async def next(self, endpoint: Endpoint) -> Received | Lost:
        """The next datum that an endpoint receives, or its next loss of a link."""
        while isinstance(item := await endpoint.recv(), Opened):
            pass
        return item

    async def take(self, endpoint: Endpoint, count: int) -> list[Received]:
        """The next data that an endpoint receives, without losses of links."""
        found: list[Received] = []
        while len(found) < count:
            item = await asyncio.wait_for(endpoint.recv(), 20)
            if isinstance(item, Received):
                found.append(item)
        return found

    async def loss(self, endpoint: Endpoint) -> Any:
        """The link that an endpoint loses next."""
        while True:
            item = await asyncio.wait_for(endpoint.recv(), 20)
            if isinstance(item, Lost):
                return item.link

    async def settled(self, seconds: float = 0.02) -> None:
        """Lets everything happen that is on its way."""
        await asyncio.sleep(seconds)


@pytest.fixture(params=["tcp", "memory", "memory, plain"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture
def tcp() -> World:
    return World("tcp")


@pytest.fixture
def memory() -> World:
    return World("memory, plain")


@pytest.fixture
def jump() -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine on a loop whose clock jumps."""

    def run(coroutine: Any) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(coroutine)

    return run
