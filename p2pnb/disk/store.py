"""The stores of a node, with a disk behind them.

Memory decides, as it does without a disk: what is taken, what is newer, what is over quota. What it took is then written,
and the answer waits until it is on the disk: "an acknowledged write" is one that a restart finds. A request that changed
nothing is answered at once. After a start the same records are there with their publishers and ages; what expired
meanwhile is not, and what no longer fits into the quotas is dropped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from p2pnb import spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.kept import Kept, KeptValue, KeptVote
from p2pnb.dht.quota import Quota
from p2pnb.dht.store import Put, Store
from p2pnb.disk.part import Part, State
from p2pnb.disk.rows import EXPIRING, Name, body_of, entry_at, kept_of, value_at, vote_at
from p2pnb.wire.messages import BagAdd, Set

KeptNow = Callable[[], Kept | None]


class DiskStore(Store):
    """As `Store`, kept in `part`. `now` is the time of the peer's clock; `dropped`: how many records did not fit any more."""

    def __init__(self, part: Part, now: float, *, network: str = "", rng: random.Random, quota: Quota | None = None) -> None:
        super().__init__(network=network, rng=rng, quota=quota)
        self._part = part
        self.dropped = 0
        self._load(now)

    def put(self, request: Put, key: int, now: float, *, publisher: int | None, group: str | None = None) -> bool | Deferred[bool]:
        if self._part.refuses:
            return False
        name, kept = self._place(request, key, publisher)
        before = kept()
        if not super().put(request, key, now, publisher=publisher, group=group):
            return False
        if before is not None and kept() == before and not self._part.is_pending(name):
            return True
        return self._part.write(name, partial(_state, kept))

    def drop(self, key: int) -> None:
        votes = [(vote_at(key, *vote), partial(self.bags.kept, key, *vote)) for vote in self.bags.votes(key)]
        places: list[tuple[Name, KeptNow]] = [
            (value_at(key), partial(self.values.kept, key)),
            (entry_at(key), partial(self.namespaces.kept, key)),
            *votes,
        ]
        there = [(name, kept) for name, kept in places if kept() is not None]
        super().drop(key)
        for name, kept in there:
            self._part.write(name, partial(_state, kept))

    def _place(self, request: Put, key: int, publisher: int | None) -> tuple[Name, KeptNow]:
        """Under which name what `request` changes is written, and how it is now."""
        if isinstance(request, Set):
            return value_at(key), partial(self.values.kept, key)
        if isinstance(request, BagAdd):
            voter = publisher if request.age is None else None
            return vote_at(key, request.value, voter), partial(self.bags.kept, key, request.value, voter)
        return entry_at(key), partial(self.namespaces.kept, key)

    def _load(self, now: float) -> None:
        names = {}
        found: list[tuple[bool, float, Kept]] = []
        for each in self._part.found(*EXPIRING):
            name = Name(each.kind, each.name)
            kept = kept_of(name, each.moment, each.body)
            if kept is None:
                self._part.write(name, _gone)
            else:
                names[id(kept)] = name
                found.append((isinstance(kept, KeptVote) and kept.publisher is None, each.moment, kept))
        found.sort(key=lambda each: each[:2])  # votes before hand-overs, the oldest first
        for _, moment, kept in found:
            if not self._restore(kept, now):
                self.dropped += moment + spec.EXPIRY > now
                self._part.write(names[id(kept)], _gone)

    def _restore(self, kept: Kept, now: float) -> bool:
        if isinstance(kept, KeptValue):
            return self.values.restore(kept, now)
        if isinstance(kept, KeptVote):
            return self.bags.restore(kept, now)
        return self.namespaces.restore(kept, now)


def _state(kept: KeptNow) -> State | None:
    """How it is, for a commit: the row's body is made on the disk's own thread."""
    found = kept()
    return None if found is None else (found.since, partial(body_of, found))


def _gone() -> None:
    """A row that is to be deleted."""


