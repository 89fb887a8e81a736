"""What arrived for one peer and was not taken yet: messages, and news of links that opened or ended.

A peer takes it in one of two ways. It awaits `take`; or it is called (`deliver_to`), which spares each message a future, a turn of a
task and a pass of the event loop, a quarter of what a request costs.

A request on a link whose replies still wait to leave is not given to the peer but parked at the link, and taken up in its turn when
they have left: whoever asks for much and reads slowly waits for himself, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pnb.errors import ProtocolError
from p2pnb.net.contract import Lost, Opened, Received
from p2pnb.wire.messages import is_request, parse_request

if TYPE_CHECKING:
    from p2pnb.net.link import Link

Item = Received | Opened | Lost


class Inbox:
    """One peer's. `closed`: nothing comes or goes any more."""

    __slots__ = ("_early", "_items", "_receiver", "_unparked", "_waiter", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._items: deque[Item] = deque()
        self._early = 0  # of them, those that came before there was a receiver
        self._unparked: deque[Received] = deque()  # goes first, and is not parked again
        self._receiver: Callable[[Item], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items) + len(self._unparked)

    async def take(self) -> Item | None:
        """The next item; None once the inbox is closed."""
        while True:
            if self._unparked:
                return self._unparked.popleft()
            while self._items:
                item = self._items.popleft()
                if not isinstance(item, Received) or _may_pass(item):
                    return item
            if self.closed:
                return None
            if self._waiter is not None:
                raise RuntimeError("recv() is awaited already: an endpoint has one reader")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def deliver_to(self, receiver: Callable[[Item], None]) -> None:
        """Has `receiver(item)` called from now on; `take` has nothing to tell then but the end."""
        self._receiver = receiver
        self._early = len(self._items)
        if self._items:
            self._call_soon()

    def put(self, item: Item) -> None:
        """Something arrived. A receiver is called at once; of a loss, which may be noticed in the middle of anything, later."""
        if self.closed:
            return
        if self._receiver is not None and not self._early and not isinstance(item, Lost):
            if not isinstance(item, Received) or _may_pass(item):
                self._receiver(item)
            return
        self._items.append(item)
        if self._receiver is not None and len(self._items) == 1:
            self._call_soon()
        self._wake()

    def unpark(self, link: Link) -> None:
        """Takes the oldest request that was parked at `link`, if its reply has a place; then it is the turn of the next one."""
        item = None if self.closed else link.unparked()
        if item is None:
            return
        link.queued -= item.size
        if self._receiver is not None:
            self._receiver(item)
        else:
            self._unparked.append(item)
            self._wake()
        link.unpark()

    def close(self) -> None:
        self.closed = True
        self._items.clear()
        self._unparked.clear()
        self._wake()
        self._receiver = None  # a peer that has ended is let go at once, without a search for cycles

    def _wake(self) -> None:
        """Tells whoever takes that there is something, or that this is the end."""
        if self._waiter is not None and not self._waiter.done() and (self._receiver is None or self.closed):
            self._waiter.set_result(None)

    def _call_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        """Gives the receiver the oldest item that waits."""
        if not self._items or self._receiver is None:
            return
        item = self._items.popleft()
        self._early = max(self._early - 1, 0)
        if self._items:
            self._call_soon()
        if not isinstance(item, Received) or _may_pass(item):
            self._receiver(item)


def _may_pass(item: Received) -> bool:
    """Whether it goes to the peer now, and is not parked."""
    link: Link = item.link
    if (link.crowded or link.parking) and is_request(item.payload):
        _park(link, item)
        return False
    link.queued -= item.size
    return True


def _park(link: Link, item: Received) -> None:
    """Keeps a request for later. What is none may be far larger than its text, and is not kept."""
    try:
        parse_request(item.payload)
    except ProtocolError:
        link.fail("protocol")
    else:
        link.park(item)
