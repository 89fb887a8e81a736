"""What arrived for one peer and was not taken yet: messages, and news of links that ended.

A peer takes it in one of two ways. It awaits `take`; or it is called (`deliver_to`), which spares each message a future, a turn of a
task and a pass of the event loop, a quarter of what a request costs.

A request on a link whose replies still wait to leave is not given to the peer but parked at the link: whoever asks for much and
reads slowly waits for himself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from p2pnb.errors import ProtocolError
from p2pnb.net.carrier import BIG
from p2pnb.net.contract import Lost, Received
from p2pnb.wire.messages import is_request, parse_request

if TYPE_CHECKING:
    from p2pnb.net.link import Link

Item = Received | Lost


class Inbox:
    """One peer's. `closed`: nothing comes or goes any more."""

    __slots__ = ("_items", "_receiver", "_waiter", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._items: deque[Item] = deque()
        self._receiver: Callable[[Item], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    async def take(self) -> Item | None:
        """The next item; None once the inbox is closed."""
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, Lost) or _may_pass(item):
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
        if self._items:
            self._call_soon()

    def put(self, item: Item) -> None:
        """Something arrived. A receiver is called at once.

        But later in this pass or in the next one: of a loss, which may be noticed in the middle of anything; of what is big and had its
        share of this pass; and of whatever comes behind something that waits.
        """
        if self.closed:
            return
        if self._receiver is not None and not self._items and type(item) is Received and item.size <= BIG:
            if _may_pass(item):
                self._receiver(item)
            return
        self._items.append(item)
        self._wake(1)

    def put_back(self, items: Collection[Received]) -> None:
        """What was parked is taken before anything that came after it."""
        if not self.closed:
            self._items.extendleft(reversed(list(items)))
            self._wake(len(items))

    def close(self) -> None:
        self.closed = True
        self._items.clear()
        self._wake(0)
        self._receiver = None  # a peer that has ended is let go at once, without a search for cycles

    def _wake(self, new: int) -> None:
        """Tells whoever takes that there are `new` items."""
        if self._receiver is not None and new and len(self._items) == new:
            self._call_soon()
        if self._waiter is not None and not self._waiter.done() and (self._receiver is None or self.closed):
            self._waiter.set_result(None)

    def _call_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        """Gives the receiver the oldest item."""
        if not self._items or self._receiver is None:
            return
        item = self._items.popleft()
        if self._items:
            self._call_soon()
        if isinstance(item, Lost) or _may_pass(item):
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
