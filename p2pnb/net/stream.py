"""One TCP connection: bytes out, bytes in, and when they are looked at.

asyncio's own transports would do; these are a third of their size and of their cost to set up, and do three things more:

- `close` ends our direction and hears the other end out for a second. What was on its way to us is dropped in order, and the
  other end sees FIN, never a reset, whatever it was just sending;
- `freeze` leaves the socket open and unread, which is how a black hole looks from outside;
- `take_turns` has it read in turn (`turns`). What waits for that waits in the kernel, whose buffers are bounded: whoever sends more
  than is read waits for itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p2pnb.net.tcp import TcpCarrier

CHUNK = 65_536  # bytes read at a time
FAREWELL = 1.0  # seconds that the other end is heard out after we have finished
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST

OPEN, FINISHING, GONE = range(3)
AT_ONCE, IN_TURN, UNWATCHED = range(3)  # how it is read; whether it waits for its turn, and is not watched meanwhile


class Stream:
    """A transport over one non-blocking socket, connected or connecting."""

    __slots__ = ("_account", "_carrier", "_frozen", "_out", "_protocol", "_reading", "_socket", "_state", "_waiting")

    def __init__(self, carrier: TcpCarrier, sock: socket.SocketType, protocol: asyncio.Protocol) -> None:
        self._carrier = carrier
        self._socket = sock
        self._protocol = protocol
        self._state = OPEN
        self._frozen = False
        self._account: Hashable = None  # in whose turns it is read; None: as bytes come
        self._reading = AT_ONCE
        self._out: deque[memoryview] | None = None
        self._waiting = 0

    def start(self) -> None:
        self._carrier.readiness.watch(self._socket.fileno(), self)

    def take_turns(self, who: Hashable) -> None:
        self._account = who

    def readable(self) -> None:
        if self._account is None:
            self._carrier.turns.busy = True
            self.read()
        elif self._reading == AT_ONCE:
            self._reading = IN_TURN
            self._carrier.turns.add(self._read_in_turn, self._account)
        elif self._reading == IN_TURN:  # it waits for longer than a pass: until then nothing of it is looked at
            self._reading = UNWATCHED
            self._carrier.readiness.forget(self._socket.fileno())

    def _read_in_turn(self) -> None:
        before, self._reading = self._reading, AT_ONCE
        if self._state == GONE or self._frozen:
            return
        if before == UNWATCHED:
            self._carrier.readiness.watch(self._socket.fileno(), self)
            if self._out is not None:
                self._carrier.readiness.writing(self._socket.fileno(), self, True)
        self.read()

    def read(self) -> None:
        """Takes what is there, now."""
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._drop(error)
            return
        if self._state == FINISHING:
            if not data:
                self._drop(None)
            return
        flights = self._carrier.flights
        flights.open = True
        try:
            if data:
                self._protocol.data_received(data)
            else:
                self._protocol.eof_received()
                self._drop(None)
        except BaseException:
            self.abort()
            raise
        finally:
            flights.close()

    def write(self, data: bytes) -> None:
        if self._state != OPEN or self._frozen:
            return
        self._carrier.turns.busy = True
        sent = 0
        if self._out is None:
            sent = self._send(data)
            if sent == len(data) or self._state == GONE:
                return
            self._out = deque()
            if self._reading != UNWATCHED:
                self._carrier.readiness.writing(self._socket.fileno(), self, True)
        view = memoryview(data)[sent:]
        self._out.append(view)
        self._waiting += len(view)
        if len(self._out) == 1:
            self._protocol.pause_writing()

    def _send(self, data: bytes | memoryview) -> int:
        """How many bytes the kernel took."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno == errno.ENOTCONN:  # so some systems say "still connecting", and also "could not connect"
                code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return 0
                error = OSError(code, os.strerror(code))
            self._drop(error)
            return 0

    def writable(self) -> None:
        out = self._out
        if out is None:
            return
        sent = self._send(out[0])
        self._waiting -= sent
        if sent < len(out[0]):
            out[0] = out[0][sent:]
            return
        out.popleft()
        if out or self._state == GONE:
            return
        self._out = None
        self._carrier.readiness.writing(self._socket.fileno(), self, False)
        if self._state == FINISHING:
            self._finish()
        else:
            self._protocol.resume_writing()

    def close(self) -> None:
        if self._state != OPEN:
            return
        self._state = FINISHING
        self._carrier.sweep.at(self._carrier.loop.time() + FAREWELL, self)
        if self._out is None:
            self._finish()

    def _finish(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(None)

    def check(self, now: float) -> None:  # noqa: ARG002 (its time has come)
        """The sweep's call: the other end was heard out for long enough."""
        self._drop(None)

    def abort(self) -> None:
        if self._state == GONE:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except OSError:
            pass
        self._drop(None)

    def freeze(self) -> None:
        if self._state == GONE:
            return
        self._frozen = True
        self._carrier.readiness.forget(self._socket.fileno())

    def _drop(self, error: Exception | None) -> None:
        """Closes the socket; the protocol hears of it in the next step, so that nobody is called back inside a `write`."""
        if self._state == GONE:
            return
        self._state = GONE
        if not self._frozen:
            self._carrier.readiness.forget(self._socket.fileno())
        self._out = None
        self._waiting = 0
        self._socket.close()
        self._carrier.loop.call_soon(self._protocol.connection_lost, error)

    def is_closing(self) -> bool:
        return self._state != OPEN

    def get_write_buffer_size(self) -> int:
        return self._waiting

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if self._state == GONE:
            return default
        if name == "socket":
            return self._socket
        try:
            if name == "peername":
                return self._socket.getpeername()
            if name == "sockname":
                return self._socket.getsockname()
        except OSError:
            pass
        return default
