"""What waits at one node: bytes that arrived and are not taken, and bytes to leave that nobody reads, on all links together.

Each link alone is bounded (`accounts`): 2 MB each way. But links cost their owner little, and a thousand that all stop reading
would hold two gigabytes. So a node holds 64 MB in all. Where that is not enough, links are reset: first those that hold most
for longest, in bytes times seconds. An honest reader is done in milliseconds; whoever stopped weighs more with each second.

Links are weighed when something large begins to wait, never in ordinary traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

MAX_HELD = 64_000_000  # bytes that may wait at a node
AFTERWARDS = 0.75  # how much of that is left after links were reset, so that this is rare


class Holder(Protocol):
    """A link, as far as what waits on it goes."""

    @property
    def held(self) -> int: ...
    @property
    def held_since(self) -> float: ...
    def fail(self, reason: str) -> None: ...


class Held:
    """The bytes that wait on the links of one node. `now` is its clock."""

    __slots__ = ("_bytes", "_limit", "_now", "total")

    def __init__(self, now: Callable[[], float], limit: int = MAX_HELD) -> None:
        self.total = 0
        self._now = now
        self._limit = limit
        self._bytes: dict[Holder, int] = {}

    def weigh(self, link: Holder) -> None:
        """Notes how much waits on `link`, and makes room if it is too much altogether; `link` itself may have to go."""
        held = link.held
        self.total += held - self._bytes.get(link, 0)
        self._bytes[link] = held
        if self.total > self._limit:
            self._make_room()

    def forget(self, link: Holder) -> None:
        """The link has ended."""
        self.total -= self._bytes.pop(link, 0)

    def _make_room(self) -> None:
        for link in list(self._bytes):  # some were weighed long ago
            self.forget(link)
            if held := link.held:
                self._bytes[link] = held
                self.total += held
        if self.total <= self._limit:
            return
        now = self._now()
        for link in sorted(self._bytes, key=lambda each: self._bytes[each] * (now - each.held_since + 1e-3), reverse=True):
            link.fail("too much held")
            self.forget(link)
            if self.total <= self._limit * AFTERWARDS:
                return
