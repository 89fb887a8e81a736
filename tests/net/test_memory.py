"""The memory network's wires: latency, loss, cuts, determinism. All on a clock that jumps."""

from __future__ import annotations

import asyncio
import inspect
import math
import random
from typing import Any

import pytest

from p2pnb.errors import PeerUnreachable
from p2pnb.net.memory import Condition, MemoryNetwork
from p2pnb.wire.sexp import Symbol

IAM, REF = Symbol("iam"), Symbol("ref")


def now() -> float:
    return asyncio.get_running_loop().time()


async def pair(world: Any, network: MemoryNetwork) -> tuple[Any, Any]:
    return await world.node(carrier=network), await world.node(carrier=network)


async def ask(world: Any, a: Any, b: Any) -> float:
    """Seconds that one message and its reply take on an open link."""
    begun = now()
    a.send(b.ip, b.port, (REF, 1), uid=b.uid)
    (item,) = await world.take(b, 1)
    b.send(item.ip, item.port, True, link=item.link)
    await world.take(a, 1)
    return now() - begun


async def link(world: Any, a: Any, b: Any) -> float:
    """Seconds until a first message has been answered."""
    begun = now()
    await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
    (item,) = await world.take(b, 1)
    b.send(item.ip, item.port, True, link=item.link)
    await world.take(a, 1)
    return now() - begun


def test_latency_is_one_way(memory: Any) -> None:
    async def test() -> None:
        a, b = await pair(memory, MemoryNetwork(random.Random(1), latency=0.1))
        assert await link(memory, a, b) == pytest.approx(0.6), "connection, greeting, message: a round trip each"
        assert await ask(memory, a, b) == pytest.approx(0.2)
        a.carrier.condition((a.ip, a.port), (b.ip, b.port), latency=0.3)
        assert await ask(memory, a, b) == pytest.approx(0.6)

    memory.run(test)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_written_before_the_other_end_took_the_connection_leaves_when_we_hear_of_it(memory: Any, at_once: bool) -> None:
    begun, transports = 0.0, list[Any]()

    class Reader(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard: list[tuple[bytes, float]] = []

        def connection_made(self, transport: Any) -> None:
            transports.append(transport)

        def data_received(self, data: bytes) -> None:
            self.heard.append((data, round(now() - begun, 9)))

    async def test() -> None:
        nonlocal begun
        begun = now()
        network, reader, writer = MemoryNetwork(random.Random(1), latency=0.1), Reader(), Reader()
        network.attach()
        network.listen(lambda _ip, _port: reader, "127.0.0.1", 5)
        network.dial(writer, "127.0.0.1", 5, ("127.0.0.1", 6))
        if at_once:
            transports[0].write(b"a")
        for moment, data in ((0.15, b"b"), (0.25, b"c")):
            await asyncio.sleep(begun + moment - now())
            transports[0].write(data)
        await asyncio.sleep(1.0)
        assert reader.heard == [*([(b"a", 0.3)] if at_once else []), (b"b", 0.3), (b"c", 0.35)]

    memory.run(test)


def test_latency_may_be_drawn_and_keeps_order(memory: Any) -> None:
    async def test() -> None:
        for seed in range(20):
            network = MemoryNetwork(random.Random(seed), latency=lambda rng: rng.uniform(0.0, 1.0))
            a, b = await pair(memory, network)
            await link(memory, a, b)
            for number in range(16):
                a.send(b.ip, b.port, (REF, number), uid=b.uid)
            assert [item.payload[1] for item in await memory.take(b, 16)] == list(range(16)), f"seed {seed}"

    memory.run(test)


def test_loss_costs_time_and_nothing_else(memory: Any) -> None:
    async def test() -> None:
        seconds = []
        for seed in range(40):
            a, b = await pair(memory, MemoryNetwork(random.Random(seed), latency=0.01, loss=0.3))
            try:
                await link(memory, a, b)
                seconds.append(await ask(memory, a, b))
            except PeerUnreachable:
                seconds.append(5.0)
        assert min(seconds) == pytest.approx(0.02)
        assert 0.1 < sum(seconds) / len(seconds) < 2.0
        assert max(seconds) > 0.2

    memory.run(test)


def test_with_everything_lost_nothing_ever_arrives(memory: Any) -> None:
    async def test() -> None:
        a, b = await pair(memory, MemoryNetwork(random.Random(1), loss=1.0))
        begun = now()
        with pytest.raises(PeerUnreachable) as error:
            await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        assert error.value.reason == "timeout"
        assert 4.5 <= now() - begun <= 5.0
        assert not b.counters
        assert not a.carrier.stuck, "nobody keeps what nobody waits for"

    memory.run(test)


def test_a_cut_cable_holds_everything_back(memory: Any) -> None:
    async def test() -> None:
        network = MemoryNetwork(random.Random(1), latency=0.01)
        a, b = await pair(memory, network)
        c = await memory.node(carrier=network)
        await link(memory, a, b)
        where = (a.ip, a.port), (b.ip, b.port)
        a.send(b.ip, b.port, (REF, 0), uid=b.uid)  # on its way when the cable is cut
        network.condition(*where, blocked=True)
        a.send(b.ip, b.port, (REF, 1), uid=b.uid)
        await asyncio.sleep(100)
        assert not b.inbox
        assert await link(memory, a, c) < 0.1
        network.condition(*where, blocked=False)
        assert [item.payload[1] for item in await memory.take(b, 2)] == [0, 1]
        network.condition(*where, loss=1.0)
        a.send(b.ip, b.port, (REF, 2), uid=b.uid)
        await asyncio.sleep(100)
        assert not b.inbox
        network.condition(*where, loss=0.0)
        assert (await memory.take(b, 1))[0].payload[1] == 2

    memory.run(test)


def test_a_dial_through_a_cut_cable_succeeds_if_it_is_mended_in_time(memory: Any) -> None:
    async def test() -> None:
        network = MemoryNetwork(random.Random(1))
        a, b = await pair(memory, network)
        network.condition((b.ip, b.port), (a.ip, a.port), blocked=True)
        sending = asyncio.ensure_future(a.send(b.ip, b.port, (IAM, 1), uid=b.uid))
        await asyncio.sleep(2)
        assert not sending.done()
        network.condition((a.ip, a.port), (b.ip, b.port), blocked=False)
        assert (await sending).uid == b.uid

    memory.run(test)


def test_a_cable_may_be_cut_in_one_direction_only(memory: Any) -> None:
    """What one end says does not arrive, and what the other end says does; no connection can begin from either side."""

    async def test() -> None:
        network = MemoryNetwork(random.Random(1), latency=0.01)
        a, b = await pair(memory, network)
        c = await memory.node(carrier=network)
        await link(memory, a, b)
        deaf = network.everywhere
        network.rule(lambda source, _: Condition(0.01, 0.0, blocked=True) if source == (a.ip, a.port) else deaf)
        a.send(b.ip, b.port, (REF, 0), uid=b.uid)
        b.send(a.ip, a.port, (REF, 1), uid=a.uid)
        assert [item.payload[1] for item in await memory.take(a, 1)] == [1]
        await asyncio.sleep(100)
        assert not b.inbox
        for dialling, dialled in ((a, c), (c, a)):
            with pytest.raises(PeerUnreachable) as error:
                await dialling.send(dialled.ip, dialled.port, (IAM, 1), uid=dialled.uid)
            assert error.value.reason == "timeout"
        assert not c.counters["reset"], "a greeting that was not answered is no connection"
        network.rule(None)
        assert [item.payload[1] for item in await memory.take(b, 1)] == [0]
        assert await link(memory, a, c) < 0.1

    memory.run(test)


def test_a_wire_that_is_cut_keeps_nothing_once_both_ends_are_gone(memory: Any) -> None:
    """Also what was just about to be delivered when the last one left."""

    async def test() -> None:
        network = MemoryNetwork(random.Random(1), latency=1.0)
        a, b = await pair(memory, network)
        await link(memory, a, b)
        a.send(b.ip, b.port, (REF, 0), uid=b.uid)
        network.condition((a.ip, a.port), (b.ip, b.port), blocked=True)
        a.kill()
        b.kill()
        await asyncio.sleep(10)
        assert not network.stuck

    memory.run(test)


def test_a_slow_reader_takes_so_many_bytes_a_second(memory: Any) -> None:
    async def test() -> None:
        network = MemoryNetwork(random.Random(1))
        a, b = await pair(memory, network)
        await link(memory, a, b)
        network.rule(lambda _, destination: Condition(0.0, 0.0, rate=1_000.0 if destination == (b.ip, b.port) else math.inf))
        begun = now()
        for _ in range(10):
            a.send(b.ip, b.port, (REF, 10**70), uid=b.uid)  # 84 bytes with everything around it
        await memory.take(b, 10)
        assert now() - begun == pytest.approx(0.84, abs=0.05)
        begun = now()
        b.send(a.ip, a.port, (REF, 1), uid=a.uid)
        await memory.take(a, 1)
        assert now() == begun

    memory.run(test)


def test_a_client_has_a_wire_of_its_own(memory: Any) -> None:
    async def test() -> None:
        network = MemoryNetwork(random.Random(1))
        b = await memory.node(carrier=network)
        client = memory.endpoint(carrier=network, listen=False)
        await client.open()
        assert await link(memory, client, b) == 0.0

    memory.run(test)


def test_ports_are_told_apart(memory: Any) -> None:
    async def test() -> None:
        network = MemoryNetwork(random.Random(1))
        a = await memory.node(carrier=network, ip="10.0.0.1", port=9_000)
        b = await memory.node(carrier=network, ip="10.0.0.2", port=9_000)
        await link(memory, a, b)
        assert b.links[0].ip == "10.0.0.1"
        with pytest.raises(OSError, match=r"port 9000 on 10\.0\.0\.2 is in use"):
            await memory.node(carrier=network, ip="10.0.0.2", port=9_000)
        await b.close()
        await memory.node(carrier=network, ip="10.0.0.2", port=9_000)

    memory.run(test)


def test_the_same_seed_gives_the_same_run(jump: Any) -> None:
    def run(seed: int) -> list[tuple[float, int, Any]]:
        world_log: list[tuple[float, int, Any]] = []

        async def node(endpoint: Any, index: int) -> None:
            while True:
                item = await endpoint.recv()
                world_log.append((now(), index, getattr(item, "payload", type(item).__name__)))
                if isinstance(getattr(item, "payload", None), tuple):
                    endpoint.send(item.ip, item.port, True, link=item.link)

        async def test() -> None:
            from p2pnb.net.endpoint import Endpoint

            rng = random.Random(seed)
            network = MemoryNetwork(rng, latency=lambda rng: rng.expovariate(20), loss=0.05)
            nodes = [Endpoint(network, number + 1, encryption=False) for number in range(8)]
            for endpoint in nodes:
                await endpoint.open()
            tasks = [asyncio.ensure_future(node(endpoint, index)) for index, endpoint in enumerate(nodes)]
            for _ in range(150):
                a, b = rng.sample(nodes, 2)
                sent = a.send(b.ip, b.port, (REF, rng.randrange(1000)), uid=b.uid)
                if inspect.isawaitable(sent):
                    tasks.append(asyncio.ensure_future(sent))
                await asyncio.sleep(rng.random() / 5)
                if rng.random() < 0.02 and not nodes[-1].closed:
                    nodes[-1].kill()
                    nodes.pop()
            await asyncio.gather(*[endpoint.close() for endpoint in nodes])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        jump(test())
        return world_log

    for seed in range(3):
        first = run(seed)
        assert len(first) > 100
        assert first == run(seed), f"seed {seed}"
    assert run(1) != run(2)
