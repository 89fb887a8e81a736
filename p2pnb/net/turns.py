"""Turns: who works next, where work is not for those who are known to ask for little.

One event loop serves everybody, so whoever makes it work makes all others wait. What established links ask now and then is done
as it comes. Everything else takes turns here: handshakes and whatever else strangers send, large messages and the bytes of them,
and what is asked beyond a link's share. Three rules:

- *Others first.* As long as anybody has something to do that takes no turn, what does gets `SHARE` of the time, and one piece in a
  pass of the loop; a piece that is longer than `LONG`, which others notice who meet it, is followed by a pause that is longer still, so
  that few do. When nobody else has anything to do, it gets all the time: an idle node takes handshakes as fast as it can.
- *By time, not by count.* Whoever used least of the time is next (start-time fair queueing: Goyal, Vin and Cheng 1996). So one
  that floods waits behind itself; who comes now and then is at most `LEAD` in front, whatever it saved up before.
- *By account.* Whose work it is, the caller says: a network group, an address, the number of a link. A piece of one account never
  overtakes an earlier one of the same account. What it used is remembered when it has no work, so its name is text or a number: a
  link by itself would be kept, and with it the node whose it was.

Where time stands still during work, as it does in a simulation, this is one piece of each account in turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from heapq import heappop, heappush

SHARE = 0.1  # of the time, as long as others have something to do
PASS = 0.0005  # seconds of it in a pass of the loop, when nobody else has
LONG = 0.001  # seconds: as many times as a piece is longer, so many times longer is the pause after it
LEAST = 0.00002  # seconds that a piece counts for, however quick it was
LEAD = 0.02  # seconds in front of all others that an account begins, after a pause
MOST_REMEMBERED = 4_096  # accounts without work, of which it is known what they used
AT_ONCE = 4  # small pieces of work in a pass that need take no turn while nobody waits for one

Work = Callable[[], None]


class Turns:
    """The work of one event loop that takes turns. `busy` is set by whoever does work that takes none."""

    __slots__ = ("_claimed", "_due", "_latest", "_let_by", "_loop", "_next", "_order", "_pending", "_queues", "_running", "_used", "busy")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.busy = False
        self._loop = loop
        self._pending = getattr(loop, "_ready", ())  # what asyncio's own loops are about to do; of others it is not known
        self._let_by = False
        self._claimed = 0
        self._due = 0.0  # until when it has had its share
        self._latest = 0.0  # what the account that was served last had used until then
        self._next = 0
        self._running = False  # a pass goes on, or will: whoever comes needs none of his own
        self._queues: dict[Hashable, deque[Work]] = {}  # the accounts that have work
        self._order: list[tuple[float, int, Hashable]] = []  # the same, by what they used: a heap
        self._used: dict[Hashable, float] = {}  # of accounts that have none

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._order)

    def add(self, work: Work, who: Hashable) -> None:
        """Does `work` when it is the turn of the account `who`."""
        queue = self._queues.get(who)
        if queue is not None:
            queue.append(work)
            return
        if not self._running:
            self._running = True
            self._loop.call_soon(self._run)
        self._queues[who] = deque((work,))
        self._enter(who, max(self._used.pop(who, 0.0), self._latest - LEAD))

    def claim(self) -> bool:
        """Whether a small piece of work may be done in this pass, without a turn."""
        if self._order or self._claimed >= AT_ONCE:
            return False
        if not self._claimed:
            self._loop.call_soon(self._release)
        self._claimed += 1
        return True

    def _release(self) -> None:
        self._claimed = 0

    def _enter(self, who: Hashable, used: float) -> None:
        heappush(self._order, (used, self._next, who))
        self._next += 1

    def _run(self) -> None:
        """One pass of the loop."""
        began = now = self._loop.time()
        busy, self.busy = self.busy, False
        others = busy or (bool(self._pending) and not self._let_by)
        self._let_by = others and not busy  # somebody was about to do something: a pass later it shows whether that is work
        if others and now < self._due:
            self._loop.call_soon(self._run)
            return
        try:
            while True:
                now = self._serve(now)
                if others or not self._order or self._pending or now - began >= PASS:
                    break
        finally:
            took = now - began
            self._due = now + took * (1 / SHARE - 1) * max(1.0, took / LONG)
            self.busy = self._let_by = False  # what was written now is nobody else's
            self._running = bool(self._order)
            if self._running:
                self._loop.call_soon(self._run)

    def _serve(self, began: float) -> float:
        """Does the next piece; when it was done."""
        used, _, who = heappop(self._order)
        self._latest = max(self._latest, used)
        queue = self._queues[who]
        ended = began
        try:
            queue.popleft()()
        finally:
            ended = self._loop.time()
            used += max(ended - began, LEAST)
            if queue:
                self._enter(who, used)
            else:
                del self._queues[who]
                self._remember(who, used)
        return ended

    def _remember(self, who: Hashable, used: float) -> None:
        if len(self._used) >= MOST_REMEMBERED:
            self._used = {each: spent for each, spent in self._used.items() if spent > self._latest - LEAD}
            if len(self._used) >= MOST_REMEMBERED:
                self._used.clear()
        self._used[who] = used
