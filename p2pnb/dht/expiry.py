"""Which records are due to be forgotten: everything lives 24 hours from the moment it was set, cast or renewed.

A record carries that moment in `since`; renewing it just moves `since` forward, and nothing else has to be told. The heap
here keeps one entry a record, at the earliest time it could be due. When that time comes and the record was renewed
meanwhile, it goes back with its later time; when it was dropped meanwhile, its entry is thrown away. So setting costs one
push, renewing nothing, and looking whether anything is due costs one comparison.

It never removes a record from a store: it says which are due, and the store forgets them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from p2pnb import spec


class Dated(Protocol):
    """What can be forgotten: set or renewed at `since`; `gone` once it was dropped."""

    since: float
    gone: bool


D = TypeVar("D", bound=Dated)


def since(now: float, age: int | None) -> float | None:
    """When something that is `age` seconds old now (None: new) was set; None when that is 24 hours ago or more."""
    if age is None:
        return now
    return None if age >= spec.EXPIRY else now - age


def age_at(now: float, moment: float) -> int | None:
    """The age that a hand-over states, in whole seconds, rounded up: passing it on must never lengthen a record's life.

    None when nothing of that life is left to hand over.
    """
    age = max(0, math.ceil(now - moment))
    return None if age >= spec.EXPIRY else age


def handed_on(stated: int | None, elapsed: float) -> int | None:
    """The age with which a reader hands on what was said to be `stated` seconds old no more than `elapsed` seconds ago.

    Rounded up as well. None when nobody said an age, or nothing of that life is left.
    """
    age = spec.EXPIRY if stated is None else stated + math.ceil(elapsed)
    return None if age >= spec.EXPIRY else int(age)


class Expiries(Generic[D]):
    """The records of one store, ordered by when they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, D]] = []
        self._serial = 0
        self._gone = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, record: D) -> None:
        """Watches a new record."""
        self._serial += 1
        heapq.heappush(self._heap, (record.since + spec.EXPIRY, self._serial, record))

    def discard(self, record: D) -> None:
        """Marks a record as dropped. Its entry goes when it surfaces, or when half of all entries are such."""
        record.gone = True
        self._gone += 1
        if self._gone * 2 > len(self._heap) + 64:
            self._heap = [entry for entry in self._heap if not entry[2].gone]
            heapq.heapify(self._heap)
            self._gone = 0

    def due(self, now: float) -> Iterator[D]:
        """Takes out, oldest first, the records whose 24 hours are over. `now` never runs backwards."""
        while self._heap and self._heap[0][0] <= now:
            due, _, record = heapq.heappop(self._heap)
            if record.gone:
                self._gone -= 1
            elif record.since + spec.EXPIRY > due:
                self.add(record)
            else:
                record.gone = True
                yield record
