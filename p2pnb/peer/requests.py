"""Requests and the replies to them: which belongs to which, until when, and what becomes of those that are lost.

The protocol has no request numbers: "replies come in the order of the requests on a link". So a link's unanswered
requests stand in one queue, and a reply belongs to the request at its head. What follows from that:

- a reply of another procedure's kind, or one that nobody asked for, means that the two ends no longer agree: the link closes;
- a request that times out takes its link with it, since the late reply would be taken for the next one's; but one that waited for a dial
  leaves the link the rest of 5 s since it was sent: a late reply is told by its place, and the dial was not in vain;
- at most 16 requests are unanswered on a link; further ones wait here, and so do those for a peer that is being dialled;
- every request has the same 5 seconds, so a dict in order of asking is in order of deadlines too: one timer sweeps it;
- requests lost with a link that closed in order were perhaps never read: they are asked once more, within the same 5 s.

Nothing here decides whom to ask. `ask` never calls back before it has returned.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

from p2pnb import spec
from p2pnb.errors import P2PError, PeerUnreachable, ProtocolError, RemoteProtocolError, RequestTimeout
from p2pnb.net import reasons
from p2pnb.net.contract import Link, Received, Send
from p2pnb.net.sending import Sending
from p2pnb.peer.cause import CAUSE
from p2pnb.peer.report import Event
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import REPLIES_TO, VERBS, Reply, Request, Set, Stored, Value, Welcome, parse_reply, to_datum
from p2pnb.wire.sexp_outline import outline

LARGE = 4_096  # bytes of a value that is not kept for those who watch

_WORDS = {kind: kind.__name__.lower() for kinds in REPLIES_TO.values() for kind in kinds if kind is not Stored}

Outcome = Reply | P2PError
Done = Callable[[Contact, Outcome], None]


class Asked:
    """One request on its way. `link` is known once it was sent; `done` is called once, with the reply or the error."""

    __slots__ = ("again", "bytes_out", "cause", "contact", "datum", "deadline", "done", "link", "request", "sending", "sent", "since")

    def __init__(self, contact: Contact, request: Request, datum: Any, done: Done, now: float, cause: str) -> None:
        self.contact = contact
        self.request = request
        self.datum = datum
        self.done = done
        self.since = now
        self.deadline = now + spec.REQUEST_TIMEOUT
        self.cause = cause
        self.link: Any = None
        self.bytes_out = 0
        self.sent = now
        self.sending: asyncio.Task[None] | Sending | None = None  # while it waits for a dial
        self.again = False  # whether it was asked once more already

    @property
    def lane(self) -> Any:
        """Whose order it stands in: its link's, or its address's on a carrier without links."""
        return self.link if self.link is not None else self.contact.address


class Requests:
    """All requests of one peer. `settled` hears of every outcome, also of those whose asker has lost interest.

    `words` are the causes whose messages the log is to have in words; it may change at any time. `encode` makes of a request what
    `send` is given.
    """

    def __init__(
        self,
        send: Send,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        settled: Callable[[Contact, Outcome, float], None],
        log: Callable[[Event], None],
        own: int,
        words: Collection[str] = (),
        encode: Callable[[Request], Any] = to_datum,
    ) -> None:
        self._send = send
        self._encode = encode
        self._loop = loop
        self.clock = clock
        self._settled = settled
        self._log = log
        self._own = own
        self._words = words
        self._unanswered: dict[Any, list[Asked]] = {}  # at most 16 each, and most of them one
        self._waiting: dict[int | Contact | None, deque[Asked]] = {}  # for room on the link to a uid, or for the dial of a contact
        self._dialling: set[Contact] = set()
        self._links: dict[int, Any] = {}
        self._open: dict[Asked, None] = {}
        self._overdue: list[Asked] = []  # whose time is over, and not yet their link's
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.count = 0
        self.linkless = False  # whether the carrier turned out to have no links
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    def is_linked(self, uid: int) -> bool:
        """Whether a request to `uid` would take no dial, as far as is known here."""
        link = self._links.get(uid)
        return link is not None and not link.closed

    def met(self, link: Link) -> bool:
        """Somebody is at the other end of `link`: it carries our requests as well, until another one does. Whether that is news."""
        uid = link.uid
        if uid is None or self._links.get(uid) is link:
            return False
        self._links.setdefault(uid, link)
        return True

    def ask(self, contact: Contact, request: Request, done: Done, datum: Any = None, cause: str | None = None) -> None:
        """Sends `request` to `contact`; `datum` is its written form where one is sent to several, `cause` for the log."""
        now = self.clock()
        asked = Asked(contact, request, self._encode(request) if datum is None else datum, done, now, cause or CAUSE.get())
        self._open[asked] = None
        self.count += 1
        if self._closed:  # somebody goes on with the next contact, since the one before has failed
            self._loop.call_soon(self._settle, asked, PeerUnreachable("the peer was closed", "closed"))
            return
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(spec.REQUEST_TIMEOUT, self._sweep)
        self._transmit(asked)

    async def reply(self, contact: Contact, request: Request) -> Reply:
        """Asks, and waits for the reply. Raises the `P2PError` that came in its place."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def done(_: Contact, outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.ask(contact, request, done)
        outcome = await future
        if isinstance(outcome, P2PError):
            raise outcome
        return outcome

    # --- out ----------------------------------------------------------------------------------------------------------

    def _transmit(self, asked: Asked) -> None:
        contact = asked.contact
        link = self._links.get(contact.uid) if contact.uid is not None else None
        full = link is not None and not link.closed and len(self._unanswered.get(link, ())) >= spec.MAX_UNANSWERED
        if full or (self._dialling and contact in self._dialling):  # the dial of another address of that uid may be in vain
            self._waiting.setdefault(contact.uid if full else contact, deque()).append(asked)
            return
        try:
            sent = self._send(contact.ip, contact.port, asked.datum, uid=contact.uid)
        except P2PError as error:
            self._loop.call_soon(self._settle, asked, error)
            return
        if isinstance(sent, Sending):
            self._dialling.add(contact)
            asked.sending = sent
            sent.then(partial(self._sent, asked))
        elif inspect.iscoroutine(sent):
            self._dialling.add(contact)
            task = asked.sending = self._loop.create_task(self._finish(asked, sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: sent.close())  # it never began, if the task was cancelled at once
        else:
            self._enqueue(asked, sent)

    async def _finish(self, asked: Asked, sending: Coroutine[Any, Any, Any]) -> None:
        """Waits for a carrier that sends by coroutines."""
        outcome: Any = None
        try:
            outcome = await sending
        except (P2PError, asyncio.CancelledError) as error:
            outcome = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._sent(asked, outcome)

    def _sent(self, asked: Asked, outcome: Any) -> None:
        """What came of a dial. Writing and noting what was written happen in one step, so the order is the link's."""
        error = outcome if isinstance(outcome, P2PError) else None
        if error is not None:
            self._settle(asked, error)
        elif not isinstance(outcome, asyncio.CancelledError):
            self._enqueue(asked, outcome)
        self._dialled(asked.contact, error)

    def _dialled(self, contact: Contact, error: P2PError | None) -> None:
        """A dial has ended, and who waited for it shares its fate."""
        self._dialling.remove(contact)
        for other in self._waiting.pop(contact, ()):
            if error is not None:
                self._settle(other, error)
            elif other in self._open:
                self._transmit(other)

    def _enqueue(self, asked: Asked, link: Any) -> None:
        asked.link = link
        asked.sent = self.clock()
        if link is None:
            self.linkless = True
        else:
            asked.bytes_out = link.last_sent
            if link.uid is not None:
                self._links[link.uid] = link
        queue = self._unanswered.get(asked.lane)
        if queue is None:
            self._unanswered[asked.lane] = [asked]
        else:
            queue.append(asked)

    # --- in -----------------------------------------------------------------------------------------------------------

    def received(self, item: Received) -> None:
        """A reply. Raises `RemoteProtocolError` when it cannot be the reply to the oldest request on its link."""
        lane = item.link if item.link is not None else (item.ip, item.port)
        queue = self._unanswered.get(lane)
        if not queue:
            raise RemoteProtocolError("a reply that nobody asked for")
        asked = queue.pop(0)
        if not queue:
            del self._unanswered[lane]
        try:
            reply = parse_reply(item.payload)
            if isinstance(reply, Welcome) and item.uid not in (None, reply.uid):
                raise ProtocolError("welcome with a uid that is not the link's")
            if type(reply) not in REPLIES_TO[type(asked.request)]:
                raise ProtocolError(f"{type(reply).__name__} does not answer {VERBS[type(asked.request)]}")
        except ProtocolError as error:
            wrong = RemoteProtocolError(f"{asked.contact} answered nonsense: {error}")
            self._settle(asked, wrong, item.size)
            raise wrong from None
        self._settle(asked, reply, item.size)
        if item.link is not None and item.uid in self._waiting:
            self._next(item.uid)

    def lost(self, link: Link) -> None:
        """A link ended: its requests are asked once more if it ended in order, else they failed."""
        if link.uid is not None and self._links.get(link.uid) is link:
            del self._links[link.uid]
        for asked in self._unanswered.pop(link, ()):
            if link.clean and not asked.again and asked in self._open:
                asked.again = True
                asked.link = None
                self._transmit(asked)
            else:
                self._settle(asked, PeerUnreachable(f"the link to {asked.contact} broke", "lost"))
        self._next(link.uid)

    def _next(self, uid: Any) -> None:
        waiting = self._waiting.pop(uid, None)
        while waiting:
            asked = waiting.popleft()
            if asked in self._open:
                self._transmit(asked)
                if uid in self._waiting:  # full again: the others keep their places behind it
                    self._waiting[uid].extend(waiting)
                    return

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _settle(self, asked: Asked, outcome: Outcome, bytes_in: int = 0) -> None:
        if asked not in self._open:
            return
        del self._open[asked]
        now = self.clock()
        rtt = min(now - asked.since, spec.REQUEST_TIMEOUT)  # more only if the clock was set
        answered = not isinstance(outcome, P2PError)
        self._log(
            Event(
                asked.since,
                self._own,
                asked.contact.uid,
                VERBS[type(asked.request)],
                _outcome_word(outcome),
                asked.bytes_out,
                bytes_in,
                rtt if answered else None,
                asked.cause,
                [_in_words(asked.request), _in_words(outcome)] if asked.cause in self._words else None,
            )
        )
        self._settled(asked.contact, outcome, rtt)
        asked.done(asked.contact, outcome)

    def _sweep(self) -> None:
        """Ends what is older than 5 s, and links that owe a reply for as long, and comes back when the next will be."""
        now = self.clock()
        late = []
        for asked in self._open:
            if asked.deadline > now + 1e-9:
                break
            late.append(asked)
        for asked in late:
            self._settle(asked, self._why_late(asked))
            if asked.link is not None:
                self._overdue.append(asked)
            elif asked.sending is not None and not asked.sending.done():
                asked.sending.cancel()  # or it would be written later, and its reply taken for another's
            elif (queue := self._unanswered.get(asked.lane)) and asked in queue:
                queue.remove(asked)
        self._overdue = [asked for asked in self._overdue if asked in self._unanswered.get(asked.link, ())]
        for asked in list(self._overdue):
            if asked.sent + spec.REQUEST_TIMEOUT <= now + 1e-9:
                asked.link.close("timeout")
        dues = [asked.sent + spec.REQUEST_TIMEOUT for asked in self._overdue if not asked.link.closed]
        dues += [asked.deadline for asked in [next(iter(self._open), None)] if asked is not None]
        self._sweeper = self._loop.call_later(max(min(dues) - now, 0.0), self._sweep) if dues else None

    def _why_late(self, asked: Asked) -> P2PError:
        """Nobody answered; or nobody was reached, where the request's time was over a moment before its dial's."""
        dialling = asked.sending is not None and not asked.sending.done()
        if dialling and (asked.contact.uid is None or not self.is_linked(asked.contact.uid)):
            return reasons.unreachable("timeout", asked.contact.ip, asked.contact.port, "", spec.REQUEST_TIMEOUT)
        return RequestTimeout(f"no reply from {asked.contact} within {spec.REQUEST_TIMEOUT:g} s")

    def close(self) -> None:
        """Fails everything that is open, and what is asked from now on, and leaves no timer and no task."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        for asked in list(self._open):
            if asked.sending is not None:
                asked.sending.cancel()
            self._settle(asked, PeerUnreachable("the peer was closed", "closed"))
        self._unanswered.clear()
        self._waiting.clear()
        self._overdue.clear()
        self._settled = _nobody_hears  # lets go of the peer, which is gone then without a search for cycles


def _nobody_hears(_: Contact, __: Outcome, ___: float) -> None:
    """What a closed peer makes of an outcome."""


def _in_words(message: Request | Outcome) -> Any:
    """The message as it is, which costs nothing now; of an error and of a large value the text that will be shown."""
    if isinstance(message, P2PError):
        return str(message)
    return outline(to_datum(message)) if isinstance(message, (Set, Value)) and len(message.value) > LARGE else message


def _outcome_word(outcome: Outcome) -> str:
    if isinstance(outcome, Stored):
        return "stored" if outcome.accepted else "refused"
    word = _WORDS.get(type(outcome))
    if word is not None:
        return word
    if isinstance(outcome, PeerUnreachable):
        return outcome.reason
    if isinstance(outcome, RequestTimeout):
        return "timeout"
    if isinstance(outcome, ProtocolError):
        return "nonsense"
    return type(outcome).__name__.lower()
