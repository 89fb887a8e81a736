"""Strangers: who was named for a bucket of the routing table and is still to be met, and how much whoever named them is believed.

A lookup weighs each candidate against all others, for it wants the nearest. To fill a bucket anybody in it will do, so they are met in the
order in which they were named. Nobody is believed here either: a name costs a dial and nothing else, and of those who named several that
were refuted or silent nothing more is tried, unless that is usual (`Referrer`). What they named then counts as never named: somebody
better may name it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from p2pnb.dht.candidate import Referrer
from p2pnb.wire.contact import Contact


class Strangers:
    """Those of one bucket; `len()`: how many are to be met. Whoever is turned to and was not named here, was known before.

    `proven` counts those who were there, `failures` those who were not.
    """

    __slots__ = ("_by", "_next", "_silent", "_usual", "failures", "proven")

    def __init__(self) -> None:
        self.proven = self.failures = 0
        self._by: dict[Contact, Referrer] = {}  # everybody who was named, and who named them first
        self._usual = Referrer(None)  # for those who were known
        self._next: deque[Contact] = deque()
        self._silent: set[Contact] = set()

    def __len__(self) -> int:
        return len(self._next)

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._next)

    @property
    def tried(self) -> int:
        """How many were turned to, and were there, were not, or have not answered."""
        return self.proven + self.failures + len(self._silent)

    def named(self, contacts: Iterable[Contact], uid: int | None) -> bool:
        """The peer `uid` named `contacts`. Returns whether any of them is new."""
        by, referrer = self._by, Referrer(uid)
        new = [each for each in contacts if each not in by]
        by.update(dict.fromkeys(new, referrer))
        self._next += new
        return bool(new)

    def next(self) -> Contact | None:
        """Whom to meet now; None when nobody is left."""
        return self._next.popleft() if self._next else None

    def remove(self, stranger: Contact) -> None:
        """It is asked for names, and so met."""
        if stranger in self._next:
            self._next.remove(stranger)

    # --- what came of it ------------------------------------------------------------------------------------------------

    def met(self, whom: Contact) -> None:
        """It was there."""
        self._referrer(whom).proven += 1
        self.proven += 1

    def failed(self, whom: Contact) -> None:
        """It was not there, or is somebody else."""
        referrer = self._referrer(whom)
        referrer.charges += 1
        self.failures += 1
        self._judge(referrer)

    def silent(self, whom: Contact) -> None:
        """It has not answered yet; it still may."""
        referrer = self._referrer(whom)
        referrer.late += 1
        self._silent.add(whom)
        self._judge(referrer)

    def _referrer(self, whom: Contact) -> Referrer:
        """Who named it. What comes of it now replaces that it was silent."""
        referrer = self._by.get(whom, self._usual)
        if whom in self._silent:
            self._silent.remove(whom)
            referrer.late -= 1
        return referrer

    def _judge(self, referrer: Referrer) -> None:
        """Drops what `referrer` has named, if it is not believed any more."""
        if not referrer.is_believed(self._usual) or referrer.holds_up(self._usual):
            for stranger in [each for each in self._next if self._by[each] is referrer]:
                self._next.remove(stranger)
                del self._by[stranger]
