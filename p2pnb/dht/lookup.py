"""A lookup: finding the peers nearest to a target by asking ever nearer ones (Maymounkov and Mazières 2002, section 2.3).

Theory of operation
-------------------
A `Lookup` never sends, waits or reads a clock. It names the next contact to ask (`next`), is told what came of it (`replied`,
`failed`, `found`), and says when it is `finished`. What can become of one candidate is the table in `candidate`; this file
decides four things.

*Whom to ask.* The nearest untried candidate, as long as fewer than `alpha` are in flight. There are no rounds: each reply
is used the moment it comes. A candidate that is silent longer than `patience` gives its slot away.

*When to end.* Of the candidates that are neither failed nor slow, the `want` nearest have all answered: then nobody nearer
is left to hear of. Or nobody is left to ask. Or a record was found. (As long as nobody has answered at all, slow ones are
waited for: they are all there is.)

*Whom to believe.* Nobody. A hint orders the asking; the uid is proven when the peer is reached. An address is accepted
only from an end of the same or a narrower scope, twenty from a reply, never our own. Between candidates that compete for a
slot the one goes first whose referrer has the fewest hints open or refuted, so liars cannot fill the slots; and when those
within reach come only from referrers in doubt, somebody farther away whose referrer is trusted more goes first. A referrer
is charged for each hint of its that was refuted, and not believed any more after three, unless our own table fares no better;
what only such referrers named is dropped. Two addresses for one uid are two candidates, tried one after the other: naming a
false address first hides nobody.

*How much to dial.* At most `spec.MAX_DIALS` dials a lookup, and `spec.MAX_DIALS_AN_IP` for one global ip: a lookup cannot be
used to flood a stranger. Asking over a link that exists costs no dial.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from itertools import islice
from operator import attrgetter

from p2pnb import address, spec
from p2pnb.dht.candidate import ANSWERED, DROPPED, IN_FLIGHT, MOOT, SLOW, UNNAMED, UNTRIED, Candidate, Event, Referrer, at_address
from p2pnb.errors import LocalProtocolError
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact
from p2pnb.wire.contact import contact as contact_of

_rank_of = attrgetter("rank")
_FARTHEST = 1 << BITS


class Lookup:
    """Looks for the `want` peers nearest to `target` on behalf of the peer `own`, starting from `seeds`, whose uids are proven.

    Of the seeds the `want` nearest are considered first, the others from the first reply or failure on: many a record comes with it.
    `alpha`: how many are asked at a time. `patience`: seconds. `is_linked` says whether a link to a uid is open, so that asking it
    takes no dial; `prefer_linked`: of the `want` nearest, those that take no dial are asked first, for any of them may have what is
    looked for. `own_address` is never dialled.

    `rpcs` counts those asked, `dials` those that took a dial, `failures` those without a good answer; `events` has every transition.
    """

    def __init__(
        self,
        target: int,
        own: int,
        seeds: Iterable[Contact],
        *,
        want: int,
        now: float,
        alpha: int = spec.ALPHA,
        patience: float = 1.0,
        is_linked: Callable[[int], bool] = lambda _uid: False,
        prefer_linked: bool = False,
        own_address: tuple[str, int] | None = None,
    ) -> None:
        if want < 1 or alpha < 1:
            raise ValueError(f"a lookup wants at least 1 peer and asks at least 1 at a time, not want={want}, alpha={alpha}")
        self.target = target
        self.own = own
        self.want = want
        self.alpha = alpha
        self.patience = patience
        self.finished = False
        self.rpcs = 0
        self.dials = 0
        self.failures = 0
        self.events: list[Event] = []
        self._is_linked = is_linked
        self._prefer_linked = prefer_linked
        self._own_address = own_address
        self._by_uid: dict[int, Candidate] = {}  # one of those that a uid is said to have addresses of
        self._by_address: dict[tuple[str, int], Candidate] = {}  # whose uid was not known when it was named
        self._order: list[Candidate] = []  # untried, in flight, slow and answered ones, nearest first
        self._flying: list[Candidate] = []  # in flight, the one asked first in front
        self._slow = 0
        self._found: Candidate | None = None
        self._dials_by_host: dict[str, int] = {}
        self._table = Referrer(None)  # who named the seeds
        self._rest = sorted(seeds, key=lambda seed: (seed.uid or 0) ^ target)  # seeds not considered yet
        self._name_rest(now, max(want, alpha))
        self._settle()

    # --- what to do -----------------------------------------------------------------------------------------------------

    def next(self, now: float) -> Contact | None:
        """The contact to ask now; None when no slot is free or nobody is to be asked at present.

        Call it until it gives None, after every event and at `wake`; then look at `finished`.
        """
        self._lose_patience(now)
        if self.finished or len(self._flying) >= self.alpha:
            return None
        while (candidate := self._choose()) is not None:
            if self._may_ask(candidate.contact):
                self._move(candidate, "asked", now)
                candidate.asked_at = now
                self._flying.append(candidate)
                for referrer in candidate.referrers:
                    referrer.open += 1
                self.rpcs += 1
                return candidate.contact
            self._drop(candidate, now)
        if self._rest:
            self._name_rest(now)
            return self.next(now)
        self._settle()
        return None

    def wake(self, now: float) -> float | None:
        """When to call `next` again if nothing happens until then: somebody will have been silent for too long."""
        if self.finished or not self._flying:
            return None
        return max(self._flying[0].asked_at + self.patience, now)

    # --- what happened --------------------------------------------------------------------------------------------------

    def replied(self, contact: Contact, hints: Iterable[Contact], now: float) -> None:
        """`contact` answered and named `hints`. After the end, replies and failures are ignored."""
        if self.finished:
            return
        candidate = self._asked(contact)
        self._name_rest(now)
        if self._answer(candidate, "replied", now):
            self._name(islice(hints, spec.MAX_CONTACTS), Referrer(candidate.contact.uid), candidate, now)
            self._settle()

    def found(self, contact: Contact, now: float) -> None:
        """`contact` answered with what was looked for, and it was verified: the lookup ends."""
        if self.finished:
            return
        self._found = self._asked(contact)
        self._answer(self._found, "found", now)
        self.finished = True

    def failed(self, contact: Contact, now: float, *, dialled: bool) -> None:
        """`contact` gave no good answer. `dialled`: it was the dial that failed, or that proved another uid."""
        if self.finished:
            return
        candidate = self._asked(contact)
        self._name_rest(now)
        before = self._move(candidate, "refuted" if dialled else "failed", now)
        if before == MOOT:
            return
        self.failures += 1
        self._release(candidate, before)
        self._order.remove(candidate)
        if dialled:
            for referrer in candidate.referrers:
                self._charge(referrer, now)
        self._settle()

    def connected(self, contact: Contact, uid: int, now: float) -> bool:
        """`contact`, named without a uid, turned out to be `uid`. Returns whether it is still to be asked."""
        if self.finished:
            return False
        candidate = self._asked(contact)
        if candidate.state == MOOT:  # it has said who it is before, and that was no news
            return False
        if candidate.contact.uid is not None:
            raise LocalProtocolError(f"{contact} was asked as the uid it has; if it is another, the dial has failed")
        known = self._by_uid.get(uid)
        rivals = [] if known is None else list(known.all_of_its_uid)
        if uid == self.own or any(rival.state in {IN_FLIGHT, SLOW, ANSWERED} for rival in rivals):
            self._outdo(candidate, now)
            self._settle()
            return False
        for rival in rivals:
            if rival.state == UNTRIED and rival.contact.address == contact.address:
                self._drop(rival, now)
        self._by_uid[uid] = candidate
        self._order.remove(candidate)
        candidate.contact = contact_of(contact.ip, contact.port, uid)
        for each in (candidate, *rivals) if rivals else ():
            each.rivals = (candidate, *rivals)
        candidate.rank = (uid ^ self.target) << 1
        insort(self._order, candidate, key=_rank_of)
        return True

    # --- the result -----------------------------------------------------------------------------------------------------

    @property
    def nearest(self) -> list[Contact]:
        """Those that answered, nearest first, at most `want`."""
        return self.answered(self.want)

    def answered(self, n: int) -> list[Contact]:
        """The `n` nearest of all that answered, nearest first."""
        return list(islice((each.contact for each in self._order if each.state == ANSWERED and each.contact.uid is not None), n))

    @property
    def hops(self) -> int:
        """How many steps led to what was found, or else to the nearest that answered: 1 for a seed; 0 if nobody answered."""
        first = self._found or next((each for each in self._order if each.state == ANSWERED), None)
        return 0 if first is None else first.hop

    # --- naming ---------------------------------------------------------------------------------------------------------

    def _name(self, hints: Iterable[Contact], referrer: Referrer, source: Candidate | None, now: float) -> None:
        """Takes note of `hints`, all named by `referrer`: `source` in its reply, or our own table where that is None."""
        by_uid = self._by_uid
        named: list[Candidate] = []
        for hint in hints:
            candidate = by_uid.get(hint.uid) if hint.uid is not None else None
            if candidate is None or candidate.contact is not hint or candidate.rivals or candidate.state == DROPPED:
                candidate = self._candidate(hint, source)
            if candidate is not None:
                named.append(candidate)
                referrer.refer(candidate)
        if referrer.is_believed(self._table):
            for candidate in named:
                if candidate.state in {UNNAMED, DROPPED}:
                    self._move(candidate, "named", now)
                    self._order.append(candidate)
            self._order.sort(key=_rank_of)  # two sorted runs: merging them is cheaper than twenty insertions

    def _name_rest(self, now: float, n: int | None = None) -> None:
        """Takes note of the next `n` seeds, or of all that are left."""
        if self._rest:
            seeds, self._rest = self._rest[:n], [] if n is None else self._rest[n:]
            self._name(seeds, self._table, None, now)

    def _candidate(self, hint: Contact, source: Candidate | None) -> Candidate | None:
        """The candidate that `hint` names, old or new; None if it is of no use."""
        known = self._by_address.get(hint.address) if hint.uid is None else self._by_uid.get(hint.uid)
        if known is not None:
            candidate = at_address(known.all_of_its_uid, hint)
            if candidate is not None and candidate.state != DROPPED:
                return candidate
            if any(rival.state == ANSWERED for rival in known.all_of_its_uid):
                return None
            if candidate is not None:
                return candidate
        return self._enter(hint, known, source) if self._is_acceptable(hint, source) else None

    def _is_acceptable(self, hint: Contact, source: Candidate | None) -> bool:
        if hint.uid == self.own or hint.address == self._own_address:
            return False
        if source is None:
            return True
        return address.is_dialable(hint.ip, hint.port) and address.may_tell(hint.ip, source.contact.ip)

    def _enter(self, hint: Contact, known: Candidate | None, source: Candidate | None) -> Candidate:
        """A new candidate; `known` is one of the same uid at another address."""
        near = _FARTHEST << 1 if source is None else source.rank  # without a uid it is assumed to be as near as whoever named it
        rank = near | 1 if hint.uid is None else (hint.uid ^ self.target) << 1
        candidate = Candidate(hint, rank, hop=1 if source is None else source.hop + 1)
        if known is not None:
            rivals = (*known.all_of_its_uid, candidate)
            for each in rivals:
                each.rivals = rivals
        elif hint.uid is not None:
            self._by_uid[hint.uid] = candidate
        else:
            self._by_address[hint.address] = candidate
        return candidate

    def _charge(self, referrer: Referrer, now: float) -> None:
        """Charges `referrer` with a refuted hint; once it is not believed any more, drops what nobody else has named."""
        referrer.charges += 1
        if not referrer.is_believed(self._table):
            for hint in [each for each in self._order if each.state == UNTRIED and referrer in each.referrers]:
                if not any(other.is_believed(self._table) for other in hint.referrers):
                    self._drop(hint, now)

    # --- choosing and ending --------------------------------------------------------------------------------------------

    def _choose(self) -> Candidate | None:
        """Who is to be asked next, among the untried of the `want` nearest; None when all of those have been asked.

        First come those with a uid, then whose referrer has the fewest hints open or refuted, then (`prefer_linked`) those
        that take no dial, then the nearest. If the one so chosen was named only by referrers in doubt, the nearest of those
        beyond whose referrer is trusted clearly more goes before it: one liar's inventions may be all of the nearest.
        """
        best: Candidate | None = None
        best_key = (True, 0, True)
        order = iter(self._order)
        places = self.want
        for candidate in order:
            if candidate.state == SLOW or (candidate.state == UNTRIED and candidate.waits):
                continue
            if candidate.state == UNTRIED:
                uid = candidate.contact.uid
                key = (uid is None, candidate.load, self._prefer_linked and uid is not None and not self._is_linked(uid))
                if best is None or key < best_key:
                    best, best_key = candidate, key
                    if key == (False, 0, False):
                        return best
            places -= 1
            if not places:
                break
        if best is None or not best.doubtful:
            return best
        margin = 2.0 - self.dials / spec.MAX_DIALS  # the fewer dials are left, the choosier
        trusted = margin * best.trust
        return next((each for each in order if each.state == UNTRIED and not each.waits and each.trust > trusted), best)

    def _may_ask(self, contact: Contact) -> bool:
        """Whether asking `contact` is within the limits on dials; if it takes one, it is counted."""
        if contact.uid is not None and self._is_linked(contact.uid):
            return True
        if self.dials >= spec.MAX_DIALS:
            return False
        if address.scope_of(contact.ip) == address.GLOBAL:
            host = address.host_of(contact.ip)
            if self._dials_by_host.get(host, 0) >= spec.MAX_DIALS_AN_IP:
                return False
            self._dials_by_host[host] = self._dials_by_host.get(host, 0) + 1
        self.dials += 1
        return True

    def _lose_patience(self, now: float) -> None:
        while self._flying and not self.finished and now >= self._flying[0].asked_at + self.patience:
            self._name_rest(now)
            candidate = self._flying.pop(0)
            self._move(candidate, "slow", now)
            self._slow += 1
            for referrer in candidate.referrers:
                referrer.late += 1
            self._settle()

    def _settle(self) -> None:
        """Finds out whether this is the end: of those that are neither failed nor slow, the `want` nearest have answered."""
        places = self.want
        for candidate in self._order:
            if candidate.state == SLOW:
                continue
            if candidate.state != ANSWERED:
                return
            places -= 1
            if not places:
                break
        self.finished = places < self.want or not self._slow

    # --- moving ---------------------------------------------------------------------------------------------------------

    def _asked(self, contact: Contact) -> Candidate:
        known = self._by_uid.get(contact.uid) if contact.uid is not None else None
        if known is None:
            known = self._by_address.get(contact.address)
        candidate = None if known is None else at_address(known.all_of_its_uid, contact)
        if candidate is None:
            raise LocalProtocolError(f"{contact} was never named: it cannot have been asked")
        return candidate

    def _move(self, candidate: Candidate, event: str, now: float) -> str:
        """Takes `candidate` through the table, and returns the state it was in."""
        before, candidate.state = candidate.state, candidate.after(event)
        self.events.append(Event(now, event, candidate.contact, candidate.referrers[0].uid, candidate.hop))
        return before

    def _answer(self, candidate: Candidate, event: str, now: float) -> bool:
        """Notes that `candidate` answered, and frees what waited for it. Returns whether anybody still cares."""
        before = self._move(candidate, event, now)
        if before == MOOT:
            return False
        self._release(candidate, before)
        for referrer in candidate.referrers:
            referrer.proven += 1
        for rival in candidate.rivals:
            if rival is not candidate:
                self._outdo(rival, now)
        return True

    def _outdo(self, candidate: Candidate, now: float) -> None:
        """Gives `candidate` up, since its uid is reached, or has been, at another address."""
        if candidate.state == UNTRIED:
            self._drop(candidate, now)
        elif candidate.state in {IN_FLIGHT, SLOW}:
            self._release(candidate, self._move(candidate, "outdone", now))
            self._order.remove(candidate)

    def _drop(self, candidate: Candidate, now: float) -> None:
        self._move(candidate, "dropped", now)
        self._order.remove(candidate)

    def _release(self, candidate: Candidate, before: str) -> None:
        """Frees the slot of `candidate`, which was in flight or slow until now."""
        slow = before == SLOW
        if slow:
            self._slow -= 1
        else:
            self._flying.remove(candidate)
        for referrer in candidate.referrers:
            referrer.open -= 1
            referrer.late -= slow
