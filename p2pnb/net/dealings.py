"""What a node had to do with each peer: links, requests, bytes, and how its links ended.

A link counts while it lives (`accounts`); when it ends its counts are added up here, under the uid that was proven on it, or under
the address it came from where none was. So a peer that comes back is one row, and so is an address that only ever knocks.
The book is bounded: beyond `MOST` peers, those that were not heard of for longest are added up in one row of their own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any, Protocol

MOST = 1_000
COUNTS = ("requests_in", "requests_out", "bytes_in", "bytes_out")


class Counted(Protocol):
    """A link, as far as its counts go. Bytes are those of messages, with their size prefix."""

    uid: int | None
    ip: str
    reason: str
    requests_in: int
    requests_out: int
    bytes_in: int
    bytes_out: int


class Dealing:
    """One peer's sums: those of its links that ended, or of all."""

    __slots__ = ("counts", "ends", "ip", "links", "uid")

    def __init__(self, uid: int | None, ip: str) -> None:
        self.uid = uid
        self.ip = ip  # where it was last; "" for many peers together
        self.links = 0  # that are open
        self.counts = [0, 0, 0, 0]
        self.ends: Counter[str] = Counter()  # links that ended, by reason

    def add(self, link: Counted) -> None:
        self.ip = link.ip
        self._count((link.requests_in, link.requests_out, link.bytes_in, link.bytes_out))

    def merge(self, other: Dealing) -> None:
        self.links += other.links
        self._count(other.counts)
        self.ends += other.ends

    def _count(self, more: Iterable[int]) -> None:
        self.counts = [count + each for count, each in zip(self.counts, more, strict=True)]

    def row(self) -> dict[str, Any]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.ends.most_common())
        counts = dict(zip(COUNTS, self.counts, strict=True))
        return {"uid": self.uid, "ip": self.ip, "links": self.links, **counts, "closed": self.ends.total(), "reasons": reasons}


class Dealings:
    """One node's book."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._book: OrderedDict[Hashable, Dealing] = OrderedDict()  # whose link ended longest ago first
        self._others = Dealing(None, "")

    def ended(self, link: Counted) -> None:
        """A link has ended."""
        who = _name(link)
        dealing = self._book.pop(who, None) or Dealing(link.uid, link.ip)
        dealing.add(link)
        dealing.ends[link.reason] += 1
        self._book[who] = dealing
        if len(self._book) > self._most:
            self._others.merge(self._book.popitem(last=False)[1])

    def rows(self, links: Iterable[Counted]) -> list[dict[str, Any]]:
        """One dict a peer, `links` (those that are open) included: uid, ip, links, `COUNTS`, closed, reasons ("reset 3, timeout 1")."""
        now: dict[Hashable, Dealing] = {}
        for who, dealing in self._book.items():
            now[who] = Dealing(dealing.uid, dealing.ip)
            now[who].merge(dealing)
        for link in links:
            open_ = now.setdefault(_name(link), Dealing(link.uid, link.ip))
            open_.add(link)
            open_.links += 1
        others = [self._others] if self._others.ends else []
        return [dealing.row() for dealing in (*now.values(), *others)]


def _name(link: Counted) -> Hashable:
    return link.ip if link.uid is None else link.uid
