"""What a link costs beyond what it cannot do without: the handshake's arithmetic, a bare echo, the reading of a message.

Everything runs in one process and on one loop, both ends together, over TCP on loopback. Ratios are to something measured in
the same run; absolute figures are only reported. Times are the process's own (a busy machine changes the ratios little).
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Coroutine
from time import process_time
from typing import Any

from p2pnb import spec
from p2pnb.net.contract import Received
from p2pnb.net.endpoint import Endpoint
from p2pnb.net.tcp import TcpCarrier
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol, dumps, loads, written

IAM, REF, VALUE = Symbol("iam"), Symbol("ref"), Symbol("value")


async def nodes(count: int) -> list[Endpoint]:
    carrier = TcpCarrier.shared()
    endpoints = [Endpoint(carrier, StaticKey.generate()) for _ in range(count)]
    for endpoint in endpoints:
        await endpoint.open()
    return endpoints


async def close(endpoints: list[Endpoint]) -> None:
    await asyncio.gather(*[endpoint.close() for endpoint in endpoints])


async def first_message(a: Endpoint, b: Endpoint) -> None:
    """Connects, shakes hands, asks, and is answered."""
    sent = a.send(b.ip, b.port, (IAM, a.uid), uid=b.uid)
    await sent if asyncio.iscoroutine(sent) else None
    await answer(b)
    await heard(a)


async def heard(b: Endpoint) -> Received:
    """The next datum."""
    while not isinstance(item := await b.recv(), Received):
        pass
    return item


async def answer(b: Endpoint) -> None:
    item = await heard(b)
    b.send(item.ip, item.port, True, link=item.link)


def meet() -> None:
    """The handshake alone, without a network."""
    dialler, listener = NoiseChannel(True, KEYS[0], 9000, ""), NoiseChannel(False, KEYS[1], 9001, "")
    listener.receive(dialler.receive(listener.receive(dialler.start())[0])[0])


KEYS = StaticKey.from_seed(b"d" * 32), StaticKey.from_seed(b"l" * 32)


def best(call: Callable[[], Any], rounds: int, times: int) -> float:
    """Seconds of one call, in the quickest of some batches."""
    figures = []
    for _ in range(rounds):
        start = process_time()
        for _ in range(times):
            call()
        figures.append((process_time() - start) / times)
    return min(figures)


def measured(benchmark: Any, test: Callable[[], Coroutine[Any, Any, dict[str, float]]]) -> dict[str, float]:
    """Runs a coroutine function once on a loop of its own; the figures that it returns are reported."""
    figures: dict[str, float] = {}
    benchmark.pedantic(lambda: figures.update(asyncio.run(test())), rounds=1, iterations=1)
    benchmark.extra_info.update({name: round(figure, 3) for name, figure in figures.items()})
    return figures


def test_connections_a_second(benchmark: Any) -> None:
    async def test() -> dict[str, float]:
        each = []
        for _ in range(5):
            endpoints = await nodes(25)
            pairs = [(a, b) for number, a in enumerate(endpoints) for b in endpoints[:number]]
            start = process_time()
            for a, b in pairs:
                await first_message(a, b)
            each.append((process_time() - start) / len(pairs))
            await close(endpoints)
        return {"connections a second": 1 / min(each), "to a handshake without network": min(each) / best(meet, 20, 10)}

    assert measured(benchmark, test)["to a handshake without network"] < 2.5


def test_connections_a_second_all_at_once(benchmark: Any) -> None:
    """As in a launch: many dials under way at the same time."""

    async def test() -> dict[str, float]:
        endpoints = await nodes(40)
        pairs = [(a, b) for number, a in enumerate(endpoints) for b in endpoints[:number]]
        answering = [asyncio.ensure_future(_answer_always(endpoint)) for endpoint in endpoints]
        start = process_time()
        await asyncio.gather(*[a.send(b.ip, b.port, (IAM, a.uid), uid=b.uid) for a, b in pairs])
        each = (process_time() - start) / len(pairs)
        for task in answering:
            task.cancel()
        await close(endpoints)
        return {"connections a second": 1 / each, "to a handshake without network": each / best(meet, 20, 10)}

    assert measured(benchmark, test)["to a handshake without network"] < 3


async def _answer_always(endpoint: Endpoint) -> None:
    while True:
        item = await endpoint.recv()
        if isinstance(getattr(item, "payload", None), tuple):
            endpoint.send(item.ip, item.port, True, link=item.link)


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class _Asker(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.answered.set_result(None)
        self.answered = asyncio.get_running_loop().create_future()


async def bare_round_trip(times: int) -> float:
    """Seconds of a round trip through asyncio's own transports: no messages, no encryption."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Echo, "127.0.0.1", 0)
    transport, asker = await loop.create_connection(_Asker, *server.sockets[0].getsockname())
    start = process_time()
    for _ in range(times):
        answered = asker.answered
        transport.write(b"x" * 100)
        await answered
    seconds = (process_time() - start) / times
    transport.close()
    server.close()
    await server.wait_closed()
    return seconds


def test_round_trips_a_second(benchmark: Any) -> None:
    async def test() -> dict[str, float]:
        a, b = await nodes(2)
        await first_message(a, b)
        answering = asyncio.ensure_future(_answer_always(b))
        request = (REF, 2**255 + 12_345)
        one, pipelined, bare = [], [], []
        for _ in range(10):
            bare.append(await bare_round_trip(500))
            start = process_time()
            for _ in range(500):
                a.send(b.ip, b.port, request, uid=b.uid)
                await heard(a)
            one.append((process_time() - start) / 500)
            start = process_time()
            for _ in range(50):
                for _ in range(16):
                    a.send(b.ip, b.port, request, uid=b.uid)
                for _ in range(16):
                    await heard(a)
            pipelined.append((process_time() - start) / 800)
        answering.cancel()
        await close([a, b])
        return {
            "round trips a second": 1 / min(one),
            "pipelined, a second": 1 / min(pipelined),
            "to a bare echo": min(one) / min(bare),
        }

    assert measured(benchmark, test)["to a bare echo"] < 6


def test_bytes_kept_for_a_link(benchmark: Any) -> None:
    async def test() -> dict[str, float]:
        endpoints = await nodes(30)
        pairs = [(a, b) for number, a in enumerate(endpoints) for b in endpoints[:number]]
        for a, b in pairs[:40]:
            await first_message(a, b)
        gc.collect()
        tracemalloc.start()
        for a, b in pairs[40:]:
            await first_message(a, b)
        await asyncio.sleep(spec.HANDSHAKE_TIMEOUT + 0.5)  # until the sweep has seen them all
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] / len(pairs[40:])
        tracemalloc.stop()
        await close(endpoints)
        return {"bytes a pair of ends": kept}

    assert measured(benchmark, test)["bytes a pair of ends"] < 6_000


def test_the_longest_wait_while_five_large_values_arrive(benchmark: Any) -> None:
    """Each replica of a value that fills its message is written and read in a turn of its own."""
    value = (VALUE, bytes([200]) * spec.MAX_VALUE)

    async def test() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        a, *others = await nodes(6)
        for b in others:
            await first_message(a, b)
        large = written((Symbol("set"), value[1]))
        text = dumps(large)
        running = True
        longest, last = 0.0, process_time()

        def tick() -> None:
            nonlocal longest, last
            now = process_time()
            longest, last = max(longest, now - last), now
            if running:
                loop.call_soon(tick)

        waits = []
        for _ in range(10):
            longest, last = 0.0, process_time()
            loop.call_soon(tick)
            for b in others:
                a.send(b.ip, b.port, large, uid=b.uid)
            await asyncio.gather(*[answer(b) for b in others])
            for _ in others:
                await heard(a)
            running = False
            await asyncio.sleep(0.01)
            running = True
            waits.append(longest)
        await close([a, *others])
        reading = best(lambda: loads(text), 10, 2)
        return {"longest wait, ms": min(waits) * 1e3, "to reading one": min(waits) / reading}

    assert measured(benchmark, test)["to reading one"] < 4
