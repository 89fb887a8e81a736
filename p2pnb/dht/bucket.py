"""All buckets of a routing table, kept as columns: one short list of contacts, and arrays of what is known of each.

Bucket i holds contacts that share exactly the first i bits of their uid with the table's owner, so a bucket's number is a
common prefix length (Maymounkov and Mazières 2002, section 2.2). The buckets lie one behind the other in the same columns,
bucket 0 first.

Why columns: row objects would cost about 100 bytes a contact, columns cost 30 plus some room to grow, and a thousand peers
live in one process. Nothing here decides anything; that is `table`'s.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from p2pnb.wire.contact import Contact

_NAN = float("nan")


class Row(NamedTuple):
    """One contact taken out of the columns. `seen` and `rtt` in seconds; `rtt` is NaN until one was measured."""

    contact: Contact
    seen: float
    failures: int
    dialled: bool
    rtt: float = _NAN


class Buckets:
    """Rows in bucket order. A position is an index into every column; inserting and taking shift those behind it."""

    __slots__ = ("contacts", "dialled", "ends", "failures", "rtts", "seen", "uids")

    def __init__(self) -> None:
        self.contacts: list[Contact] = []
        self.uids: list[int] = []  # the contacts', to find one fast
        self.seen = array("d")
        self.failures = bytearray()  # in a row
        self.dialled = bytearray()
        self.rtts = array("f")
        self.ends: list[int] = []  # where each bucket ends, up to the deepest that holds anything

    @property
    def depth(self) -> int:
        """One more than the number of the deepest bucket that is not empty; 0 when all are."""
        return len(self.ends)

    def span(self, bucket: int) -> tuple[int, int]:
        """The first position of `bucket`, and the one behind its last."""
        ends = self.ends
        if bucket < len(ends):
            return (ends[bucket - 1] if bucket else 0), ends[bucket]
        return len(self.contacts), len(self.contacts)

    def find(self, bucket: int, uid: int) -> int | None:
        """The position of `uid`, which can only be in `bucket`."""
        ends = self.ends
        if bucket >= len(ends):
            return None
        start = ends[bucket - 1] if bucket else 0
        uids = self.uids[start : ends[bucket]]
        return start + uids.index(uid) if uid in uids else None  # a miss that raises would write all the digits of `uid`

    def append(self, bucket: int, row: Row) -> None:
        """Puts `row` behind the others of `bucket`."""
        ends = self.ends
        while len(ends) <= bucket:
            ends.append(len(self.contacts))
        position = ends[bucket]
        self.contacts.insert(position, row.contact)
        self.uids.insert(position, row.contact.uid or 0)
        self.seen.insert(position, row.seen)
        self.failures.insert(position, row.failures)
        self.dialled.insert(position, row.dialled)
        self.rtts.insert(position, row.rtt)
        for deeper in range(bucket, len(ends)):
            ends[deeper] += 1

    def take(self, bucket: int, position: int) -> Row:
        """Removes and returns the row at `position`, which is in `bucket`."""
        ends = self.ends
        for deeper in range(bucket, len(ends)):
            ends[deeper] -= 1
        while ends and ends[-1] == (ends[-2] if len(ends) > 1 else 0):
            ends.pop()
        del self.uids[position]
        return Row(
            self.contacts.pop(position),
            self.seen.pop(position),
            self.failures.pop(position),
            bool(self.dialled.pop(position)),
            self.rtts.pop(position),
        )

    def refresh(self, position: int, now: float, dialled: bool) -> None:
        """Notes that the contact at `position` was heard from: its failures are forgiven."""
        self.seen[position] = now
        self.failures[position] = 0
        self.dialled[position] |= dialled

    def by_silence(self, bucket: int) -> list[int]:
        """The positions in `bucket`, the one heard from longest ago first."""
        return sorted(range(*self.span(bucket)), key=self.seen.__getitem__)
