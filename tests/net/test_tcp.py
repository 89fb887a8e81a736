"""What only sockets have: descriptors that run out, kernels that queue, two families of addresses."""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import socket
from typing import Any

import pytest

from p2pnb.errors import PeerUnreachable
from p2pnb.net.tcp import Stream, TcpCarrier
from p2pnb.wire.sexp import Symbol

resource = pytest.importorskip("resource")

IAM, REF = Symbol("iam"), Symbol("ref")


async def exchange(world: Any, a: Any, b: Any) -> None:
    sent = a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
    await sent if inspect.isawaitable(sent) else None
    (item,) = await world.take(b, 1)
    b.send(item.ip, item.port, True, link=item.link)
    await world.take(a, 1)


def test_only_idle_links_make_room_and_the_oldest_first(tcp: Any) -> None:
    async def test() -> None:
        carrier = TcpCarrier(capacity=20)
        nodes = [await tcp.node(carrier=carrier) for _ in range(6)]
        assert carrier.places.capacity == 16, "at least"
        hub, others = nodes[0], nodes[1:]
        busy = await others[0].send(hub.ip, hub.port, (REF, 1), uid=hub.uid)
        await tcp.take(hub, 1)
        for each in others[1:]:
            await exchange(tcp, each, hub)
        await exchange(tcp, others[1], hub)  # used again: not the oldest any more
        for a in others[1:]:
            for b in others[1:]:
                if a is not b:
                    await exchange(tcp, a, b)
            assert len(carrier.places) <= carrier.places.capacity
        assert sum(node.counters["evicted"] for node in nodes) >= 1
        assert not any(node.counters["reset"] for node in nodes), "they ended in order"
        assert not busy.closed, "a request is unanswered on it"

    tcp.run(test)


def test_the_least_recently_used_goes_first(tcp: Any) -> None:
    async def test() -> None:
        carrier = TcpCarrier(capacity=17)
        hub = await tcp.node(carrier=carrier)
        raws = []
        for number in range(16):
            raw = await tcp.greeted(hub)
            raw.say((REF, number))
            (item,) = await tcp.take(hub, 1)
            hub.send(item.ip, item.port, True, link=item.link)
            await tcp.until(lambda raw=raw: raw.data)
            raws.append(raw)
        raws[0].say((REF, 99))
        (item,) = await tcp.take(hub, 1)
        hub.send(item.ip, item.port, True, link=item.link)
        raws.append(await tcp.greeted(hub))
        await tcp.until(lambda: raws[1].eof)
        assert [raw.eof for raw in raws].count(True) == 1
        assert hub.counters["evicted"] == 1
        for raw in raws:
            raw.transport.abort()

    tcp.run(test)


def test_strangers_displace_each_other_and_nobody_who_is_known(tcp: Any) -> None:
    async def test() -> None:
        hub = await tcp.node(carrier=TcpCarrier(capacity=33))
        known = [await tcp.greeted(hub) for _ in range(24)]
        silent = [tcp.dial(hub) for _ in range(40)]
        await tcp.until(lambda: [raw.lost for raw in silent] == [True] * 32 + [False] * 8)
        assert hub.counters["evicted"] == 32
        honest = await tcp.node()
        await exchange(tcp, honest, hub)
        assert not any(raw.eof or raw.lost for raw in known[1:])
        for raw in known + silent:
            raw.transport.abort()

    tcp.run(test)


def test_a_stranger_makes_room_when_nobody_is_idle(tcp: Any) -> None:
    async def test() -> None:
        hub = await tcp.node(carrier=TcpCarrier(capacity=17))
        busy = [await tcp.greeted(hub) for _ in range(14)]
        for raw in busy:
            raw.say((REF, 1))
        await tcp.take(hub, 14)
        silent = [tcp.dial(hub) for _ in range(2)]
        await tcp.until(lambda: len(hub._links) == 16)
        honest = await tcp.node()
        await exchange(tcp, honest, hub)
        assert dict(hub.counters) == {"evicted": 1}
        await tcp.until(lambda: [raw.lost for raw in silent] == [True, False])
        for raw in busy + silent:
            raw.transport.abort()

    tcp.run(test)


def test_running_out_of_descriptors(tcp: Any) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        a, b, c = await tcp.nodes(3)
        await exchange(tcp, a, b)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = socket.socket()
        held: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, limits[1]))
            while True:
                try:
                    held.append(os.dup(0))
                except OSError:
                    break
            a.carrier.places.leave(a.links[0])  # so that nothing can be closed for it
            a.carrier.places.leave(b.links[0])
            with pytest.raises(PeerUnreachable) as error:
                await a.send(c.ip, c.port, (IAM, 1), uid=c.uid)
            assert error.value.reason == "unreachable"
            assert os.strerror(errno.EMFILE) in str(error.value)
            waiting.setblocking(False)
            waiting.connect_ex((b.ip, b.port))
            turns = 0

            def turn() -> None:
                nonlocal turns
                turns += 1

            for _ in range(50):
                loop.call_soon(turn)
                await asyncio.sleep(0.002)
            assert len(b._links) == 1, "accepting waits for better times"
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await tcp.until(lambda: len(b._links) == 2)
        waiting.close()
        await exchange(tcp, c, b)
        await exchange(tcp, a, c)

    tcp.run(test)


def test_a_dial_that_hangs_in_the_kernel_ends_in_time(tcp: Any) -> None:
    """A full queue of connections drops SYNs, as a firewall does."""

    async def test() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            a = await tcp.node(handshake_timeout=0.6, stall_timeout=0.3)
            with pytest.raises(PeerUnreachable) as error:
                await a.send(*listener.getsockname(), (IAM, 1))
            assert error.value.reason == "timeout"
            assert "firewall" in str(error.value)
            assert dict(a.counters) == {"timeout": 1}
            for filler in fillers:
                filler.close()

    tcp.run(test)


def test_ipv6(tcp: Any) -> None:
    async def test() -> None:
        try:
            a, b = await tcp.nodes(2, ip="::1")
        except OSError as error:
            pytest.skip(f"no IPv6 on this machine: {error}")
        await exchange(tcp, a, b)
        assert b.links[0].ip == "::1"
        with pytest.raises(PeerUnreachable, match=r"\[::1\]:"):
            await a.send("::1", 1, (IAM, 1))

    tcp.run(test)


def test_addresses_that_are_not_ours_cannot_be_opened(tcp: Any) -> None:
    async def test() -> None:
        with pytest.raises(OSError, match=r"192\.0\.2\.1 is not an address of this machine"):
            await tcp.node(ip="192.0.2.1")

    tcp.run(test)


def test_one_carrier_a_loop() -> None:
    async def test() -> TcpCarrier:
        carrier = TcpCarrier.shared()
        assert TcpCarrier.shared() is carrier
        return carrier

    assert asyncio.run(test()) is not asyncio.run(test())


def test_the_limit_of_descriptors_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        carrier = TcpCarrier()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
        assert 0 < carrier.places.capacity < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_port_whose_connections_are_being_forgotten_can_be_opened_again(tcp: Any) -> None:
    async def test() -> None:
        a, b = await tcp.nodes(2)
        await exchange(tcp, a, b)
        port = b.port
        await b.close()  # it finished first: the kernel remembers the connection for a minute
        again = await tcp.node(port=port)
        await exchange(tcp, a, again)

    tcp.run(test)


class Scripted:
    """A socket whose `send` does what the test says, first; everything else is the real one's."""

    def __init__(self, sock: socket.socket, script: list[Any]) -> None:
        self._real = sock
        self._script = script

    def send(self, data: Any) -> int:
        step = self._script.pop(0) if self._script else len(data)
        if isinstance(step, Exception):
            raise step
        return self._real.send(data[:step])

    def getsockopt(self, *what: int) -> int:
        return self._script.pop(0) if what == (socket.SOL_SOCKET, socket.SO_ERROR) else self._real.getsockopt(*what)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Noting(asyncio.Protocol):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append(error.errno if isinstance(error, OSError) else error)


@pytest.mark.parametrize(
    ("script", "calls", "arrived"),
    [
        ([], [], b"onetwothree"),
        ([BlockingIOError(), 2, BlockingIOError(), 1], ["pause", "resume"], b"onetwothree"),
        ([OSError(errno.ENOTCONN, ""), 0], ["pause", "resume"], b"onetwothree"),  # so some systems say "still connecting"
        ([OSError(errno.ENOTCONN, ""), errno.ECONNREFUSED], [errno.ECONNREFUSED], b""),
        ([2, BrokenPipeError(errno.EPIPE, "")], ["pause", errno.EPIPE], b"on"),
    ],
)
def test_what_the_kernel_does_not_take_at_once_is_kept(tcp: Any, script: list[Any], calls: list[Any], arrived: bytes) -> None:
    async def test() -> None:
        here, there = socket.socketpair()
        for sock in (here, there):
            sock.setblocking(False)
        noting = Noting()
        stream = Stream(tcp.carrier, Scripted(here, script), noting)  # type: ignore[arg-type]
        stream.start()
        for word in (b"one", b"two", b"three"):
            stream.write(word)
        await tcp.settled()
        assert stream.get_write_buffer_size() == 0
        assert (there.recv(100) if arrived else b"") == arrived
        assert noting.calls == calls
        assert (stream.get_extra_info("peername") is None) == stream.is_closing()
        stream.abort()
        stream.abort()
        stream.close()
        stream.write(b"more")
        await tcp.settled()
        assert len(noting.calls) == len(calls) + (0 if calls and isinstance(calls[-1], int) else 1)
        there.close()

    tcp.run(test)


def test_a_mistake_of_ours_ends_one_connection_and_is_reported(tcp: Any) -> None:
    class Broken(Noting):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    async def test() -> None:
        made: list[Broken] = []
        listener = tcp.carrier.listen(lambda ip, port: made.append(Broken()) or made[-1], "127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", listener.port)) as sock:
            sock.sendall(b"x")
            await tcp.until(lambda: made and made[0].calls)
        listener.close()
        assert [type(context["exception"]) for context in tcp.unhandled] == [ZeroDivisionError]
        tcp.unhandled.clear()

    tcp.run(test)
