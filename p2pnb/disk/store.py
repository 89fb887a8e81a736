"""The stores of a node, with a disk behind them.

Memory decides, as it does without a disk: what is taken, what is newer, what is over quota. What it took is then written,
and the answer waits until it is on the disk: "an acknowledged write" is one that a restart finds. A request that changed
nothing is answered at once. After a start the same records are there with their publishers and ages; what expired
meanwhile is not, and what no longer fits into the quotas is dropped.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import partial

from p2pnb import spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.kept import Kept, KeptValue, KeptVote
from p2pnb.dht.quota import HOUR, Quota
from p2pnb.dht.store import Put, Store
from p2pnb.disk.part import Part, State
from p2pnb.disk.rows import (
    ALLOWANCE,
    EXPIRING,
    Name,
    allowance_at,
    allowance_body,
    allowance_of,
    body_of,
    entry_at,
    kept_of,
    value_at,
    vote_at,
)
from p2pnb.wire.messages import BagAdd, Set

KeptNow = Callable[[], Kept | None]
SLICE = 200  # records that are loaded in one go
PER_RECORD = 2_048  # bytes that take about as long as a record does


class DiskStore(Store):
    """As `Store`, kept in `part`. `now` is the time of the peer's clock; `dropped`: how many records did not fit any more."""

    def __init__(
        self, part: Part, now: float, *, network: str = "", rng: random.Random, quota: Quota | None = None, at_once: bool = True
    ) -> None:
        super().__init__(network=network, rng=rng, quota=quota)
        self._part = part
        self.dropped = 0
        for _ in self._load(now) if at_once else ():
            pass

    @classmethod
    async def loaded(cls, part: Part, now: float, *, network: str, rng: random.Random) -> DiskStore:
        """The same, a slice in each pass of the loop, so that ten thousand records hold nobody up."""
        store = cls(part, now, network=network, rng=rng, at_once=False)
        for _ in store._load(now):
            await asyncio.sleep(0)
        return store

    def put(self, request: Put, key: int, now: float, *, publisher: int | None, group: str | None = None) -> bool | Deferred[bool]:
        if self._part.refuses:
            return False
        name, kept = self._place(request, key, publisher)
        before = kept()
        if not super().put(request, key, now, publisher=publisher, group=group):
            return False
        if before is not None and kept() == before and not self._part.is_pending(name):
            return True
        if group is not None and self.quota.groups.chunks(group):
            self._part.write(allowance_at(group), partial(self._allowance, group))
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

    def _allowance(self, group: str) -> State | None:
        chunks = self.quota.groups.chunks(group)
        if not chunks:
            return None
        moment = chunks[-1][0]
        return moment, partial(allowance_body, chunks, moment)

    def _load(self, now: float) -> Iterator[None]:
        """Takes what the part found; stops whenever a slice of it is done."""
        names = {}
        found: list[tuple[bool, float, Kept]] = []
        rows, work = self._part.found(*EXPIRING), 0.0
        for each in rows:
            name = Name(each.kind, each.name)
            kept = kept_of(name, each.moment, each.body)
            if kept is None:
                self._part.delete(name)
            else:
                names[id(kept)] = name
                found.append((isinstance(kept, KeptVote) and kept.publisher is None, each.moment, kept))
            work += 1 + len(each.body) / PER_RECORD
            if work >= SLICE:
                work = 0.0
                yield
        found.sort(key=lambda each: each[:2])  # votes before hand-overs, the oldest first
        for count, (_, moment, kept) in enumerate(found, 1):
            if not self._restore(kept, now):
                self.dropped += moment + spec.EXPIRY > now
                self._part.delete(names[id(kept)])
            if count % SLICE == 0:
                yield
        for each in self._part.found(ALLOWANCE):
            for when, size in allowance_of(each.body, each.moment):
                if when + HOUR > now:
                    self.quota.groups.charge(each.name.decode(), size, when)

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
