"""TCP: connections over real sockets, one descriptor an end, thousands of them in one process.

One connection is a `stream`, an open port a `listener`. A dial writes at once: on loopback the kernel has made the connection
before `connect` returns, so the first handshake message leaves in the same step; elsewhere it waits until the socket is writable.
No task, no future.

Addresses are IPv4 and IPv6 literals; a name is never looked up. Running out of descriptors closes idle links. Nothing here knows
what the bytes mean.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import weakref
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from p2pnb.net.carrier import Address, Carrier, Listener
from p2pnb.net.listener import OUT_OF_DESCRIPTORS, TcpListener
from p2pnb.net.places import Places
from p2pnb.net.readiness import readiness
from p2pnb.net.stream import Stream

resource: ModuleType | None
fcntl: ModuleType | None
try:
    resource, fcntl = import_module("resource"), import_module("fcntl")
except ImportError:  # Windows, Pyodide
    resource = fcntl = None

SEND_BUFFER = 262_144  # bytes that the kernel may keep for a slow reader; a stopped one then shows soon
BACKLOG = 512
RESERVED = 16_384  # descriptors that the kernel's table has places for from the beginning
IN_PROGRESS = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)}


class TcpCarrier(Carrier):
    """All connections of one event loop. `TcpCarrier.shared()` is the running loop's."""

    plain = False

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__()
        self.listeners: set[TcpListener] = set()
        limit = _descriptors()
        _reserve(min(limit, RESERVED))
        self._limit = capacity if capacity is not None else limit * 9 // 10
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


def _reserve(count: int) -> None:
    """Has the kernel make this process's table of descriptors large at once, for each time it doubles it all threads wait 6 to 10 ms."""
    if fcntl is None:
        return
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        os.close(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, count - 1))
    except OSError:
        pass
    finally:
        os.close(fd)
