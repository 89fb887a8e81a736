"""TCP: connections over real sockets, one descriptor an end, thousands of them in one process.

asyncio's own transports would do; these are a third of their size and of their cost to set up, and do three things more:

- a dial writes at once. On loopback the kernel has made the connection before `connect` returns, so the first handshake
  message leaves in the same step; elsewhere it waits until the socket is writable. No task, no future;
- `close` ends our direction and hears the other end out for a second. What was on its way to us is dropped in order, and the
  other end sees FIN, never a reset, whatever it was just sending;
- `freeze` leaves the socket open and unread, which is how a black hole looks from outside.

Addresses are IPv4 and IPv6 literals; a name is never looked up. Running out of descriptors closes idle links, then pauses
accepting; it never spins and never ends the listener. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
import weakref
from collections import deque
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from p2pnb.net.carrier import Address, Carrier, Listener
from p2pnb.net.places import Places
from p2pnb.net.readiness import readiness

resource: ModuleType | None
try:
    resource = import_module("resource")
except ImportError:  # Windows, Pyodide
    resource = None

CHUNK = 65_536  # bytes read at a time
SEND_BUFFER = 262_144  # bytes that the kernel may keep for a slow reader; a stopped one then shows soon
BACKLOG = 512
FAREWELL = 1.0  # seconds that the other end is heard out after we have finished
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST
IN_PROGRESS = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}
OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

OPEN, FINISHING, GONE = range(3)


class Stream:
    """A transport over one non-blocking socket, connected or connecting."""

    __slots__ = ("_carrier", "_fd", "_frozen", "_out", "_protocol", "_socket", "_state", "_waiting")

    def __init__(self, carrier: TcpCarrier, sock: socket.SocketType, protocol: asyncio.Protocol) -> None:
        self._carrier = carrier
        self._socket = sock
        self._fd = sock.fileno()
        self._protocol = protocol
        self._state = OPEN
        self._frozen = False
        self._out: deque[memoryview] | None = None
        self._waiting = 0

    def start(self) -> None:
        self._carrier.readiness.watch(self._fd, self)

    def readable(self) -> None:
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
        view = memoryview(data)
        if self._out is None:
            sent = self._send(data)
            if sent == len(data) or self._state == GONE:
                return
            view = view[sent:]
            self._out = deque()
            self._carrier.readiness.writing(self._fd, self, True)
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
        self._carrier.readiness.writing(self._fd, self, False)
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
        self._carrier.readiness.forget(self._fd)

    def _drop(self, error: Exception | None) -> None:
        """Closes the socket; the protocol hears of it in the next step, so that nobody is called back inside a `write`."""
        if self._state == GONE:
            return
        self._state = GONE
        if not self._frozen:
            self._carrier.readiness.forget(self._fd)
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


class TcpListener:
    """A listening socket. It takes one connection at a time: as long as others wait, it is called again."""

    __slots__ = ("_carrier", "_closed", "_factory", "_family", "_socket", "port")

    def __init__(self, carrier: TcpCarrier, factory: Callable[[str, int], asyncio.Protocol], sock: socket.SocketType) -> None:
        self._carrier = carrier
        self._factory = factory
        self._family = sock.family
        self._socket = sock
        self._closed = False
        self.port: int = sock.getsockname()[1]
        carrier.readiness.watch(sock.fileno(), self)

    def readable(self) -> None:
        try:
            fd, address = self._socket._accept()  # type: ignore[attr-defined]  # as `socket.accept` does, without its wrapping
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                self._carrier.places.make_room()
                self._carrier.readiness.forget(self._socket.fileno())
                self._carrier.sweep.at(0.0, self)
            return
        sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
        sock.setblocking(False)
        protocol = self._factory(address[0], address[1])
        stream = Stream(self._carrier, sock, protocol)
        stream.start()
        protocol.connection_made(stream)  # type: ignore[arg-type]

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


class TcpCarrier(Carrier):
    """All connections of one event loop. `TcpCarrier.shared()` is the running loop's."""

    plain = False

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__()
        self.listeners: set[TcpListener] = set()
        self._limit = capacity if capacity is not None else _descriptors() * 9 // 10
        self.places: Places = Places(self._limit)

    def attach(self) -> None:
        super().attach()
        if not hasattr(self, "readiness"):
            self.readiness = readiness(self.loop)

    @classmethod
    def shared(cls) -> TcpCarrier:
        """The one carrier of the running loop: it lives as long as somebody uses it."""
        loop = asyncio.get_running_loop()
        carrier = _SHARED.get(id(loop))
        if carrier is None or carrier.loop is not loop:
            carrier = _SHARED[id(loop)] = cls()
            carrier.attach()
        return carrier

    def dial(self, protocol: asyncio.Protocol, ip: str, port: int, source: Address) -> None:  # noqa: ARG002 (the kernel chooses it)
        sock = self._socket(ip)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            code = sock.connect_ex((ip, port))
            if code not in IN_PROGRESS:
                raise OSError(code, os.strerror(code))
        except BaseException:
            sock.close()
            raise
        stream = Stream(self, sock, protocol)
        stream.start()
        protocol.connection_made(stream)  # type: ignore[arg-type]

    def listen(self, factory: Callable[[str, int], asyncio.Protocol], ip: str, port: int) -> Listener:
        sock = self._socket(ip)
        try:
            if sys.platform == "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:  # a port whose last connections are still being forgotten may be opened again; one that is open may not
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits these
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if ":" in ip:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((ip, port))
            sock.listen(BACKLOG)
            listener = TcpListener(self, factory, sock)
        except BaseException:
            sock.close()
            raise
        self.listeners.add(listener)
        self.places.capacity = max(self._limit - len(self.listeners), 16)
        return listener

    def _socket(self, ip: str) -> socket.SocketType:
        """A new non-blocking socket; if there are no descriptors left, after an idle link was closed."""
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        try:
            sock = socket.SocketType(family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS or not self.places.make_room():
                raise
            sock = socket.SocketType(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock


_SHARED: weakref.WeakValueDictionary[int, TcpCarrier] = weakref.WeakValueDictionary()


def _descriptors() -> int:
    """How many descriptors this process may have, after raising the soft limit to the hard one."""
    if resource is None:
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    for limit in (wanted, 10_240):  # macOS says "infinity" and allows this many
        if soft != resource.RLIM_INFINITY and soft < limit:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
            except (ValueError, OSError):
                continue
    return 65_536 if soft == resource.RLIM_INFINITY else soft
