"""A link: one connection between two peers, from the first byte to the last. Bytes in, `Received` out, and accounts.

It decides when a connection has to end; it never decides whom to talk to (the endpoint) or what to say (the peer).

      OPENING --- handshake done, endpoint agrees ---> OPEN --- an hour old, or another link to the uid is kept ---> RETIRED
         |                                              |                                                               |
         |  5 s, garbage, other network, refused        |  FIN, reset, violation, close()                              |  idle,
         v                                              v                                                               v  or as OPEN
      CLOSED (the dial fails)                        CLOSED (`Lost` is announced, once)                              CLOSED (`Lost`)

A RETIRED link still carries replies and whatever the other end asks; we ask nothing new on it, and end it in order as soon as
nobody owes anything. FROZEN is no state of the protocol: it is a cable pulled out, for experiments.

Every violation is answered with a reset and silence, here and nowhere else.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pnb import spec
from p2pnb.address import account_of
from p2pnb.errors import PeerUnreachable, ProtocolError
from p2pnb.net import reasons
from p2pnb.net.accounts import PER_MESSAGE, Accounts
from p2pnb.net.carrier import BIG, TICK
from p2pnb.net.contract import Received
from p2pnb.wire.channel import Channel
from p2pnb.wire.messages import is_request

if TYPE_CHECKING:
    from p2pnb.net.endpoint import Endpoint
    from p2pnb.net.sending import Dial

log = logging.getLogger("p2pnb.net")

OPENING, OPEN, RETIRED, CLOSED = range(4)
FAREWELL = 1.0  # seconds that a retired link is kept for what is already on its way
LONG_FAREWELL = 2 * spec.REQUEST_TIMEOUT  # seconds after which it ends even if somebody keeps it busy
SLOW_MESSAGE = 2 * spec.REQUEST_TIMEOUT  # seconds within which a message that began must be whole: its asker has given up long before


class Link(Accounts):
    """One connection; see `contract.Link` for what a peer sees of it."""

    __slots__ = (
        "_backlog", "_begun", "_channel", "_due", "_endpoint", "_finished", "_last_words", "_since", "_state", "clean", "dial",
        "frozen", "ip", "listens", "outbound", "port", "reason", "uid",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, channel: Channel, ip: str, port: int, dial: Dial | None = None) -> None:
        Accounts.__init__(self)
        self._endpoint, self._channel = endpoint, channel
        self._state = OPENING
        self._since = endpoint.now()  # when its present state began
        self.ip, self.port = ip, port
        self.uid: int | None = None
        self.outbound = self.listens = dial is not None
        self.dial = dial
        self.clean = self.frozen = False
        self.reason = ""  # why it closed, for the log and for the counters
        self._due = self._begun = 0.0  # when the sweep looks at it next, and when the message began of which a part is here; 0: never
        self._finished = False  # whether the other end finished while big messages still wait for their turn
        self._backlog: deque[bytes] | None = None  # texts received, from the first big one on
        self._last_words = b""

    def __repr__(self) -> str:
        word = ("opening", "open", "retired", "closed")[self._state]
        return f"<Link {'to' if self.outbound else 'from'} {self.ip}:{self.port} {word}{' frozen' if self.frozen else ''}>"

    # --- what others ask ------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._state == CLOSED

    @property
    def _account(self) -> Hashable:
        """In whose name it takes turns: its network group's or address's, or (loopback) its own. (A number: turns outlive links.)"""
        return account_of(self.ip) or id(self)

    @property
    def usable(self) -> bool:
        """Whether new requests may be sent on it. One that is due for renewal retires here, unless only the other end can dial."""
        if self._state != OPEN:
            return False
        old = self._endpoint.now() - self._since > spec.RENEW_AFTER_SECONDS or self._channel.records > spec.RENEW_AFTER_RECORDS
        if old and self.listens:
            self.retire()
            return False
        return True

    @property
    def idle(self) -> bool:
        """Whether nobody owes anybody anything on it."""
        return OPEN <= self._state <= RETIRED and self.quiet

    @property
    def held(self) -> int:
        """Bytes that wait on it: to leave, to be taken by the peer, or for the rest of their message."""
        return self.leaving + self.queued + self._channel.held

    @property
    def held_since(self) -> float:
        """When the oldest of them may have begun to wait."""
        return min(self._mark_at if self._mark >= 0 else self._endpoint.now(), self._begun or self._endpoint.now())

    @property
    def age(self) -> float:
        """Seconds since it was opened (or retired)."""
        return self._endpoint.now() - self._since

    # --- sending ----------------------------------------------------------------------------------------------------------

    def send(self, text: bytes, request: bool) -> None:
        """Sends one message (at most 1,000,000 bytes of text). Raises `PeerUnreachable` when the link has ended."""
        size = len(text) + spec.SIZE_PREFIX
        if not OPEN <= self._state <= RETIRED:
            raise PeerUnreachable(f"the link to {self.ip}:{self.port} has ended", "lost")
        self._count_sent(size, request)
        if self.frozen:
            return
        if self._overflows(size):
            self.fail("outgoing queue")
            raise PeerUnreachable(f"{self.ip}:{self.port} does not read what it is sent", "lost")
        if size > BIG or self._outbox:
            self._outbox = self._outbox or deque()
            self._outbox.append(text)
            self._endpoint.carrier.turns.add(self._send_big, self._account)
        elif self._endpoint.carrier.flights.open:
            self._endpoint.carrier.flights.board(self, text)
        else:
            self._write(self._channel.seal(text))
        if self._mark >= 0 or self._outbox:
            self._endpoint.held.weigh(self)

    def write_together(self, texts: list[bytes]) -> None:
        """Writes what a flight kept."""
        if self._state != CLOSED and not self.frozen:
            self._write(self._channel.seal(*texts))

    def _send_big(self) -> None:
        """Seals and writes the next message of the outbox, in its turn."""
        if self._state == CLOSED or not self._outbox:
            return
        data = self._channel.seal(self._outbox.popleft())
        self._outbox = self._outbox or None
        if not self.frozen:
            self._write(data)
        if not self.crowded:
            self.unpark()
        self._wake()

    def _write(self, data: bytes) -> None:
        if self._last_words:
            data, self._last_words = self._last_words + data if data else self._last_words, b""
        if data and self._transport is not None:
            if self._mark >= 0:
                self._written += len(data)
            self._transport.write(data)

    # --- the transport's calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.look_at(self._since + self._endpoint.handshake_timeout)
        self._write(self._channel.start())

    def data_received(self, data: bytes) -> None:
        if self._state == CLOSED or self.frozen:
            return
        try:
            answer, texts = self._channel.receive(data)
            if self._state == OPENING:
                self._greet(answer)
            elif answer:
                self._write(answer)
            if texts:
                self._endpoint.touch(self)
                self._begun = 0.0
                for text in texts:
                    self._take(text)
            if self._channel.held:
                self._unfinished()
            if self._state != OPENING and (len(data) > PER_MESSAGE or self._in_turns):
                self._count_read_bytes(len(data), self._endpoint.now(), self._account)
        except ProtocolError as error:
            self._violated(error)

    def _unfinished(self) -> None:
        """A part of a message is here: the rest has its time."""
        if self._state == CLOSED:
            return
        if not self._begun:
            self._begun = self._endpoint.now()
            self.look_at(self._begun + SLOW_MESSAGE)
        if self._channel.held > BIG:
            self._endpoint.held.weigh(self)

    def eof_received(self) -> None:
        """The other end finished: in order if nothing was cut off. (The transport then closes our direction, too.)"""
        if self._state == CLOSED or self.frozen:
            return
        try:
            self._channel.eof()
        except ProtocolError as error:
            self._violated(error)
            return
        if self._backlog is None:
            self._end("finished", clean=True)
        else:
            self._finished = True
            self._state = RETIRED

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._state != CLOSED and not self._finished:
            self._end(reasons.of_loss(error), clean=False, detail=reasons.detail_of(error))
        self._endpoint.gone(self)

    def pause_writing(self) -> None:
        """Bytes wait to be taken."""
        self._begin_to_wait(self._endpoint.now())
        self.look_at(self._mark_at + self._endpoint.stall_timeout)

    def resume_writing(self) -> None:
        """All bytes were taken."""
        self._mark = -1
        self.unpark()
        self._wake()

    # --- receiving ----------------------------------------------------------------------------------------------------------

    def _greet(self, answer: bytes) -> None:
        """One more step of the handshake; at its end, asks the endpoint whether this is a link to keep."""
        channel = self._channel
        if not channel.established:
            self._write(answer)
            return
        self.uid = channel.uid
        if not self.outbound and channel.port:
            self.port, self.listens = channel.port, True
        if refusal := self._endpoint.refuses(self):
            self.fail(refusal)
            return
        self._state = OPEN
        self._since = self._endpoint.now()
        assert self._transport is not None
        self._transport.take_turns(None)
        if self._mark >= 0:
            self.look_at(self._mark_at + self._endpoint.stall_timeout)
        self._last_words = answer  # of the handshake: they leave with the first message, if there is one now
        self._endpoint.opened(self)
        if self._last_words and not self._endpoint.carrier.flights.boarded(self):
            self._write(b"")

    def _take(self, text: bytes) -> None:
        """One message arrived: read at once, or in its turn if it is big, one of very many, or others before it wait."""
        if self._state == CLOSED:
            return
        size = len(text) + spec.SIZE_PREFIX
        if self._count_arrived(size):
            self.fail("incoming queue")
        elif self.queued > BIG:
            self._endpoint.held.weigh(self)
        if self._state == CLOSED:
            return
        turns = self._endpoint.carrier.turns
        if self._backlog is None and size <= BIG and (self._goes_first(self._endpoint.now()) or turns.claim()):
            self._deliver(text, size)
            return
        self._backlog = self._backlog or deque()
        self._backlog.append(text)
        turns.add(self._read_in_turn, self._account)
        if len(self._backlog) > spec.MAX_UNANSWERED + len(self._asked):
            self.fail("unanswered requests")

    def _read_in_turn(self) -> None:
        """Reads the next message of the backlog, in its turn."""
        if self._state == CLOSED or not self._backlog:
            return
        text = self._backlog.popleft()
        self._backlog = self._backlog or None
        try:
            self._deliver(text, len(text) + spec.SIZE_PREFIX)
        except ProtocolError as error:
            self._violated(error)
        if self._finished and self._backlog is None and self._state != CLOSED:
            self._end("finished", clean=True)

    def _deliver(self, text: bytes, size: int) -> None:
        datum = self._endpoint.read(text)
        if wrong := self._count_read(is_request(datum)):
            self.fail(wrong)
            return
        self._endpoint.inbox.put(Received(self.ip, self.port, datum, self.uid, self, size))

    def unpark(self) -> None:
        """Bytes have left: what was parked may be dealt with, in its turn."""
        if self._parked:
            self._endpoint.carrier.turns.add(partial(self._endpoint.inbox.unpark, self), self._account)

    # --- endings --------------------------------------------------------------------------------------------------------

    def look_at(self, when: float) -> None:
        """Has the sweep look at it at `when`, unless it does so before anyway."""
        if not self._due or when < self._due:
            self._due = when
            self._endpoint.carrier.sweep.at(when, self)

    def check(self, now: float) -> None:
        """Looked at by the sweep: whether something took too long, and when to look again."""
        if now > self._due - 2 * TICK:
            self._due = 0.0
        if self._state == OPEN and self._mark < 0 and not self._begun:  # it was the handshake that had its time
            return
        soon = now + TICK  # what is due until the next tick is due now
        if self._state == OPENING:
            until = self._since + self._endpoint.handshake_timeout
            self.fail("timeout") if until <= soon else self.look_at(until)
        if self._mark >= 0 and OPEN <= self._state <= RETIRED and not self.frozen:
            if self._mark_at + self._endpoint.stall_timeout <= soon and self._stalls(now):
                self.fail("stopped reading")
                return
            self.look_at(self._mark_at + self._endpoint.stall_timeout)
        if self._begun and OPEN <= self._state <= RETIRED and not self.frozen:
            if not self._channel.held:
                self._begun = 0.0
            elif self._begun + SLOW_MESSAGE <= soon:
                self.fail("slow message")
            else:
                self.look_at(self._begun + SLOW_MESSAGE)
        if self._state == RETIRED and not self.frozen:
            if (self.idle and self._since + FAREWELL <= soon) or self._since + LONG_FAREWELL <= soon:
                self.finish("retired")
            else:
                self.look_at(max(self._since, now) + FAREWELL)

    def retire(self) -> None:
        """Asks nothing new on it, and ends it in order once it is idle."""
        if self._state == OPEN:
            self._state = RETIRED
            self._since = self._endpoint.now()
            self.look_at(self._since + FAREWELL)

    def finish(self, reason: str) -> None:
        """Ends it in order (FIN): whatever the other end asked meanwhile, it may ask again elsewhere."""
        if self._state != CLOSED:
            self._endpoint.carrier.flights.depart(self)
            self._end(reason, clean=True)
            if self._transport is not None and not self.frozen:
                self._transport.close()

    def fail(self, reason: str) -> None:
        """Resets it."""
        if self._state != CLOSED:
            self._end(reason, clean=False)
            if self._transport is None:
                self._endpoint.gone(self)
            elif not self.frozen:
                self._transport.abort()

    def close(self, reason: str = "") -> None:
        """Ends the link at once; `Lost` follows. `reason` is for the log."""
        self.fail(reason or "closed")

    def freeze(self) -> None:
        """Pulls the cable out: nothing comes or goes any more, and neither end is told."""
        self.frozen = True
        if self._transport is not None:
            self._transport.freeze()

    def cut(self) -> None:
        """Resets the connection even of a frozen link, or of one that is closing in order."""
        self.frozen = False
        if self._state != CLOSED:
            self._end("cut", clean=False)
        if self._transport is not None:
            self._transport.abort()
        else:
            self._endpoint.gone(self)

    def _violated(self, error: ProtocolError) -> None:
        self.fail(reasons.of_violation(error, self._state == OPENING))
        log.debug("%r broke the protocol: %s", self, error)

    def _end(self, reason: str, clean: bool, detail: str = "") -> None:
        """The one way into CLOSED."""
        opened = self._state != OPENING
        self._state = CLOSED
        self.clean = clean
        self.reason = reason
        self._backlog = self._outbox = self._parked = None
        log.debug("%r: %s", self, reason)
        self._wake()
        self._endpoint.ended(self, opened, detail)
