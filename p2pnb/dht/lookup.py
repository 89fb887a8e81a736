"""A lookup: finding the peers nearest to a target by asking ever nearer ones (Maymounkov and Mazières 2002, section 2.3).

Theory of operation
-------------------
A `Lookup` never sends, waits or reads a clock. It names the next contact to ask (`next`), is told what came of it (`replied`,
`failed`, `found`), and says when it is `finished`. What can become of one candidate is the table in `candidate`; this file
decides four things.

*Whom to ask.* The nearest untried candidate, as long as fewer than `alpha` are in flight. There are no rounds: each reply
is used the moment it comes. A candidate that is silent longer than `patience` gives its slot away.

*When to end.* Of the candidates that are neither failed nor slow nor passed over, the `want` nearest have all answered: then nobody
nearer is left to hear of. Or nobody is left to ask. Or a record was found. (As long as nobody has answered at all, slow ones are
waited for: they are all there is.)

*Whom to believe.* Nobody. A hint orders the asking; the uid is proven when the peer is reached. An address is accepted
only from an end of the same or a narrower scope, twenty from a reply, never our own. Between candidates that compete for a
slot the one goes first whose referrer has the fewest hints open or refuted, so liars cannot fill the slots; and when those
within reach come only from referrers in doubt, somebody farther away whose referrer is trusted more goes first. A referrer
is charged for each hint of its that was refuted, and not believed any more after three, unless our own table fares no better;
what only such referrers named is dropped. Silence is dearer than a refusal, so it takes less of it: where two hints of a referrer are
silent, and of our own table far fewer, what only such referrers named is passed over, unless their hints come to speak after all. So
is whoever was silent in an earlier lookup, as long as anybody answers; but a record is not said to be nowhere before they were asked.
Two addresses for one uid are two candidates, tried one after the other: naming a false address first hides nobody.

*How much to dial.* At most `spec.MAX_DIALS` dials a lookup, and `spec.MAX_DIALS_AN_IP` for one global ip: a lookup cannot be
used to flood a stranger. Asking over a link that exists costs no dial.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from itertools import islice

from p2pnb import spec
from p2pnb.dht.candidate import ANSWERED, IN_FLIGHT, MOOT, SLOW, UNTRIED, Candidate, Referrer
from p2pnb.dht.dials import Dials
from p2pnb.dht.shortlist import Shortlist, rank_of
from p2pnb.errors import LocalProtocolError
from p2pnb.wire.contact import Contact
from p2pnb.wire.contact import contact as contact_of


class Lookup(Shortlist):
    """Looks for the `want` peers nearest to `target` on behalf of the peer `own`, starting from `seeds`, whose uids are proven.

    `alpha`: how many are asked at a time. `patience`: seconds. `is_linked` says whether a link to a uid is open, so that asking it
    takes no dial; `prefer_linked`: of the `want` nearest, those that take no dial are asked first, for any of them may have what is
    looked for, and those that were silent are asked last; `scout`: the very first to be asked is the nearest seed that takes no dial, for
    its reply says better whom to dial than a table with gaps. `own_address` is never dialled. `is_silent`, `is_doubted`: who did not
    answer lately, and whose hints did not.

    `surveyed`: one of the nearest has answered, so far as it knows itself, and a peer knows its neighbours: those who lead now are likely
    to be the nearest. It decides nothing here.

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
        scout: bool = False,
        own_address: tuple[str, int] | None = None,
        is_silent: Callable[[Contact], bool] = lambda _contact: False,
        is_doubted: Callable[[int], bool] = lambda _uid: False,
    ) -> None:
        if want < 1 or alpha < 1:
            raise ValueError(f"a lookup wants at least 1 peer and asks at least 1 at a time, not want={want}, alpha={alpha}")
        super().__init__(target, own, want, own_address, is_silent)
        self.alpha = alpha
        self.patience = patience
        self.finished = False
        self.surveyed = False
        self.rpcs = 0
        self._dials = Dials()
        self.failures = 0
        self._is_linked = is_linked
        self._is_doubted = is_doubted
        self._referrers: list[Referrer] = []  # who has answered and named others, and whoever answered first
        self._calm = True  # as long as none of them was in doubt from the beginning
        self._prefer_linked = prefer_linked
        self._flying: list[Candidate] = []  # in flight, the one asked first in front
        self._slow = 0
        self._found: Candidate | None = None
        seeds = list(seeds)
        self._scout: Candidate | None = None
        if scout:
            seeds.sort(key=self._distance)
            nearest = next((seed for seed in seeds if seed.uid is not None and is_linked(seed.uid)), None)
            if nearest is not None:
                self._name([nearest], self._table, None, now)
                self._scout = self._by_uid.get(nearest.uid or 0)
        self._name_nearest(seeds, self._table, None, now)
        self._settle(now)

    # --- what to do -----------------------------------------------------------------------------------------------------

    def next(self, now: float) -> Contact | None:
        """The contact to ask now; None when no slot is free or nobody is to be asked at present.

        Call it until it gives None, after every event and at `wake`; then look at `finished`.
        """
        if self._flying and now >= self._flying[0].asked_at + self.patience:
            self._lose_patience(now)
        if self.finished or len(self._flying) >= self.alpha:
            return None
        while (candidate := self._choose()) is not None:
            contact = candidate.contact
            if (contact.uid is not None and self._is_linked(contact.uid)) or self._dials.take(contact.ip):
                self._move(candidate, "asked", now)
                candidate.asked_at = now
                self._flying.append(candidate)
                for referrer in candidate.referrers:
                    referrer.open += 1
                self.rpcs += 1
                return contact
            self._drop(candidate, now)
            self._name_rest(now)
        self._settle(now)
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
        if self._answer(candidate, "replied", now):
            named = list(islice(hints, spec.MAX_CONTACTS))
            self.surveyed = self.surveyed or self._is_near(candidate, named)
            if named or not self._referrers:
                uid = candidate.contact.uid
                doubted = uid is not None and self._is_doubted(uid)
                self._calm = self._calm and not doubted
                self._referrers.append(referrer := Referrer(uid, doubted))
                self._name_nearest(named, referrer, candidate, now)
            self._settle(now)

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
        before = self._move(candidate, "refuted" if dialled else "failed", now)
        if before == MOOT:
            return
        self.failures += 1
        self._release(candidate, before)
        self._order.remove(candidate)
        if dialled:
            for referrer in candidate.referrers:
                self._charge(referrer, now)
        self._settle(now)

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
            self._settle(now)
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
        insort(self._order, candidate, key=rank_of)
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
    def leading(self) -> list[Contact]:
        """The `want` nearest of those that have not failed and are not slow, whether they were asked or not."""
        order = [each for each in self._order if each.state != SLOW] if self._slow else self._order
        return [each.contact for each in order[: self.want]]

    @property
    def promising(self) -> list[Contact]:
        """Those that may still be asked and were named by somebody who is not in doubt, nearest first."""
        return [each.contact for each in self._order if each.state == UNTRIED and not each.doubtful]

    @property
    def silent(self) -> list[Contact]:
        """Those that were asked, and silent for too long."""
        return [each.contact for each in self._order if each.state == SLOW]

    @property
    def doubted(self) -> list[int]:
        """The uids of those whose hints held it up."""
        return [each.uid for each in self._referrers if each.uid is not None and each.holds_up(self._table)]

    @property
    def dials(self) -> int:
        """How many of those asked took a dial."""
        return self._dials.count

    @property
    def hops(self) -> int:
        """How many steps led to what was found, or else to the nearest that answered: 1 for a seed; 0 if nobody answered."""
        first = self._found or next((each for each in self._order if each.state == ANSWERED), None)
        return 0 if first is None else first.hop

    def _is_near(self, candidate: Candidate, named: list[Contact]) -> bool:
        """Whether `candidate` is one of the `want` nearest itself, by all that it names."""
        distance = candidate.rank >> 1
        return sum(each.uid is not None and each.uid ^ self.target < distance for each in named) < self.want

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
        if self._scout is not None:
            scout, self._scout = self._scout, None
            return scout
        best: Candidate | None = None
        best_key = (True, 0, True)
        order = iter(self._order)
        places, answered = self.want, 0
        for candidate in order:
            state = candidate.state
            if state == SLOW or (state == UNTRIED and (candidate.waits or self._is_passed_over(candidate))):
                continue
            if state == UNTRIED:
                uid = candidate.contact.uid
                key = (uid is None, candidate.load, self._prefer_linked and uid is not None and not self._is_linked(uid))
                if best is None or key < best_key:
                    best, best_key = candidate, key
                    if key == (False, 0, False):
                        return best
            elif state == ANSWERED:
                answered += 1
            places -= 1
            if not places:
                break
        if best is None:
            return self._silent_one() if self._prefer_linked else None
        if not best.doubtful:
            return best
        margin = 2.0 - self._dials.count / spec.MAX_DIALS  # the fewer dials are left, the choosier
        trusted = margin * best.trust
        for each in order:
            if each.state == ANSWERED:
                answered += 1
                if answered >= self.want:
                    break  # whoever is farther away is of no use
            elif each.state == UNTRIED and not each.waits and each.trust > trusted:
                return each
        return best

    def _silent_one(self) -> Candidate | None:
        """The nearest of those who were silent lately, where all others have been asked and a record was not found."""
        return next((each for each in self._order if each.state == UNTRIED and not each.waits and not self._holds_up(each)), None)

    def _holds_up(self, candidate: Candidate) -> bool:
        """Whether only such referrers named it whose hints hold this lookup up. If those come to speak after all, it is not so any more."""
        if self._smooth and self._calm:
            return False
        return candidate.doubtful and all(each.holds_up(self._table) for each in candidate.referrers)

    def _is_passed_over(self, candidate: Candidate) -> bool:
        """Whether others go before it: it is one of those, or it was silent lately, and somebody else is not."""
        if self._smooth and self._calm and not candidate.was_silent:
            return False
        return (candidate.was_silent and bool(self._referrers)) or self._holds_up(candidate)

    def _lose_patience(self, now: float) -> None:
        while self._flying and not self.finished and now >= self._flying[0].asked_at + self.patience:
            candidate = self._flying.pop(0)
            self._move(candidate, "slow", now)
            self._slow += 1
            for referrer in candidate.referrers:
                referrer.late += 1
            self._settle(now)

    def _settle(self, now: float) -> None:
        """Finds out whether this is the end: of those that are neither failed nor slow, the `want` nearest have answered."""
        self._name_rest(now)
        places = self.want
        passed_over = self._holds_up if self._prefer_linked else self._is_passed_over
        for candidate in self._order:
            state = candidate.state
            if state != ANSWERED:
                if state == SLOW or (state == UNTRIED and passed_over(candidate)):
                    continue
                return
            places -= 1
            if not places:
                break
        if self._rest and places:
            self._smooth = False
            self._settle(now)
            return
        self.finished = places < self.want or not self._slow

    # --- moving ---------------------------------------------------------------------------------------------------------

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
