"""An end of a connection in memory, and the wire that leads from it to the other one; what the network is like, `memory` says."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from p2pnb.net.carrier import Address
from p2pnb.wire.parcel import Parcel

if TYPE_CHECKING:
    from p2pnb.net.memory import MemoryNetwork

WINDOW = 262_144  # bytes that a wire holds before its writer has to keep them
REPEAT = 0.2  # seconds until a lost chunk is sent again, then doubling
FAREWELL = 1.0  # seconds that the other end is heard out after we have finished
NEVER = float("inf")

OPEN, FINISHING, GONE = range(3)

Chunk = bytes | Parcel | Exception | None  # None ends the stream, an exception resets it


class MemoryTransport:
    """One end. `pair`: the nodes at either end of its wire, its own first; `other`: the other end, once it took the connection.

    `held`: it reads nothing for the time being.
    """

    __slots__ = (
        "_busy", "_connected", "_frozen", "_network", "_on_wire", "_paused", "_queue", "_state",
        "held", "local", "other", "pair", "protocol", "remote",
    )  # fmt: skip

    def __init__(
        self, network: MemoryNetwork, protocol: asyncio.Protocol, local: Address, remote: Address, pair: tuple[Address, Address],
        other: MemoryTransport | None = None,
    ) -> None:  # fmt: skip
        self._network = network
        self._state = OPEN
        self._frozen = self.held = False
        self._queue: list[tuple[float, Chunk, int]] = []  # on the wire: when it arrives, what, and its bytes
        self._on_wire = 0  # bytes
        self._busy = False  # whether a delivery is scheduled
        self._paused = False  # whether the writer was told to wait
        self._connected = other is not None
        self.protocol = protocol
        self.local, self.remote, self.pair = local, remote, pair
        self.other = other
        if other is not None:
            other.other = self

    # --- the wire -------------------------------------------------------------------------------------------------------

    def _put(self, what: Chunk, size: int = 0) -> None:
        network = self._network
        if not self._connected:
            arrives = NEVER
        elif network.steady is not None and not self._queue:
            arrives = network.now() + network.steady
        else:
            arrives = self._arrival(size)
        self._queue.append((arrives, what, size))
        self._on_wire += size
        if self._on_wire > WINDOW and not self._paused:
            self._paused = True
            self.protocol.pause_writing()
        if not self._busy and self._connected:
            self.run()

    def _arrival(self, size: int) -> float:
        """When something of `size` bytes that is written now arrives: never before what was written earlier."""
        network = self._network
        wire = network.wire(self.pair)
        arrives = network.now() + network.delay(wire, REPEAT)
        if self._queue:
            arrives = max(arrives, self._queue[-1][0])
        return arrives + size / wire.rate

    def run(self) -> None:
        """Schedules the next delivery, unless one is, or nothing can move."""
        if self._busy or not self._queue or self.other is None or self.other.held or not self._connected:
            return
        arrives, network = self._queue[0][0], self._network
        if arrives == NEVER or (network.steady is None and network.wire(self.pair).blocked):
            network.stuck[self] = None
            return
        self._busy = True
        network.at(arrives, self._deliver)

    def _deliver(self) -> None:
        self._busy = False
        queue, other = self._queue, self.other
        if not queue or other is None or other.held or (self._network.steady is None and self._network.wire(self.pair).blocked):
            self.run()
            return
        _, what, size = queue.pop(0)
        self._on_wire -= size
        if queue:
            self.run()
        if self._paused and self._on_wire <= WINDOW:
            self._paused = False
            if self._state == OPEN:
                self.protocol.resume_writing()
        other.hear(what)

    def retry(self) -> None:
        """Something changed: what was lost for good is sent once more."""
        if self._queue:
            waiting, self._queue = self._queue, []
            for arrives, what, size in waiting:
                self._queue.append((self._arrival(size) if arrives == NEVER else arrives, what, size))
            self.run()

    def clear(self) -> None:
        """Nobody is left at either end: each lets go of the other."""
        self._queue.clear()
        self.other = None

    # --- its beginning --------------------------------------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """Whether something was written that has not arrived."""
        return bool(self._queue)

    def connected(self) -> None:
        """The other end took the connection: what was written meanwhile leaves."""
        self._connected = True
        self.retry()

    def connect(self, arrives: float) -> None:
        """The other end took the connection: what was written meanwhile, and leaves when we hear of it, is there at `arrives`.

        What is written until we hear of it waits behind that, so nobody need be told.
        """
        self._connected = True
        self._queue = [(arrives, what, size) for _, what, size in self._queue]
        self.run()

    def refuse(self, error: OSError) -> None:
        """The connection cannot be had."""
        self._drop(error)

    # --- what its protocol does -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._state == OPEN and not self._frozen:
            self._put(data, len(data))

    def close(self) -> None:
        if self._state == OPEN:
            self._state = FINISHING
            self._put(None)
            self._network.sweep.at(self._network.loop.time() + FAREWELL, self)

    def check(self, now: float) -> None:  # noqa: ARG002 (its time has come)
        """The sweep's call: the other end was heard out for long enough."""
        self._drop(None)

    def abort(self) -> None:
        if self._state != GONE:
            self._put(_reset())
            self._drop(None)

    def take_turns(self, who: Hashable) -> None:
        """What arrives here is memory already, and comes in chunks: each is heard in its order."""

    def freeze(self) -> None:
        self._frozen = self.held = True

    def is_gone(self) -> bool:
        return self._state == GONE

    def is_closing(self) -> bool:
        return self._state != OPEN

    def get_write_buffer_size(self) -> int:
        return max(self._on_wire - WINDOW, 0)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": self.local, "peername": self.remote}.get(name, default)

    # --- what it hears --------------------------------------------------------------------------------------------------

    def hear(self, what: Chunk) -> None:
        """Something arrived."""
        if self._state == OPEN and what is not None and not isinstance(what, Exception):
            try:
                self.protocol.data_received(what)  # type: ignore[arg-type]  # a link takes parcels too
            except BaseException:
                self.abort()
                raise
        elif self._state == GONE:
            if what is not None and not isinstance(what, Exception):  # nobody is there to take it
                self._put(_reset())
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
            self._put(None)
            self._drop(None)

    def _drop(self, error: Exception | None) -> None:
        if self._state != GONE:
            self._state = GONE
            self.held = self._frozen = False
            if self.other is not None:
                self.other.run()
            if self.other is None or self.other.is_gone():
                self._network.forget(self)
            self._network.loop.call_soon(self.protocol.connection_lost, error)


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "connection reset")
