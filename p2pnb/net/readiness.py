"""Which sockets can be read or written now: thousands of them, behind one descriptor of the event loop.

asyncio keeps a key, a tuple, a handle, a context and a bound method for each socket it watches, half a kilobyte in all, and takes
5 us to begin. Where the system has epoll, an epoll of our own costs a place in a list and one system call, and the loop watches
only that. What becomes ready while the first few are looked at, the replies of a conversation inside this process above all, is looked
at in the same pass. Elsewhere the loop watches each socket itself.
"""

from __future__ import annotations

import asyncio
import select
import sys
from contextvars import Context
from typing import Protocol

AT_ONCE = 256  # sockets that are looked at before the loop does anything else
A_FEW = 16  # until it was so many, those that became ready meanwhile are looked at too: that costs a tenth of a pass of the loop


class Watched(Protocol):
    """What hears of its socket."""

    def readable(self) -> None:
        """There are bytes or a connection to take, or the stream has ended."""

    def writable(self) -> None:
        """The kernel takes bytes again. Called only after `Readiness.writing`."""


class Readiness:
    """The sockets of one event loop. Without any it holds no descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def watch(self, fd: int, what: Watched) -> None:
        """From now on, until `forget`, `what` hears when its descriptor can be read."""
        self._loop.add_reader(fd, what.readable)

    def writing(self, fd: int, what: Watched, wanted: bool) -> None:
        """Whether a watched descriptor is watched for writing, too."""
        if wanted:
            self._loop.add_writer(fd, what.writable)
        else:
            self._loop.remove_writer(fd)

    def forget(self, fd: int) -> None:
        """Watches it no more. To be called before it is closed."""
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)


if sys.platform == "linux":

    class Epoll(Readiness):
        """The same with an epoll of its own."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(loop)
            self._epoll: select.epoll | None = None
            self._watched: list[Watched | None] = []  # by descriptor
            self._count = 0

        def watch(self, fd: int, what: Watched) -> None:
            if self._epoll is None:
                self._epoll = select.epoll()
                Context().run(self._loop.add_reader, self._epoll.fileno(), self._ready)  # whose call opened the first is no matter
            while len(self._watched) <= fd:
                self._watched.append(None)
            self._epoll.register(fd, select.EPOLLIN)
            self._watched[fd] = what
            self._count += 1

        def writing(self, fd: int, what: Watched, wanted: bool) -> None:  # noqa: ARG002 (it is known)
            if self._epoll is not None:
                self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

        def forget(self, fd: int) -> None:
            if self._epoll is None or self._watched[fd] is None:
                return
            self._epoll.unregister(fd)
            self._watched[fd] = None
            self._count -= 1
            if not self._count:
                self._loop.remove_reader(self._epoll.fileno())
                self._epoll.close()
                self._epoll = None

        def _ready(self) -> None:
            looked_at = 0
            while self._epoll is not None and looked_at < A_FEW and (events := self._epoll.poll(0, AT_ONCE)):
                looked_at += len(events)
                for fd, event in events:
                    what = self._watched[fd]
                    if what is not None and event & ~select.EPOLLOUT:
                        what.readable()
                    if what is not None and event & select.EPOLLOUT and self._watched[fd] is what:
                        what.writable()


def readiness(loop: asyncio.AbstractEventLoop) -> Readiness:
    """The best that this system has."""
    return Epoll(loop) if sys.platform == "linux" else Readiness(loop)
