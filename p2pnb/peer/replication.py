"""Writing one record to its replicas: the peers nearest to its key, as many as the writer's `replication` says.

A record may be sent before the lookup of its key has ended, in the same flight as the question to one of those who seem to be the
nearest (`ahead`): it spares a round trip, and half of the packets. Whoever takes it answers the question as well, so the lookup is what
it would have been: an answer to `set` never counts as one of its answers, for it names nobody, and a peer that a few liars agreed to
leave out would be left out. Only what the lookup says in the end decides who is a replica (`write`). Whoever took the record ahead and
is none holds a copy more, which nobody renews: it expires.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2pnb.dht.store import Put, older
from p2pnb.errors import P2PError
from p2pnb.peer.report import Report
from p2pnb.peer.requests import Outcome
from p2pnb.peer.search import Asker, Driver
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Set, Stored


class Replication(Driver):
    """Writes `request` to the first of the candidates that take it, going on to the next for each that does not.

    A replica that is silent for longer than `patience` is not waited for: the next candidate is asked as well, and
    whichever answers first counts. Only a value goes further when it is refused: bags and entries are read at the nearest,
    which know best; a peer farther away would take an old version, or a publisher's vote too many.

    A hand-over grows older while it waits for the lookup, so that nothing lives longer by being moved.
    """

    def __init__(self, asker: Asker, request: Put, report: Report, patience: float) -> None:
        super().__init__(asker)
        self.acknowledged: list[Contact] = []
        self._began = self._clock()
        self._request = self._as_sent = request
        self._datum = self._written(request)
        self._report = report
        self._patience = patience
        self._candidates: list[Contact] = []
        self._wanted = 0
        self._asked: dict[Contact, float] = {}
        self._ahead: dict[Contact, float | Outcome] = {}  # since when, and then what came of it

    @property
    def missing(self) -> int:
        """How many replicas have not taken it that should have."""
        return max(self._wanted - len(self.acknowledged), 0)

    def aged(self) -> Put:
        """The record as it is to be sent now: if it is handed over, as old as it is by now."""
        return self._request if self._request.age is None else older(self._request, self._clock() - self._began)

    def ahead(self, whom: Contact) -> None:
        """Sends the record to `whom`, who seems to be one of the nearest, once."""
        if whom not in self._ahead:
            self._ahead[whom] = self._clock()
            self._send(whom)

    async def write(self, candidates: Iterable[Contact], wanted: int) -> None:
        """Returns when the first `wanted` of `candidates`, nearest first, have taken the record, or nobody else can be asked."""
        self._candidates = list(candidates)
        self._wanted = wanted
        await self.run()
        self._report.spare += sum(not isinstance(outcome, P2PError) and outcome != Stored(False) for outcome in self._ahead.values())

    def _send(self, whom: Contact) -> None:
        request = self.aged()
        if request is not self._as_sent and request != self._as_sent:
            self._as_sent, self._datum = request, self._written(request)
        self._ask(whom, request, self._answered, self._datum, self._cause)

    def _pump(self) -> None:
        now = self._clock()
        slow = sum(1 for since in self._asked.values() if since + self._patience <= now)
        while self._candidates and len(self.acknowledged) + len(self._asked) - slow < self._wanted:
            contact = self._candidates.pop(0)
            sent = self._ahead.pop(contact, None)
            if sent is None:
                self._asked[contact] = now
                self._send(contact)
            elif isinstance(sent, float):
                self._asked[contact] = sent
                slow += sent + self._patience <= now
            else:
                self._count(contact, sent)
        enough = len(self.acknowledged) >= self._wanted
        exhausted = not self._candidates and len(self._asked) == slow and (self.acknowledged or not slow)
        if enough or exhausted:
            self._end()
        else:
            waits = [since + self._patience for since in self._asked.values() if since + self._patience > now]
            self._wake_at(min(waits, default=None))

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        if whom in self._ahead:
            self._ahead[whom] = outcome
            return
        self._asked.pop(whom, None)
        self._count(whom, outcome)
        if not self._over:
            self._pump()

    def _count(self, whom: Contact, outcome: Outcome) -> None:
        if isinstance(outcome, Stored) and outcome.accepted:
            self._report.stored += 1
            self.acknowledged.append(whom)
        elif isinstance(outcome, Stored):
            self._report.refused += 1
            self._wanted -= not isinstance(self._request, Set)
        else:
            self._report.failed += 1
