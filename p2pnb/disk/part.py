"""What one node keeps on a disk, as its stores see it: what is to be written, what was found, and whether the disk fails.

A part writes nothing itself. It collects what is to be written, each name once and as it is when the commit comes, and
resolves what it promised when the commit was made (see `disk.py`). It imports no SQLite, which the browser does not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from p2pnb.dht.deferred import Deferred
from p2pnb.disk.rows import Name, Row

RETRY = 1.0  # seconds until a disk that failed is tried again

State = tuple[float, Callable[[], bytes]]  # when it was set, on the loop's clock, and what makes the row's body
Look = Callable[[], State | None]  # how something is now; None: it is gone


class Batch(NamedTuple):
    """What of one part goes into one commit."""

    part: Part
    writes: dict[Name, State | None]
    looks: dict[Name, Look]
    waiters: list[Deferred[bool]]
    fault: Exception | None  # that this commit meets


class Committer(Protocol):
    """What a part asks of its disk."""

    @property
    def now(self) -> float: ...

    def soon(self) -> None: ...

    def tell_time(self) -> None: ...

    def forget(self, part: Part) -> None: ...


class Part:
    """What one node keeps on a disk. `fault`: what each commit of its shall meet from now on, an error or None, for experiments."""

    def __init__(self, disk: Committer, node: bytes, rows: list[Row]) -> None:
        self.node = node
        self.fault: Callable[[], Exception | None] | None = None
        self.failures = 0
        self._disk = disk
        self._rows = rows
        self._looks: dict[Name, Look] = {}
        self._waiters: list[Deferred[bool]] = []
        self._under_way: dict[Name, Look] = {}
        self._refuses_until = float("-inf")
        self._closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._looks or self._waiters)

    def found(self, *kinds: int) -> list[Row]:
        """The rows of these kinds that were there at the start, with their moments on the loop's clock; once."""
        wanted = self.peek(*kinds)
        self._rows = [each for each in self._rows if each.kind not in kinds]
        return wanted

    def peek(self, *kinds: int) -> list[Row]:
        """As `found`, and they can be had again."""
        return [each for each in self._rows if each.kind in kinds]

    def write(self, name: Name, look: Look) -> Deferred[bool]:
        """Writes what `look` says when the commit comes; the result is whether it is on the disk then."""
        written: Deferred[bool] = Deferred()
        if self._closed:
            written.resolve(False)
            return written
        self._looks[name] = look
        self._waiters.append(written)
        self._disk.soon()
        return written

    def delete(self, name: Name) -> Deferred[bool]:
        """As `write`, of something that is gone."""
        return self.write(name, lambda: None)

    def is_pending(self, name: Name) -> bool:
        """Whether what was written last under `name` has not reached the disk."""
        return name in self._looks or name in self._under_way

    @property
    def refuses(self) -> bool:
        """Whether the disk failed just now, so that there is no point in trying."""
        return self._disk.now < self._refuses_until

    async def flushed(self) -> bool:
        """Waits until all is on the disk that was written before; whether it is."""
        if self._closed or not (self.is_waiting or self._under_way):
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        barrier: Deferred[bool] = Deferred()
        barrier.then(lambda done: None if future.done() else future.set_result(done))
        self._waiters.append(barrier)
        self._disk.soon()
        return await future

    def touch(self) -> None:
        """Has a commit made, though there is nothing new; and the time with it."""
        self._waiters.append(Deferred())
        self._disk.soon()

    def tell_time(self) -> None:
        self._disk.tell_time()

    def take(self) -> Batch:
        """What is to be written now."""
        looks, self._looks = self._looks, {}
        waiters, self._waiters = self._waiters, []
        self._under_way = looks
        fault = None if self.fault is None else self.fault()
        return Batch(self, {name: look() for name, look in looks.items()}, looks, waiters, fault)

    def settle(self, batch: Batch, error: Exception | None) -> None:
        """A commit was made, or failed: then its rows wait for the next one, as they are by then."""
        self._under_way = {}
        if error is not None:
            self.failures += 1
            self._refuses_until = self._disk.now + RETRY
            self._looks = batch.looks | self._looks
        for waiter in batch.waiters:
            waiter.resolve(error is None)

    def close(self) -> None:
        """Ends it at once: what was not acknowledged may be lost. Idempotent."""
        self._closed = True
        self._looks.clear()
        waiters, self._waiters = self._waiters, []
        self._disk.forget(self)
        for waiter in waiters:
            waiter.resolve(False)
