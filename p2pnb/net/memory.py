"""Memory: connections inside one process, with the latency, the losses and the cut cables that are asked for.

The same bytes as on a socket go through the same links; only the wire is pretended. Each direction of a connection is a `Pipe`,
which has the virtues of TCP and its vices:

- what is written arrives in order, `latency` seconds later (a number, or drawn anew for each chunk);
- each chunk is lost with probability `loss` and sent again after 0.2 s, 0.4 s, 0.8 s...; what was written after it waits behind it.
  A lost greeting (SYN) is repeated after 1 s, 2 s, 4 s...; with `loss=1` nothing ever arrives, and dials end by their timeout;
- on a wire that is `blocked` nothing moves, nobody is told, and all of it arrives once it no longer is;
- a reader that stopped, or that takes only `rate` bytes a second, makes its writer's buffer grow, beyond what the wire itself holds.

Each direction has conditions of its own, so a cable may be cut in one of them only. A connection needs both to begin.

All of it happens by `call_soon`, `call_later` and `call_at` of the loop, in an order that only the random generator decides:
on a loop whose time jumps, the same seed gives the same run.
"""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable, Hashable
from typing import Any

from p2pnb.net.carrier import Address, Carrier, Listener
from p2pnb.net.moments import Moments
from p2pnb.wire.parcel import Parcel

WINDOW = 262_144  # bytes that a pipe holds before its writer has to keep them
REPEAT = 0.2  # seconds until a lost chunk is sent again, then doubling
REPEAT_DIAL = 1.0
FAREWELL = 1.0  # seconds that the other end is heard out after we have finished
REPEAT_AT_MOST = 60.0

Latency = float | Callable[[random.Random], float]
Pair = tuple[Address, Address]


NEVER = float("inf")

OPEN, FINISHING, GONE = range(3)


class Condition:
    """How a wire is, in one direction. `rate`: how many bytes a second its reader takes; infinite where it takes all.

    Whoever changes one calls `settle`. `steady` is what everything takes on this wire, None where that depends.
    """

    __slots__ = ("blocked", "latency", "loss", "rate", "steady")

    def __init__(self, latency: Latency, loss: float, blocked: bool = False, rate: float = NEVER) -> None:
        self.latency = latency
        self.loss = loss
        self.blocked = blocked
        self.rate = rate
        self.settle()

    def settle(self) -> None:
        self.steady = None if callable(self.latency) or self.loss or self.blocked or self.rate != NEVER else self.latency


class Pipe:
    """One direction of a connection, from the one node of `pair` to the other. None on it ends the stream, an exception resets it."""

    __slots__ = ("_busy", "_network", "_on_wire", "_pair", "_paused", "_queue", "connected", "held", "reader", "writer")

    def __init__(self, network: MemoryNetwork, pair: Pair, connected: bool) -> None:
        self._network = network
        self._pair = pair
        self._queue: list[tuple[float, bytes | Parcel | Exception | None, int]] = []  # when it arrives, what, and its bytes
        self._on_wire = 0  # bytes
        self._busy = False  # whether a delivery is scheduled
        self._paused = False  # whether the writer was told to wait
        self.connected = connected
        self.held = False  # while the reader is frozen
        self.reader: MemoryTransport | None = None
        self.writer: MemoryTransport | None = None

    @property
    def waiting(self) -> int:
        """Bytes that the writer has to keep."""
        return max(self._on_wire - WINDOW, 0)

    def put(self, what: bytes | Parcel | Exception | None) -> None:
        size = 0 if what is None or isinstance(what, Exception) else len(what)
        self._queue.append((self._arrival(size) if self.connected else NEVER, what, size))
        self._on_wire += size
        if self._on_wire > WINDOW and not self._paused and self.writer is not None:
            self._paused = True
            self.writer.protocol.pause_writing()
        if not self._busy and self.connected:
            self.run()

    def _arrival(self, size: int) -> float:
        """When something of `size` bytes that is written now arrives: never before what was written earlier."""
        network = self._network
        wire = network.everywhere if network.even else network.wire(self._pair)
        arrives = network.now() + (network.delay(wire, REPEAT) if wire.steady is None else wire.steady)
        if self._queue and self._queue[-1][0] > arrives:
            arrives = self._queue[-1][0]
        return arrives + size / wire.rate

    def run(self) -> None:
        """Schedules the next delivery, unless one is, or nothing can move."""
        if self._busy or self.held or not self._queue or not self.connected:
            return
        arrives, network = self._queue[0][0], self._network
        if arrives == NEVER or (not network.even and network.wire(self._pair).blocked):
            network.stuck[self] = None
            return
        self._busy = True
        network.at(arrives, self._deliver)

    def retry(self) -> None:
        """Something changed: what was lost for good is sent once more."""
        waiting, self._queue = self._queue, []
        for arrives, what, size in waiting:
            self._queue.append((self._arrival(size) if arrives == NEVER else arrives, what, size))
        self.run()

    def clear(self) -> None:
        """Nobody is left at either end: what is on the wire goes nowhere."""
        self._queue.clear()

    def _deliver(self) -> None:
        self._busy = False
        if not self._queue or self.held or (not self._network.even and self._network.wire(self._pair).blocked):
            self.run()
            return
        _, what, size = self._queue.pop(0)
        self._on_wire -= size
        if self._queue:
            self.run()
        if self._paused and self._on_wire <= WINDOW and self.writer is not None:
            self._paused = False
            if not self.writer.is_closing():
                self.writer.protocol.resume_writing()
        if (reader := self.reader) is not None:
            reader.hear(what)


class MemoryTransport:
    """One end of a connection."""

    __slots__ = ("_frozen", "_network", "_state", "inward", "local", "outward", "protocol", "remote")

    def __init__(
        self, network: MemoryNetwork, protocol: asyncio.Protocol, inward: Pipe, outward: Pipe, local: Address, remote: Address
    ) -> None:
        self._network = network
        self.inward, self.outward = inward, outward
        self._state = OPEN
        self._frozen = False
        self.protocol = protocol
        self.local, self.remote = local, remote
        inward.reader = outward.writer = self

    def write(self, data: bytes) -> None:
        if self._state == OPEN and not self._frozen:
            self.outward.put(data)

    def close(self) -> None:
        if self._state == OPEN:
            self._state = FINISHING
            self.outward.put(None)
            self._network.sweep.at(self._network.loop.time() + FAREWELL, self)

    def check(self, now: float) -> None:  # noqa: ARG002 (its time has come)
        """The sweep's call: the other end was heard out for long enough."""
        self._drop(None)

    def abort(self) -> None:
        if self._state != GONE:
            self.outward.put(ConnectionResetError(errno.ECONNRESET, "connection reset"))
            self._drop(None)

    def connected(self) -> None:
        """The other end took the connection: what was written meanwhile leaves."""
        self.outward.connected = True
        self.outward.retry()

    def refuse(self, error: OSError) -> None:
        """The connection cannot be had."""
        self._drop(error)

    def take_turns(self, who: Hashable) -> None:
        """What arrives here is memory already, and comes in chunks: each is heard in its order."""

    def freeze(self) -> None:
        self._frozen = True
        self.inward.held = True

    def hear(self, what: bytes | Parcel | Exception | None) -> None:
        """Something arrived."""
        if self._state == OPEN and what is not None and not isinstance(what, Exception):
            try:
                self.protocol.data_received(what)  # type: ignore[arg-type]  # a link takes parcels too
            except BaseException:
                self.abort()
                raise
        elif self._state == GONE:
            if what is not None and not isinstance(what, Exception):  # nobody is there to take it
                self.outward.put(ConnectionResetError(errno.ECONNRESET, "connection reset"))
        elif isinstance(what, Exception):
            self._drop(what)
        elif self._state == FINISHING:
            if what is None:
                self._drop(None)
        else:
            try:
                self.protocol.eof_received()
            except BaseException:
                self.abort()
                raise
            self.outward.put(None)
            self._drop(None)

    def _drop(self, error: Exception | None) -> None:
        if self._state != GONE:
            self._state = GONE
            self.inward.held = self._frozen = False
            self.inward.run()
            if self.inward.writer is None or self.inward.writer.is_gone():
                self._network.forget(self.inward, self.outward)
            self._network.loop.call_soon(self.protocol.connection_lost, error)

    def is_gone(self) -> bool:
        return self._state == GONE

    def is_closing(self) -> bool:
        return self._state != OPEN

    def get_write_buffer_size(self) -> int:
        return self.outward.waiting

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": self.local, "peername": self.remote}.get(name, default)


class MemoryListener:
    """An open port of a `MemoryNetwork`."""

    __slots__ = ("_network", "factory", "frozen", "ip", "port")

    def __init__(self, network: MemoryNetwork, factory: Callable[[str, int], asyncio.Protocol], ip: str, port: int) -> None:
        self._network = network
        self.factory = factory
        self.ip, self.port = ip, port
        self.frozen = False

    def freeze(self) -> None:
        self.frozen = True

    def close(self) -> None:
        if self._network.listeners.get((self.ip, self.port)) is self:
            del self._network.listeners[self.ip, self.port]


class MemoryNetwork(Carrier):
    """A network inside one event loop. `latency` is one way, in seconds, or `latency(rng)`; `loss` a probability a chunk."""

    def __init__(self, rng: random.Random, latency: Latency = 0.0, loss: float = 0.0) -> None:
        super().__init__()
        self.rng = rng
        self.listeners: dict[Address, MemoryListener] = {}
        self.stuck: dict[Pipe, None] = {}  # pipes that wait for better conditions
        self.everywhere = Condition(latency, loss)
        self.even = True  # whether all wires are as `everywhere` says
        self._between: dict[Pair, Condition] = {}
        self._rule: Callable[[Address, Address], Condition] | None = None
        self._next_port = 1024

    def attach(self) -> None:
        super().attach()
        self.now, self.at = self.loop.time, Moments(self.loop).at

    def condition(
        self, a: Address, b: Address, *, latency: Latency | None = None, loss: float | None = None, blocked: bool | None = None
    ) -> None:
        """Changes the wire between the nodes that listen at `a` and `b`, both ways, from now on; None leaves a thing as it is."""
        self.even = False
        for pair in ((a, b), (b, a)):
            now = self.wire(pair)
            self._between[pair] = Condition(
                now.latency if latency is None else latency,
                now.loss if loss is None else loss,
                now.blocked if blocked is None else blocked,
                now.rate,
            )
        self._changed()

    def rule(self, conditions: Callable[[Address, Address], Condition] | None) -> None:
        """From now on `conditions(source, destination)` says how each wire is; None: all are as at first. Undoes every `condition`.

        It is asked once for each pair of addresses: whoever changes his mind calls this again.
        """
        self._rule = conditions
        self.even = conditions is None
        self._between.clear()
        self._changed()

    def _changed(self) -> None:
        stuck, self.stuck = self.stuck, {}
        for pipe in stuck:
            pipe.retry()

    def forget(self, *pipes: Pipe) -> None:
        """Nobody is left at either end of these."""
        for pipe in pipes:
            pipe.clear()
            self.stuck.pop(pipe, None)

    def wire(self, pair: Pair) -> Condition:
        """How the wire from the one to the other node of `pair` is now."""
        if self._rule is None:
            return self._between.get(pair, self.everywhere)
        found = self._between.get(pair)
        if found is None:
            found = self._between[pair] = self._rule(*pair)
        return found

    def delay(self, wire: Condition, repeat: float) -> float:
        """Seconds that something takes now, with all its repetitions; infinite if it is always lost."""
        seconds = wire.latency(self.rng) if callable(wire.latency) else wire.latency
        if not wire.loss:
            return seconds
        if wire.loss >= 1.0:
            return NEVER
        while wire.loss and self.rng.random() < wire.loss:
            seconds += repeat
            repeat = min(2 * repeat, REPEAT_AT_MOST)
        return seconds

    def listen(self, factory: Callable[[str, int], asyncio.Protocol], ip: str, port: int) -> Listener:
        if port == 0:
            port = self._free_port(ip)
        elif (ip, port) in self.listeners:
            raise OSError(errno.EADDRINUSE, "address in use")
        listener = self.listeners[ip, port] = MemoryListener(self, factory, ip, port)
        return listener

    def dial(self, protocol: asyncio.Protocol, ip: str, port: int, source: Address) -> None:
        local = (source[0], self._free_port(source[0]))
        pair = (source if source[1] else local, (ip, port))
        outward, inward = Pipe(self, pair, connected=False), Pipe(self, (pair[1], pair[0]), connected=True)
        transport = MemoryTransport(self, protocol, inward, outward, local, (ip, port))
        self._knock(transport, pair, REPEAT_DIAL)
        protocol.connection_made(transport)  # type: ignore[arg-type]

    def _knock(self, transport: MemoryTransport, pair: Pair, repeat: float) -> None:
        """Sends the greeting (SYN) of a connection, again and again while the wire is cut."""
        if transport.is_closing():
            return
        seconds = self._crossing(pair, repeat)
        if seconds == NEVER:
            self.loop.call_later(repeat, self._knock, transport, pair, 2 * repeat)
        else:
            self.at(self.now() + seconds, self._answer, transport, pair, repeat)

    def _answer(self, transport: MemoryTransport, pair: Pair, repeat: float) -> None:
        """The greeting arrived: somebody listens, nobody does, or somebody who is silent, or cannot be heard."""
        listener = self.listeners.get(transport.remote)
        back = self._crossing((pair[1], pair[0]), REPEAT_DIAL)
        if back == NEVER:
            self.loop.call_later(repeat, self._knock, transport, pair, 2 * repeat)
        elif listener is None:
            refused = ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
            self.at(self.now() + back, transport.refuse, refused)
        elif not listener.frozen and not transport.is_closing():
            protocol = listener.factory(*transport.local)
            other = MemoryTransport(self, protocol, transport.outward, transport.inward, transport.remote, transport.local)
            protocol.connection_made(other)  # type: ignore[arg-type]
            self.at(self.now() + back, transport.connected)

    def _crossing(self, pair: Pair, repeat: float) -> float:
        """Seconds that a greeting takes from the one to the other node of `pair`; infinite if it does not get through."""
        wire = self.everywhere if self.even else self.wire(pair)
        if wire.steady is not None:
            return wire.steady
        return NEVER if wire.blocked else self.delay(wire, repeat)

    def _free_port(self, ip: str) -> int:
        """A port that nobody listens at, in a fixed order."""
        while True:
            self._next_port = self._next_port + 1 if self._next_port < 65_535 else 1_024
            if (ip, self._next_port) not in self.listeners:
                return self._next_port
