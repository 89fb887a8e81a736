"""Replies in the order of their requests, also where a store takes its time: "replies come in the order of the requests on
a link", and the asker tells them apart by nothing else.

A reply that is there is sent at once, unless an earlier one on its link is still being made.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from p2pnb.dht.deferred import Deferred
from p2pnb.errors import P2PError
from p2pnb.net.contract import Received, Send
from p2pnb.wire.messages import Reply

log = logging.getLogger("p2pnb.peer")


class Replies:
    """What one peer answers. `spawn` runs the sending where that takes a dial."""

    def __init__(self, send: Send, spawn: Callable[[Any], object], encode: Callable[[Reply], Any]) -> None:
        self._send = send
        self._encode = encode
        self._spawn = spawn
        self._queues: dict[Any, deque[tuple[Received, list[Reply]]]] = {}  # by link, where one is still being made

    def answer(self, item: Received, reply: Reply | Deferred[Reply]) -> None:
        """Sends the reply to `item`, after those to earlier requests on its link."""
        if not isinstance(reply, Deferred) and item.link not in self._queues:
            self._reply(item, reply)
            return
        slot: list[Reply] = []
        self._queues.setdefault(item.link, deque()).append((item, slot))

        def ready(made: Reply) -> None:
            slot.append(made)
            self._flush(item.link)

        if isinstance(reply, Deferred):
            reply.then(ready)
        else:
            ready(reply)

    def lost(self, link: Any) -> None:
        """A link ended: nobody waits there any more."""
        self._queues.pop(link, None)

    def close(self) -> None:
        """Answers nobody any more, and lets go of the peer."""
        self._queues.clear()
        self._spawn = _end

    def _flush(self, link: Any) -> None:
        queue = self._queues.get(link)
        while queue and queue[0][1]:
            item, slot = queue.popleft()
            self._reply(item, slot[0])
        if not queue:
            self._queues.pop(link, None)

    def _reply(self, item: Received, reply: Reply) -> None:
        try:
            sent = self._send(item.ip, item.port, self._encode(reply), uid=item.uid, link=item.link)
        except P2PError as error:
            log.debug("no reply to %s:%s: %s", item.ip, item.port, error)
            if item.link is not None:
                item.link.close("a reply could not be sent")  # later ones would be taken for it
            return
        if sent is not item.link and inspect.iscoroutine(sent):
            self._spawn(sent)


def _end(sending: Any) -> None:
    """What a closed peer makes of a reply that would take a dial."""
    sending.close()
