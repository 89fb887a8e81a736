"""An open TCP port. It takes a few connections as they come.

Those beyond a few a second take turns (`turns`), and so does what they send until their protocol says otherwise: a handshake costs
whom it is asked of more than who asks. Meanwhile they wait in the kernel. Running out of descriptors closes an idle link, then
pauses accepting; it never spins and never ends the listener.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pnb.address import account_of
from p2pnb.net.stream import AT_ONCE, IN_TURN, UNWATCHED, Stream

if TYPE_CHECKING:
    from p2pnb.net.tcp import TcpCarrier

BURST, SHARE = 32.0, 20.0  # connections that a port takes as they come: at once, and a second
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class TcpListener:
    """A listening socket. It takes one connection at a time: as long as others wait, it is called again."""

    __slots__ = ("_accepting", "_carrier", "_closed", "_credit", "_credit_at", "_factory", "_family", "_socket", "port")

    def __init__(self, carrier: TcpCarrier, factory: Callable[[str, int], asyncio.Protocol], sock: socket.SocketType) -> None:
        self._carrier = carrier
        self._factory = factory
        self._family = sock.family
        self._socket = sock
        self._closed = False
        self._accepting = AT_ONCE
        self._credit, self._credit_at = BURST, carrier.loop.time()
        self.port: int = sock.getsockname()[1]
        carrier.readiness.watch(sock.fileno(), self)

    def readable(self) -> None:
        if self._accepting == AT_ONCE and self._goes_first():
            stream = self._accept()
            if stream is not None:
                stream.readable()  # whoever is near has said something by now
        elif self._accepting == AT_ONCE:
            self._accepting = IN_TURN
            self._carrier.turns.add(self._accept_in_turn, id(self))
        elif self._accepting == IN_TURN:
            self._accepting = UNWATCHED
            self._carrier.readiness.forget(self._socket.fileno())

    def _goes_first(self) -> bool:
        now = self._carrier.loop.time()
        credit = min(self._credit + (now - self._credit_at) * SHARE, BURST)
        self._credit_at = now
        self._credit = credit - 1.0 if credit >= 1.0 else credit
        return credit >= 1.0

    def _accept_in_turn(self) -> None:
        before, self._accepting = self._accepting, AT_ONCE
        if self._closed:
            return
        if before == UNWATCHED:
            self._carrier.readiness.watch(self._socket.fileno(), self)
        stream = self._accept()
        if stream is not None:
            ip = stream.get_extra_info("peername", ("",))[0]
            stream.take_turns(account_of(ip) or ip)

    def _accept(self) -> Stream | None:
        """The next connection; None if there is none any more, or no descriptor for it."""
        try:
            fd, address = self._socket._accept()  # type: ignore[attr-defined]  # as `socket.accept` does, without its wrapping
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                self._carrier.places.make_room()
                self._carrier.readiness.forget(self._socket.fileno())
                self._carrier.sweep.at(0.0, self)
            return None
        sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        protocol = self._factory(sys.intern(address[0]), address[1])  # the same few addresses come again and again
        stream = Stream(self._carrier, sock, protocol)
        stream.start()
        protocol.connection_made(stream)  # type: ignore[arg-type]
        return stream

    def writable(self) -> None:
        """A listener never writes."""

    def check(self, now: float) -> None:  # noqa: ARG002 (its time has come)
        """The sweep's call: perhaps there are descriptors again."""
        if not self._closed:
            self._carrier.readiness.watch(self._socket.fileno(), self)

    def freeze(self) -> None:
        self._closed = True
        self._carrier.readiness.forget(self._socket.fileno())

    def close(self) -> None:
        self._closed = True
        if self._socket.fileno() >= 0:
            self._carrier.readiness.forget(self._socket.fileno())
            self._socket.close()
        self._carrier.listeners.discard(self)
