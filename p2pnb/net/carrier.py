"""What every carrier gives to links: a way to dial and to listen, one coarse timer, turns for big work, flights, who is idle.

A carrier moves bytes between two addresses and knows nothing of what they mean. `dial` gives the protocol a transport at
once, before the other end has answered: what is written meanwhile goes out when the connection is up, and a connection
that cannot be had ends with `connection_lost(OSError)`. So nothing here awaits, and no dial needs a task.

Four things are shared by all links of a process, because a thousand nodes with a timer each would be a thousand timers:

- `Sweep`: one timer. Whoever wants to be looked at later enters itself for a time, is looked at in the quarter of a
  second before it, and decides for itself what is due (a handshake that hangs, a reader that stopped, a link to retire).
- `Turns`: what strangers ask and what is large is done in turn, and behind what others ask; see `turns`.
- `Flights`: small messages for one link that one event brings forth leave together.
- `Places`: which links may stay, where the carrier can only hold so many.

Time is the loop's: a loop whose clock jumps drives all of this unchanged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from p2pnb.net.flights import Flights
from p2pnb.net.places import Places
from p2pnb.net.turns import Turns

Address = tuple[str, int]

TICK = 0.25  # seconds: how exact the shared timer is
BIG = 65_536  # bytes: larger messages take turns


class Transport(Protocol):
    """What a link asks of a connection: the part of `asyncio.Transport` that it uses, and `freeze`.

    It calls its protocol's `pause_writing` as soon as bytes wait to be taken, and `resume_writing` when none do.
    """

    def write(self, data: bytes) -> None: ...
    def close(self) -> None:
        """Sends what waits, then ends the stream in order, and hears the other end out for at most a second."""

    def abort(self) -> None:
        """Resets the connection."""

    def take_turns(self, who: Hashable) -> None:
        """From now on what arrives is read in the turns of the account `who` (None: as it comes). Reading waits, and never stops."""

    def freeze(self) -> None:
        """From now on nothing is read or written, and the other end is told nothing."""

    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


class Listener(Protocol):
    """An open port."""

    port: int

    def freeze(self) -> None:
        """Accepts nobody any more, though the port stays open."""

    def close(self) -> None: ...


class Swept(Protocol):
    """What can be entered into a `Sweep`."""

    def check(self, now: float) -> None: ...


class Sweep:
    """One timer for everybody.

    A timer that fires late means that the whole loop was held up, and that what everybody waits for may long be there: once
    more around the loop, and only then is anybody judged.
    """

    __slots__ = ("_late", "_loop", "_next", "_ticks", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ticks: dict[int, list[Swept]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0
        self._late = False  # whether the timer came late and everybody was given one more tick

    def at(self, when: float, what: Swept) -> None:
        """Has `what.check(now)` called in the TICK seconds before `when` (or a TICK from now, if that is later)."""
        tick = int(when / TICK)
        row = self._ticks.get(tick)
        if row is None or tick <= self._next:  # a later row lies in the future
            tick = max(tick, int(self._loop.time() / TICK) + 1)
            row = self._ticks.get(tick)
        if row is not None:
            row.append(what)
            return
        self._ticks[tick] = [what]
        if self._timer is None or tick < self._next:
            self._arm(tick)

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = tick
        self._timer = self._loop.call_later(max(tick * TICK - self._loop.time(), 0.0), self._fire)  # a browser's loop refuses the past

    def _fire(self) -> None:
        now = self._loop.time()
        if now > (self._next + 1) * TICK and not self._late:
            self._late = True
            self._timer = self._loop.call_later(TICK, self._fire)
            return
        try:  # meanwhile the timer counts as set: whoever enters itself anew is not the only one who waits
            for tick in sorted(tick for tick in self._ticks if tick * TICK <= now):
                for what in self._ticks.pop(tick):
                    what.check(now)
        finally:
            self._timer, self._late = None, False
            if self._ticks:
                self._arm(min(self._ticks))


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock; of asyncio's own loops without the method around it, for it is read twenty times a request."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


class Carrier:
    """Base of the carriers. It belongs to the event loop in which its first endpoint was opened."""

    plain = True  # whether it may carry unencrypted links
    places: Places | None = None  # who holds its descriptors, if there can be too few

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.flights = Flights()

    def attach(self) -> None:
        """Binds the carrier to the running loop. Raises `RuntimeError` when it belongs to another one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self.sweep = Sweep(loop)
            self.turns = Turns(loop)
        elif self._loop is not loop:
            raise RuntimeError("this carrier belongs to another event loop: make one for each loop")

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("open an endpoint first")
        return self._loop

    def dial(self, protocol: asyncio.Protocol, ip: str, port: int, source: Address) -> None:
        """Begins a connection from the node at `source` to the address, and calls `protocol.connection_made` before it returns.

        Raises `OSError` when it cannot even begin.
        """
        raise NotImplementedError

    def listen(self, factory: Callable[[str, int], asyncio.Protocol], ip: str, port: int) -> Listener:
        """Opens a port (0: any). `factory(ip, port)` makes the protocol for a connection from there.

        Raises `OSError` (`EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`) when it cannot be had.
        """
        raise NotImplementedError
