"""A lookup's shortlist: everybody who has been named to it, nearest first, and who named them.

Of the seeds, and of the hints of each reply, the `want` nearest are entered at once; the others wait. While all goes well they cannot be
among the `want` nearest of all, since so many are nearer than each of them. When somebody fails, is slow or is given up, all are entered.
Whom to ask, and whom to believe, is decided in `lookup`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from p2pnb.dht.candidate import ANSWERED, DROPPED, UNNAMED, Candidate, Event, Referrer, at_address, is_acceptable
from p2pnb.errors import LocalProtocolError
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact

rank_of = attrgetter("rank")
_FARTHEST = 1 << BITS
_TROUBLE = frozenset({"slow", "failed", "refuted", "dropped", "outdone"})


class Shortlist:
    """The candidates of a lookup for `target` by the peer `own`, which wants the `want` nearest and never dials `own_address`."""

    def __init__(self, target: int, own: int, want: int, own_address: tuple[str, int] | None, is_silent: Callable[[Contact], bool]) -> None:
        self.target = target
        self.own = own
        self.want = want
        self._moves: list[tuple[float, str, Contact, int | None, int]] = []  # which become `events` where somebody looks at them
        self._own_address = own_address
        self._is_silent = is_silent
        self._by_uid: dict[int, Candidate] = {}  # one of those that a uid is said to have addresses of
        self._by_address: dict[tuple[str, int], Candidate] = {}  # whose uid was not known when it was named
        self._order: list[Candidate] = []  # untried, in flight, slow and answered ones, nearest first
        self._table = Referrer(None)  # who named the seeds
        self._rest: list[tuple[list[Contact], Referrer, Candidate | None]] = []  # hints that wait, and who named them
        self._smooth = True  # as long as nobody failed, was slow or was given up

    @property
    def events(self) -> list[Event]:
        """Every transition until now, in order."""
        return [Event(*move) for move in self._moves]

    def _distance(self, hint: Contact) -> int:
        """To the target; where the uid is not known, nobody is nearer."""
        return -1 if hint.uid is None else hint.uid ^ self.target

    def _name_nearest(self, hints: list[Contact], referrer: Referrer, source: Candidate | None, now: float) -> None:
        """Takes note of the `want` nearest of `hints`, and of those without a uid; of the others when they are needed."""
        missing = self.want
        if self._smooth and len(hints) > missing:
            hints.sort(key=self._distance)
            while hints and missing > 0:
                first = missing if hints[0].uid is not None else missing + sum(hint.uid is None for hint in hints[:missing])
                missing -= self._name(hints[:first], referrer, source, now)
                hints = hints[first:]
            if hints:
                self._rest.append((hints, referrer, source))
        else:
            self._name(hints, referrer, source, now)

    def _name_rest(self, now: float) -> None:
        """Takes note of all that was named, once something went wrong."""
        if not self._smooth and self._rest:
            rest, self._rest = self._rest, []
            for hints, referrer, source in rest:
                self._name(hints, referrer, source, now)

    def _name(self, hints: list[Contact], referrer: Referrer, source: Candidate | None, now: float) -> int:
        """Takes note of `hints`, all named by `referrer`: `source` in its reply, or our own table where that is None.

        Returns how many of them have a uid and are of use.
        """
        by_uid = self._by_uid
        named: list[Candidate] = []
        useful = 0
        for hint in hints:
            candidate = by_uid.get(hint.uid) if hint.uid is not None else None
            if candidate is None or candidate.contact is not hint or candidate.rivals or candidate.state == DROPPED:
                candidate = self._candidate(hint, source)
            if candidate is not None:
                named.append(candidate)
                useful += candidate.contact.uid is not None
                referrer.refer(candidate)
        if referrer.is_believed(self._table):
            for candidate in named:
                if candidate.state in {UNNAMED, DROPPED}:
                    self._move(candidate, "named", now)
                    self._order.append(candidate)
            self._order.sort(key=rank_of)  # two sorted runs: merging them is cheaper than twenty insertions
        return useful

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
        told_by = None if source is None else source.contact.ip
        return self._enter(hint, known, source) if is_acceptable(hint, told_by, self.own, self._own_address) else None

    def _enter(self, hint: Contact, known: Candidate | None, source: Candidate | None) -> Candidate:
        """A new candidate; `known` is one of the same uid at another address."""
        near = _FARTHEST << 1 if source is None else source.rank  # without a uid it is assumed to be as near as whoever named it
        rank = near | 1 if hint.uid is None else (hint.uid ^ self.target) << 1
        candidate = Candidate(hint, rank, hop=1 if source is None else source.hop + 1, was_silent=self._is_silent(hint))
        if known is not None:
            rivals = (*known.all_of_its_uid, candidate)
            for each in rivals:
                each.rivals = rivals
        elif hint.uid is not None:
            self._by_uid[hint.uid] = candidate
        else:
            self._by_address[hint.address] = candidate
        return candidate

    def _asked(self, contact: Contact) -> Candidate:
        known = self._by_uid.get(contact.uid) if contact.uid is not None else None
        if known is None:
            known = self._by_address.get(contact.address)
        if known is not None and known.contact is contact:
            return known
        candidate = None if known is None else at_address(known.all_of_its_uid, contact)
        if candidate is None:
            raise LocalProtocolError(f"{contact} was never named: it cannot have been asked")
        return candidate

    def _move(self, candidate: Candidate, event: str, now: float) -> str:
        """Takes `candidate` through the table, and returns the state it was in."""
        before, candidate.state = candidate.state, candidate.after(event)
        if event in _TROUBLE:
            self._smooth = False
        self._moves.append((now, event, candidate.contact, candidate.referrers[0].uid, candidate.hop))
        return before
