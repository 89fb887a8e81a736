"""Memory: connections inside one process, with the latency, the losses and the cut cables that are asked for.

The same bytes as on a socket go through the same links; only the wire is pretended. Each direction of a connection has one of its own
(`ends`), with the virtues of TCP and its vices:

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
from collections.abc import Callable

from p2pnb.net.carrier import Address, Carrier, Listener
from p2pnb.net.ends import NEVER, MemoryTransport
from p2pnb.net.moments import Moments

REPEAT_DIAL = 1.0  # seconds until a lost greeting is sent again, then doubling
REPEAT_AT_MOST = 60.0

Latency = float | Callable[[random.Random], float]
Pair = tuple[Address, Address]


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
        self.stuck: dict[MemoryTransport, None] = {}  # those whose wire waits for better conditions
        self.everywhere = Condition(latency, loss)
        self.steady = self.everywhere.steady  # what everything takes on all wires, None where that depends
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
        self.steady = None
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
        self.steady = self.everywhere.steady if conditions is None else None
        self._between.clear()
        self._changed()

    def _changed(self) -> None:
        stuck, self.stuck = self.stuck, {}
        for end in stuck:
            end.retry()

    def forget(self, end: MemoryTransport) -> None:
        """Nobody is left at either end of a connection: what is on the wires goes nowhere."""
        for each in (end, end.other):
            if each is not None:
                each.clear()
                self.stuck.pop(each, None)

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
        local, remote = (source[0], self._free_port(source[0])), (ip, port)
        if not source[1]:  # a client's cable is that of this connection
            source = local
        transport = MemoryTransport(self, protocol, local, remote, (source, remote))
        self._knock(transport, REPEAT_DIAL)
        protocol.connection_made(transport)  # type: ignore[arg-type]

    def _knock(self, transport: MemoryTransport, repeat: float) -> None:
        """Sends the greeting (SYN) of a connection, again and again while the wire is cut."""
        if transport.is_closing():
            return
        seconds = self._crossing(transport.pair, repeat)
        if seconds == NEVER:
            self.loop.call_later(repeat, self._knock, transport, 2 * repeat)
        else:
            self.at(self.now() + seconds, self._answer, transport, repeat)

    def _answer(self, transport: MemoryTransport, repeat: float) -> None:
        """The greeting arrived: somebody listens, nobody does, or somebody who is silent, or cannot be heard."""
        listener = self.listeners.get(transport.remote)
        source, destination = transport.pair
        pair = (destination, source)
        back = self._crossing(pair, REPEAT_DIAL)
        if back == NEVER:
            self.loop.call_later(repeat, self._knock, transport, 2 * repeat)
        elif listener is None:
            refused = ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
            self.at(self.now() + back, transport.refuse, refused)
        elif not listener.frozen and not transport.is_closing():
            protocol = listener.factory(*transport.local)
            protocol.connection_made(MemoryTransport(self, protocol, transport.remote, transport.local, pair, transport))  # type: ignore[arg-type]
            if self.steady is not None and transport.begun:
                transport.connect(self.now() + back + back)
            else:
                self.at(self.now() + back, transport.connected)

    def _crossing(self, pair: Pair, repeat: float) -> float:
        """Seconds that a greeting takes from the one to the other node of `pair`; infinite if it does not get through."""
        if self.steady is not None:
            return self.steady
        wire = self.wire(pair)
        return NEVER if wire.blocked else self.delay(wire, repeat)

    def _free_port(self, ip: str) -> int:
        """A port that nobody listens at, in a fixed order."""
        while True:
            self._next_port = self._next_port + 1 if self._next_port < 65_535 else 1_024
            if (ip, self._next_port) not in self.listeners:
                return self._next_port
