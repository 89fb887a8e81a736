"""The middle of a peer: what it receives, whom it learns of, and how it asks.

A routing table, a store and a responder (all of `dht`, all pure), one task that takes what `recv()` gives, and the
requests that are open. No socket is opened here and no clock read: `recv` and `send` are the network, `clock` and the
loop's timers are time, `rng` is chance. The procedures stand on this, in `records.py`, `values.py`,
`bags.py`, `namespaces.py` and `peer.py`; what a peer does unasked stands in `upkeep.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Collection
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pnb import spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.policies import Policies, PolicyTable
from p2pnb.dht.responder import Answers, Responder
from p2pnb.dht.store import Store
from p2pnb.dht.table import RoutingTable
from p2pnb.disk.rows import Published
from p2pnb.disk.store import DiskStore
from p2pnb.errors import LocalProtocolError, P2PError, PeerUnreachable, ProtocolError
from p2pnb.net.carrier import clock_of
from p2pnb.net.contract import Link, Lost, Opened, Received, Recv, Send
from p2pnb.peer.cause import CAUSE, UPKEEP
from p2pnb.peer.clock import Forward
from p2pnb.peer.lasting import Lasting, Place
from p2pnb.peer.meeting import Meetings
from p2pnb.peer.replies import Replies
from p2pnb.peer.report import Event, Looked, Report, forget
from p2pnb.peer.requests import Done, Outcome, Requests
from p2pnb.peer.search import Along, Judge, Patience, PolicySearch, Search
from p2pnb.peer.signs import Signs
from p2pnb.peer.silence import Silence, note
from p2pnb.uid import as_key, short
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import (
    VERBS,
    Iam,
    Reply,
    Request,
    Welcome,
    is_request,
    parse_request,
    to_datum,
    to_written,
)

if TYPE_CHECKING:
    from p2pnb.peer.upkeep import Upkeep

log = logging.getLogger("p2pnb.peer")

KEPT_LOOKUPS = 256  # the newest, for those who want to see them
MOST_TASKS = 256  # from which on nobody is asked back who says `iam` on a carrier without links


class Core:
    """What all procedures of `Peer` stand on; its docstring explains the arguments."""

    def __init__(
        self,
        uid: bytes | str,
        recv: Recv,
        send: Send,
        replication: int = spec.REPLICATION,
        *,
        k: int = spec.K,
        alpha: int = spec.ALPHA,
        network: str = "",
        address: tuple[str, int] | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] | None = None,
        log: Callable[[Event], None] | None = None,
        words: Collection[str] = (),
        listens: bool = True,
        policies: Policies | None = None,
        store: Place | None = None,
        codec: bool = True,
    ) -> None:
        self.uid = as_key(uid, "a uid")
        self.replication = _within(replication, spec.MIN_REPLICATION, spec.MAX_REPLICATION, "replication")
        self.k = _within(k, spec.MIN_K, spec.K, "k")
        self.alpha = _within(alpha, 1, spec.MAX_CONTACTS, "alpha")
        self.network = network
        self.address = address
        self.listens = listens  # a client is never listed, so it holds no records either
        self.own = self.uid.int
        self.rng = rng or random.Random()
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("a Peer lives on an event loop: make it inside a coroutine, or use Cluster.launch") from None
        self.clock = clock_of(self.loop) if clock is None else Forward(clock)
        self.policies = policies
        self.table = RoutingTable(self.own, self.k) if policies is None else PolicyTable(self.own, self.k, policies)
        self.lasting = Lasting(store, self.uid, network, self.clock)
        self.lasting.listens_at(address)
        part = self.lasting.part
        self.store = Store(network=network, rng=self.rng) if part is None else DiskStore(part, self.clock(), network=network, rng=self.rng)
        self.responder: Answers = Responder(self.own, self.table, self.store)
        self.patience, self.last = Patience(), Report("", "")
        self.lookups: deque[Looked] = deque(maxlen=KEPT_LOOKUPS)
        self.answered = self.refused_links = 0
        self.announced = False  # whether the carrier turned out to announce links
        self._recv, self._send = recv, send
        encode: Callable[[Any], Any] = to_datum if codec else _as_it_is
        self.written: Callable[[Request], Any] = to_written if codec else _as_it_is  # as `encode`, for what is sent to several
        self.requests = Requests(send, self.loop, self.clock, self._settled, log or forget, self.own, words, encode)
        self._meetings = Meetings(self, send)
        self.meet = self._meetings.begin
        self._addresses: dict[tuple[str, int], int] = {}  # carriers without links: which uid welcomed us from there
        self._silence = Silence(self.clock)
        self._signs = Signs(self.own, self.table, self._silence, self.requests.ask)
        self._replies = Replies(send, self.spawn, encode)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.upkeep: Upkeep | None = None  # a peer has one if it likes; it hears of who joins, and of what was handed on
        self.closed = False
        self._context = Context()  # whatever arrives, no call of ours is its cause
        receiver = self.loop.create_task(self._receive(), name=f"peer {short(self.uid)} receives", context=self._context)
        self._tasks.add(receiver)  # which forgets it in the end: a cancelled task holds on to whatever its frames knew
        receiver.add_done_callback(self._spawned)

    # --- asking -------------------------------------------------------------------------------------------------------

    async def greet(self, ip: str, port: int) -> Contact:
        """As `connect`, but returns the contact, and raises the `PeerUnreachable` or `RequestTimeout` that came instead."""
        if (ip, port) == self.address:
            raise PeerUnreachable("that is this peer's own address", "self")
        reply = await self.requests.reply(contact(ip, port), Iam(self.own))
        assert isinstance(reply, Welcome)
        if reply.uid == self.own:
            raise PeerUnreachable("that is this peer itself", "self")
        known = contact(ip, port, reply.uid)
        self._note_welcome(known, reply)
        self.table.seen(known, self.clock(), dialled=True)
        return known

    async def search(
        self, target: int, request: Request, *, want: int, judge: Judge | None = None,
        thrifty: bool = False, again: bool = False, along: Along | None = None,
    ) -> Search:  # fmt: skip
        """Drives one lookup with `request` to its end; `thrifty`: with few requests rather than in the shortest time.

        `again`: those who were silent lately are asked, too. `along` hears of everybody who is asked, and who has answered.
        """
        now = self.clock()
        seeds = self.table.nearest(target, spec.MAX_CONTACTS)
        if self.policies is not None and self.policies.active and CAUSE.get() != UPKEEP:
            search: Search = PolicySearch(self, self.policies, seeds, target, request, want, judge)
        else:
            lookup = Lookup(
                target, self.own, seeds, want=want, alpha=self.alpha, now=now, patience=self.patience.seconds,
                is_linked=self.requests.is_linked, prefer_linked=judge is not None, scout=thrifty and judge is None,
                own_address=self.address, is_silent=(lambda _: False) if again else self._silence.of, is_doubted=self._silence.doubted,
            )  # fmt: skip
            search = Search(self, lookup, request, judge, self.patience.stagger if thrifty else 0.0, along)
        await search.run()
        done, ended = search.lookup, self.clock()
        self._silence.learn(done)
        self.table.looked_up(target, ended)
        found = None if judge is None else search.result is not None
        counts = (done.hops, done.rpcs, done.dials, done.failures)
        self.lookups.append(Looked(now, target, VERBS[type(request)], *counts, ended - now, found, CAUSE.get()))
        return search

    def recheck(self) -> None:
        """Asks every contact that failed last time whether it is back: after a partition, most are."""
        for row in self.table.rows(self.clock()):
            doubtful = self.table.get(row["uid"])
            if row["failures"] and doubtful is not None:
                self._signs.check(doubtful)

    def ask(self, whom: Contact, request: Request, done: Done, datum: Any = None, cause: str | None = None) -> None:
        """One request. On a carrier without links an address must first say `welcome` with the uid it is said to have."""
        if self.requests.linkless and whom.uid is not None and self._addresses.get(whom.address) != whom.uid:
            self.requests.ask(whom, Iam(self.own), partial(self._ask_welcomed, request, done, datum, cause), cause=cause)
        else:
            self.requests.ask(whom, request, done, datum, cause)

    def _ask_welcomed(self, request: Request, done: Done, datum: Any, cause: str | None, whom: Contact, outcome: Outcome) -> None:
        if isinstance(outcome, Welcome) and outcome.uid == whom.uid:
            self.requests.ask(whom, request, done, datum, cause)
        elif isinstance(outcome, P2PError):
            done(whom, outcome)
        else:
            done(whom, PeerUnreachable(f"{whom} is somebody else", "wrong-uid"))

    # --- what arrives -------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            try:
                item = await self._recv()
            except P2PError:  # the carrier was closed
                return
            self._hear(item)

    def hear(self, item: Received | Opened | Lost | tuple[str, int, Any]) -> None:
        """Takes what `recv` would have given, for carriers that call as soon as something arrives."""
        if isinstance(item, Opened):  # it makes us ask nothing in anybody's name
            self._hear(item)
        else:
            self._context.run(self._hear, item)

    def _hear(self, item: Received | Opened | Lost | tuple[str, int, Any]) -> None:
        if isinstance(item, Opened):
            self.announced = True
            self.opened(item.link)
            return
        if isinstance(item, Lost):
            self._signs.lost(item.link)
            self._replies.lost(item.link)
            self.requests.lost(item.link)
            return
        received = item if isinstance(item, Received) else Received(*item)
        try:
            self._take(received)
        except ProtocolError as error:
            self.refused_links += 1
            log.debug("%s breaks the protocol: %s", received.ip, error)
            if received.link is not None:
                received.link.close("protocol")
        except Exception as error:  # a mistake of ours: said aloud, and the peer goes on serving the others
            self.loop.call_exception_handler({"message": f"{self!r} could not take a message", "exception": error})

    def _take(self, item: Received) -> None:
        """One datum: a request is answered, a reply goes to whoever waits for it. Raises `ProtocolError`."""
        uid = item.uid if item.uid is not None else self._addresses.get((item.ip, item.port))
        now = self.clock()
        if is_request(item.payload):
            request = parse_request(item.payload)
            self._signs.of_life(item.ip, item.port, uid, item.link, now)
            if item.link is not None:
                self.requests.met(item.link)
            self.answered += 1
            if type(request) is Iam:
                self._check_iam(request, item)
            reply = self.responder.answer(request, uid=uid, ip=item.ip, port=item.port, now=now)
            if isinstance(reply, Deferred):
                reply = reply.map(partial(self._answered, request, item, uid))
            else:
                self._answered(request, item, uid, reply)
            self._replies.answer(item, reply)
        else:
            self.requests.received(item)
            self._signs.of_life(item.ip, item.port, uid, item.link, now)

    def _answered(self, request: Request, item: Received, uid: int | None, reply: Reply) -> Reply:
        if self.upkeep is not None and uid is not None:
            self.upkeep.answered(request, item, uid, reply)
        return reply

    def opened(self, link: Link) -> None:
        """Whoever is at its other end has proven its uid."""
        if self.requests.met(link):
            self._signs.of_life(link.ip, link.port, link.uid, link, self.clock())

    def _check_iam(self, request: Iam, item: Received) -> None:
        """A claim is held against the link. Without one it is not believed: we ask whoever really listens there."""
        if item.uid is not None:
            if request.uid != item.uid:
                raise ProtocolError("iam with a uid that is not the link's")
        elif request.uid != self.own and self._addresses.get((item.ip, item.port)) != request.uid and len(self._tasks) < MOST_TASKS:
            self.spawn(self._verify(item.ip, item.port))

    async def _verify(self, ip: str, port: int) -> None:
        try:
            await self.greet(ip, port)
        except P2PError as error:
            log.debug("%s:%s said iam, and does not answer to it: %s", ip, port, error)

    # --- what comes of requests ---------------------------------------------------------------------------------------

    def _settled(self, asked: Contact, outcome: Outcome, rtt: float) -> None:
        if not isinstance(outcome, P2PError):
            self.patience.observe(rtt)
            self._silence.heard(asked)
            if asked.uid is not None:
                self.table.rtt(asked.uid, rtt)
                if isinstance(outcome, Welcome):
                    self._note_welcome(asked, outcome)
        else:
            self.refused(asked, outcome)

    def refused(self, asked: Contact, error: P2PError) -> None:
        """`error` came in the place of an answer, or of a link."""
        uid = asked.uid
        if uid is None or isinstance(error, LocalProtocolError) or (isinstance(error, PeerUnreachable) and error.reason == "closed"):
            return  # nobody's failure, or our own doing
        self._signs.of_trouble(asked, uid, self.clock())

    def penalise(self, liar: Contact) -> None:
        """A peer sent what is not what it said."""
        self._signs.of_lies(liar, self.clock())

    def _note_welcome(self, asked: Contact, welcome: Welcome) -> None:
        self._meetings.welcomed(asked, welcome)
        if self.requests.linkless:
            note(self._addresses, asked.address, welcome.uid)

    @property
    def external_ip(self) -> str | None:
        """The address that others see this peer at, once three network groups agree on it; else None."""
        return self._meetings.external_ip

    @property
    def published(self) -> dict[Any, Published]:
        """What this peer set itself, and renews."""
        return self.lasting.published

    # --- experiments --------------------------------------------------------------------------------------------------

    def use_clock(self, clock: Callable[[], float]) -> None:
        """From now on `clock` tells the time; it must not be behind the one before."""
        self.clock = self.requests.clock = self._silence.clock = clock

    def adopt(self, store: Store, published: dict[Any, Published]) -> None:
        """Goes on with the records of an earlier peer of the same uid, as from a disk."""
        self.store = store
        self.lasting.published = published
        self.responder = Responder(self.own, self.table, store)

    # --- living and ending --------------------------------------------------------------------------------------------

    def _begin(self, procedure: str) -> Report:
        if self.closed:
            raise PeerUnreachable("this peer was closed", "closed")
        self.last = Report(procedure, CAUSE.get())
        return self.last

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Runs a coroutine whose end nobody waits for, and which ends with the peer."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)
        return task

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, P2PError):
                log.debug("%r: %s", self, error)
            else:
                self.loop.call_exception_handler({"message": f"a task of {self!r} failed", "exception": error, "task": task})

    def stop(self) -> None:
        """Ends what is under way, at once; requests that are open fail. The carrier is not closed. Idempotent."""
        self.closed = True
        self.lasting.stop()
        self.requests.close()
        self._replies.close()
        self._meetings.close()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """As `stop`, but saves what is to last before, and waits until every task has ended."""
        if not self.closed:
            self.lasting.met(self.table)
            await self.lasting.flushed()
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _within(number: Any, least: int, most: int, what: str) -> int:
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"{what} is an integer of {least} to {most}, not {number!r}")
    return number


def _as_it_is(message: Any) -> Any:
    return message
