"""A link's accounts: who owes whom an answer, how much waits on the way, and therefore who may send what.

What is counted, and what happens (numbers in `spec`):

- requests received and not yet answered: more than 16 when one is read: reset;
- a message that is no request while we have asked nothing: reset;
- bytes received and not yet taken by the peer: more than 2 MB, and the replies that we asked for: reset. Reading may have to wait,
  and never stops: two ends that both send much cannot block each other;
- bytes written and not yet taken by the other end: more than 2 MB: reset; a byte that waited for 4.5 to 9 s: reset;
- requests sent and not yet answered: while 16, or 2 MB of them, are out, there is no room for another. So an honest peer never
  runs into its neighbour's limits;
- requests received while replies are still leaving are parked: whoever asks for much and reads slowly waits for himself;
- messages are dealt with as they come: 64 of a link, and 200 a second more, where 4 KB that come, or 1 KB of a large reply, count as
  another one. Beyond that they take turns (`turns`), and so does the reading of what comes in larger pieces. So however many links ask
  without end, and for however much, whoever asks now and then goes first.

This file counts; `link` acts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable

from p2pnb import spec
from p2pnb.net.carrier import BIG, Transport
from p2pnb.net.contract import Received
from p2pnb.net.sending import Sending

BURST, SHARE = 64.0, 200.0  # messages of a link that are dealt with as they come: at once, and a second
PER_MESSAGE = 4_096  # bytes that count as another one: they take about as long
REPLY = 4  # times as long takes a byte of a large reply, which has to be looked for and written
CROWDED = spec.MAX_QUEUED - spec.MAX_MESSAGE - BIG  # bytes leaving from which on there is no place for another full reply


class Accounts(asyncio.Protocol):
    """What a link counts. A thousand nodes have twelve thousand of them: what is rare is None."""

    __slots__ = (
        "_asked",
        "_credit",
        "_credit_at",
        "_in_turns",
        "_mark",
        "_mark_at",
        "_outbox",
        "_parked",
        "_room",
        "_transport",
        "_unanswered",
        "_written",
        "bytes_in",
        "bytes_out",
        "last_sent",
        "queued",
        "requests_in",
        "requests_out",
    )

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self.last_sent = 0  # bytes of the last message
        self.queued = 0  # bytes received that the peer has not taken
        self.requests_in = self.requests_out = self.bytes_in = self.bytes_out = 0  # ever, for the records
        self._unanswered = 0  # requests received
        self._credit, self._credit_at = BURST, 0.0  # messages that go first, and since when that is so
        self._in_turns = False  # whether what comes is read in turn
        self._asked: tuple[int, ...] = ()  # sizes of requests sent, until their replies come
        self._written = 0  # bytes that waited to be taken when some first did, and those given to the transport since
        self._mark = -1  # while bytes wait to be taken: how many must be gone at the next check; else -1
        self._mark_at = 0.0
        self._outbox: deque[bytes] | None = None  # texts to send, from the first big one on
        self._parked: deque[Received] | None = None
        self._room: list[Sending] | None = None  # what waits for room

    @property
    def quiet(self) -> bool:
        """Whether nobody owes anybody anything."""
        owed = self._unanswered or self._asked or self.queued or self._room or self._outbox or self._parked
        return not owed and self._mark < 0

    @property
    def leaving(self) -> int:
        """Bytes that were sent and not yet taken."""
        waiting = 0 if self._mark < 0 else self._waiting
        return waiting + (sum(map(len, self._outbox)) if self._outbox else 0)

    @property
    def crowded(self) -> bool:
        """Whether requests received have to wait until replies have left."""
        return (self._mark >= 0 or bool(self._outbox)) and self.leaving > CROWDED

    @property
    def parking(self) -> bool:
        """Whether requests wait already: later ones must not overtake them."""
        return bool(self._parked)

    def has_room(self, size: int) -> bool:
        """Whether another request of `size` bytes may be sent now."""
        asked = self._asked
        if not asked and self._mark < 0 and not self._outbox:
            return True
        return len(asked) < spec.MAX_UNANSWERED and sum(asked) + size <= spec.MAX_QUEUED and self.leaving + size <= spec.MAX_QUEUED

    def wait_for_room(self, sending: Sending) -> None:
        """Serves `sending` when there may be room again: a reply came, bytes were taken, or the link ended."""
        if self._room is None:
            self._room = []
        self._room.append(sending)

    def park(self, item: Received) -> None:
        """Keeps a request until the replies that are leaving have left."""
        if self._parked is None:
            self._parked = deque()
        self._parked.append(item)

    def unparked(self) -> Received | None:
        """The request that was parked first, if its reply has a place now."""
        if not self._parked or self.crowded:
            return None
        item = self._parked.popleft()
        self._parked = self._parked or None
        return item

    def _count_sent(self, size: int, request: bool) -> None:
        self.last_sent = size
        self.bytes_out += size
        if request:
            self.requests_out += 1
            self._asked += (size,)
        else:
            self._unanswered -= self._unanswered > 0
            if size > PER_MESSAGE:
                self._count_large(size * REPLY)

    def _overflows(self, size: int) -> bool:
        """Whether another message of `size` bytes is more than may wait to leave."""
        return (self._mark >= 0 or bool(self._outbox)) and self.leaving + size > spec.MAX_QUEUED

    def _count_arrived(self, size: int) -> bool:
        """Counts a message that arrived; whether it is more than may wait for the peer."""
        self.queued += size
        self.bytes_in += size
        return self.queued > spec.MAX_QUEUED and self.queued > spec.MAX_QUEUED + len(self._asked) * spec.MAX_MESSAGE

    def _goes_first(self, now: float) -> bool:
        """Whether a message is dealt with as it comes, or has to take its turn."""
        credit = self._credit + (now - self._credit_at) * SHARE
        self._credit_at = now
        goes = credit >= 1.0
        self._credit = (credit if credit < BURST else BURST) - goes
        return goes

    def _count_read_bytes(self, size: int, now: float, who: Hashable) -> None:
        """Much came at once: what comes next is read in the turns of `who`, until this was paid for."""
        self._count_large(size)
        in_turns = not self._goes_first(now)
        if in_turns is not self._in_turns and self._transport is not None:
            self._in_turns = in_turns
            self._transport.take_turns(who if in_turns else None)

    def _count_large(self, size: int) -> None:
        """Counts bytes that came, or that were asked for: as further messages, which may have to be waited for."""
        self._credit = max(self._credit - size / PER_MESSAGE, -BURST)

    def _count_read(self, request: bool) -> str:
        """Counts a message that was read; the word for what is wrong with it, if anything is."""
        if request:
            self.requests_in += 1
            self._unanswered += 1
            return "unanswered requests" if self._unanswered > spec.MAX_UNANSWERED else ""
        if not self._asked:
            return "unasked reply"
        self._asked = self._asked[1:]
        if self._room:
            self._wake()
        return ""

    def _begin_to_wait(self, now: float) -> None:
        """Sets the first mark: what waits now."""
        self._mark = self._written = self._waiting
        self._mark_at = now

    @property
    def _waiting(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _stalls(self, now: float) -> bool:
        """Whether none of the bytes that waited at the last mark were taken; sets the next mark."""
        if self._written - self._waiting < self._mark:
            return True
        self._mark, self._mark_at = self._written, now
        return False

    def _wake(self) -> None:
        if self._room is not None:
            waiting, self._room = self._room, None
            asyncio.get_running_loop().call_soon(self._serve, waiting)

    def _serve(self, waiting: list[Sending]) -> None:
        for sending in waiting:
            sending.serve(self)  # type: ignore[arg-type]  # whoever has accounts is a link
