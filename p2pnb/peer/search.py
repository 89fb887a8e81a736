"""Work that needs several requests: a lookup, and asking several peers the same.

Both are small drivers between a decision that never sends (`dht.lookup.Lookup`; a list of contacts) and `Requests`,
which never decides. They use callbacks, not a task for each request: a reply moves the work on in the very step in which
it arrives, and one future wakes whoever asked for the whole.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from p2pnb.dht.lookup import Lookup
from p2pnb.dht.policies import Policies
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.errors import P2PError, PeerUnreachable
from p2pnb.peer.cause import CAUSE
from p2pnb.peer.requests import Done, Outcome, Requests
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Iam, Nearest, Reply, Request, Welcome

# Whether a reply holds what is looked for, verified; False says that the peer lied.
Judge = Callable[[Contact, Reply], bool]

# Why a dial failed, as opposed to a link that was there and broke: only a dial is charged to whoever named the address.
DIAL_FAILURES = frozenset({"refused", "timeout", "not-a-peer", "other-network", "wrong-uid", "self", "unreachable"})

# Hears of a contact that a lookup asked, or that has answered it
Along = Callable[[Lookup, Contact], None]

LATE = 0.005  # seconds


class Asker(Protocol):
    """Whoever sends the requests: a peer."""

    closed: bool
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    written: Callable[[Request], Any]  # a request as it is sent to several

    def ask(self, whom: Contact, request: Request, done: Done, datum: Any = None, cause: str | None = None) -> None: ...


class Looker(Asker, Protocol):
    """Whoever looks something up."""

    own: int
    alpha: int
    requests: Requests


class Driver(ABC):
    """A future, a timer and a guard against being pumped while pumping."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._ask = asker.ask
        self._written = asker.written
        self._cause = CAUSE.get()  # callbacks run in whatever context a reply arrives in
        self._loop = asker.loop
        self._clock = asker.clock
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_up = False  # whether the timer came late, and has been set once more
        self._wakes = self._due = 0.0
        self._over = False

    async def run(self) -> None:
        """Returns when it has ended. Raises `PeerUnreachable` where its peer was closed meanwhile: then it knows nothing of others."""
        self._pump()
        try:
            if not self._over:
                self._future = self._loop.create_future()
                await self._future
        finally:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
        if self._asker.closed:
            raise PeerUnreachable("this peer was closed", "closed")

    @abstractmethod
    def _pump(self) -> None:
        """Asks whoever is to be asked now, and ends when there is nothing to wait for."""

    def _end(self) -> None:
        self._over = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def _wake_at(self, when: float | None) -> None:
        if when is None or self._over or (self._timer is not None and self._wakes <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = when  # on the peer's clock, which may differ from the loop's
        pause = max(when - self._clock(), 0.0)
        self._due = self._loop.time() + pause  # not every loop's timers say when they are due (a browser's do not)
        self._timer = self._loop.call_later(pause, self._awake)

    def _awake(self) -> None:
        """Time is up, for somebody to answer. A timer that fires late says that we are busy, not that others are slow.

        What they have answered may lie here unread: once more as long as it was late, and only then is anybody else asked.
        """
        self._timer = None
        late = self._loop.time() - self._due
        if late > LATE and not self._held_up and not self._over:
            self._held_up = True
            self._timer = self._loop.call_later(late, self._awake)
            return
        self._held_up = False
        if not self._over:
            self._pump()


class Search(Driver):
    """Drives one `Lookup` with `request`, the same for everybody asked.

    With a `judge` it looks for a record, and `result` is the reply that held it. A lookup does not wait for those who are
    slow; but that a record is nowhere is said only when they have answered too, or their 5 s are over.

    `stagger`, in seconds: the next request goes out when the last one has been answered or is that old, instead of
    `alpha` at once. One reply is all that a record takes, and most of them come at the first or second asking. To find
    the nearest takes several; as soon as a reply names nobody who is nearer than those known, `alpha` of these are asked at once.

    `along` is told of each contact in the step in which it is asked, and again when it has answered: what it sends there then travels
    in the same flight as the question, or as those to others.
    """

    def __init__(
        self,
        asker: Asker,
        lookup: Lookup | PolicyLookup,
        request: Request,
        judge: Judge | None = None,
        stagger: float = 0.0,
        along: Along | None = None,
    ) -> None:
        super().__init__(asker)
        self.lookup = lookup
        self.result: Reply | None = None
        self._request = request
        self._datum = self._written(request)
        self._judge = judge
        self._along = along
        self._outstanding = self._missed = 0
        self._stagger = stagger
        self._next_at = 0.0  # the next request waits until then

    @property
    def troubled(self) -> bool:
        """Whether a third or more of those who were asked gave no good answer: then many may be there who did not come to speak."""
        return 3 * (self._missed + self._outstanding) >= self.lookup.rpcs > 0

    def _pump(self) -> None:
        lookup, now = self.lookup, self._clock()
        while now >= self._next_at and (chosen := lookup.next(now)) is not None:
            self._outstanding += 1
            self._next_at = now + self._stagger
            if chosen.uid is None:
                self._ask(chosen, Iam(lookup.own), self._introduced, None, self._cause)
            else:
                self._ask(chosen, self._request, self._answered, self._datum, self._cause)
                self._tell_along(chosen)
        if not lookup.finished:
            self._wake_at(self._next_at if self._next_at > now else lookup.wake(now))  # before then, nobody's silence changes anything
        elif self._judge is None or self.result is not None or not self._outstanding:
            self._end()

    def _tell_along(self, whom: Contact) -> None:
        if self._along is not None and isinstance(self.lookup, Lookup):
            self._along(self.lookup, whom)

    def _introduced(self, named: Contact, outcome: Outcome) -> None:
        """Somebody who was named without a uid has said who he is, or has not answered."""
        if self._over:
            return
        if not isinstance(outcome, Welcome):
            self._answered(named, outcome)
        elif self.lookup.connected(named, outcome.uid, self._clock()):
            known = contact(named.ip, named.port, outcome.uid)
            self._ask(known, self._request, self._answered, self._datum, self._cause)
        else:
            self._outstanding -= 1
            self._pump()

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        if self._over:
            return
        self._outstanding -= 1
        self._next_at = 0.0
        lookup, now = self.lookup, self._clock()
        course = lookup if isinstance(lookup, Lookup) and self._stagger and self._judge is None else None
        before = course.leading if course is not None else []
        if isinstance(outcome, Nearest):
            lookup.replied(whom, outcome.contacts, now)
            self._tell_along(whom)
        elif isinstance(outcome, P2PError):
            self._missed += 1
            lookup.failed(whom, now, dialled=isinstance(outcome, PeerUnreachable) and outcome.reason in DIAL_FAILURES)
        elif self._judge is not None and self._judge(whom, outcome):
            self.result = outcome
            lookup.found(whom, now)
        else:
            self._missed += 1
            lookup.failed(whom, now, dialled=False)
        if course is not None and course.leading == before:
            self._stagger = 0.0
        self._pump()


class PolicySearch(Search):
    """A search whose lookup is somebody's own: what it raises ends the search, and is raised by `run`, where somebody
    awaits it. So is what another policy raised in an answer to us."""

    def __init__(
        self, asker: Looker, policies: Policies, seeds: list[Contact], target: int, request: Request, want: int, judge: Judge | None
    ) -> None:
        make, now, is_linked = policies.lookup or Lookup, asker.clock(), asker.requests.is_linked
        lookup = PolicyLookup(make, target, asker.own, seeds, want=want, alpha=asker.alpha, now=now, is_linked=is_linked)
        super().__init__(asker, lookup, request, judge)
        self._policies = policies
        self._error: Exception | None = None

    @property
    def troubled(self) -> bool:
        """Never: somebody's own lookup ends as it ends, and is not made a second time."""
        return False

    async def run(self) -> None:
        __tracebackhide__ = True
        self._policies.check()
        await super().run()
        if self._error is not None:
            raise self._error
        self._policies.check()

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        __tracebackhide__ = True
        try:
            super()._answered(whom, outcome)
        except Exception as error:
            self._fail(error)

    def _awake(self) -> None:
        try:
            super()._awake()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._end()


class Survey(Driver):
    """Asks several peers the same, `request`: the nearest that a lookup found, those who seemed to be so `ahead` of its end."""

    def __init__(self, asker: Asker, request: Request, patience: float) -> None:
        super().__init__(asker)
        self._contacts: list[Contact] = []
        self._outcomes: dict[Contact, Outcome | None] = {}  # None: not yet
        self._request = request
        self._datum = self._written(request)
        self._quorum = 0
        self._patience = patience
        self._since = 0.0

    @property
    def answers(self) -> list[tuple[Contact, Reply]]:
        """What those who were to be asked have answered."""
        outcomes = [(whom, self._outcomes[whom]) for whom in self._contacts]
        return [(whom, outcome) for whom, outcome in outcomes if outcome is not None and not isinstance(outcome, P2PError)]

    def ahead(self, whom: Contact) -> None:
        """Asks `whom`, once."""
        if whom not in self._outcomes:
            self._outcomes[whom] = None
            self._ask(whom, self._request, self._answered, self._datum, self._cause)

    async def ask(self, contacts: Iterable[Contact], quorum: int) -> None:
        """Returns when all of `contacts` have answered or failed, or `quorum` have answered and the rest is slow."""
        self._contacts = list(contacts)
        self._quorum = quorum
        self._since = self._clock()
        for each in self._contacts:
            self.ahead(each)
        await self.run()

    def _pump(self) -> None:
        now = self._clock()
        slow = self._since + self._patience <= now  # the very sum that it wakes at: a difference may be rounded otherwise
        if all(self._outcomes[each] is not None for each in self._contacts) or (slow and len(self.answers) >= self._quorum):
            self._end()
        elif not slow:
            self._wake_at(self._since + self._patience)

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        self._outcomes[whom] = outcome
        if self._future is not None and not self._over:
            self._pump()


class Patience:
    """How long a silent peer is waited for before its slot is given away: Jacobson's estimate of a late reply (RFC 6298).

    A request is still answered up to its 5 s; patience only decides when to ask somebody else as well.
    """

    LEAST, MOST, FIRST = 0.3, 2.5, 1.0
    LEAST_STAGGER, FIRST_STAGGER = 0.05, 0.05

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def seconds(self) -> float:
        if self._mean is None:
            return self.FIRST
        return min(max(self._mean + 4 * self._deviation, self.LEAST), self.MOST)

    @property
    def stagger(self) -> float:
        """How long the asker of a record waits for one reply before it asks somebody else as well: longer than most take."""
        if self._mean is None:
            return self.FIRST_STAGGER
        return min(max(self._mean + 2 * self._deviation, self.LEAST_STAGGER), self.seconds)

    def observe(self, rtt: float) -> None:
        if self._mean is None:
            self._mean, self._deviation = rtt, rtt / 2
        else:
            self._deviation += 0.25 * (abs(rtt - self._mean) - self._deviation)
            self._mean += 0.125 * (rtt - self._mean)
