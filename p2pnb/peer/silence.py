"""Who did not answer lately, so that it is not waited for again and again.

What fell silent is a contact, a uid at an address: an address that was only hearsay says nothing of its uid. It is noted as soon as a
lookup gave up waiting, long before the request's 5 s are over, and forgotten when the contact speaks, or after half a minute. Whose
hints held a lookup up is noted as well, for as long. Both only say whom others go before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2pnb.dht.lookup import Lookup
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.wire.contact import Contact

SILENT_FOR = 30.0  # seconds that it is remembered
SAME_TROUBLE = 1.0  # seconds within which failures of one peer are one
MOST_REMEMBERED = 1_000  # of each, the latest


class Silence:
    """The memory of one peer. `clock` is its."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._since: dict[Contact, float] = {}
        self._doubted: dict[int, float] = {}
        self._failed_at: dict[int, float] = {}

    def heard(self, contact: Contact) -> None:
        """It is there."""
        if self._since:
            self._since.pop(contact, None)

    def of(self, contact: Contact) -> bool:
        """Whether it was silent lately, and was not heard of since."""
        return bool(self._since) and self.clock() - self._since.get(contact, -SILENT_FOR) < SILENT_FOR

    def learn(self, lookup: Lookup | PolicyLookup) -> None:
        """Notes who held it up, and who named those; of somebody's own lookup that is not known."""
        if not isinstance(lookup, Lookup):
            return
        now = self.clock()
        for contact in lookup.silent:
            note(self._since, contact, now)
        for uid in lookup.doubted:
            note(self._doubted, uid, now)

    def doubted(self, uid: int) -> bool:
        """Whether what it named held a lookup up lately."""
        return self.clock() - self._doubted.get(uid, -SILENT_FOR) < SILENT_FOR

    def is_news(self, uid: int) -> bool:
        """Notes that a request to it failed; whether that is a trouble of its own, and not one of several requests in the same."""
        now = self.clock()
        if now - self._failed_at.get(uid, -SAME_TROUBLE) < SAME_TROUBLE:
            return False
        note(self._failed_at, uid, now)
        return True


def note(book: dict[Any, Any], name: Any, what: Any) -> None:
    """Notes `what` of a name, as the latest. Uids and addresses cost nothing, so that only so many are remembered."""
    book.pop(name, None)
    book[name] = what
    if len(book) > MOST_REMEMBERED:
        del book[next(iter(book))]  # what was noted longest ago
