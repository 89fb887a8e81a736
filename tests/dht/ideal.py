"""Networks of ideal routing tables, and a driver that runs one lookup over them in simulated time.

An ideal table holds, of each bucket, k of all peers that belong there, drawn at random, or all if there are fewer: what
Kademlia's analysis assumes. No sockets and no loop: a lookup never sends, so a heap of what happens when is enough.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable

from p2pnb import spec
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.table import RoutingTable
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact, contact

RTT = 0.1  # seconds

# What a peer says when it is asked: hints; or that nobody is there (a refused dial); or nothing at all (a black hole).
REFUSED, SILENT = "refused", "silent"
Answer = Callable[[Contact], Iterable[Contact] | str]


def uids(n: int, rng: random.Random) -> list[int]:
    return sorted(rng.getrandbits(BITS) for _ in range(n))


def nearest(contacts: Iterable[Contact], target: int, n: int) -> list[Contact]:
    """The truth: everybody sorted by distance."""
    return sorted(contacts, key=lambda each: uid_of(each) ^ target)[:n]


def uid_of(each: Contact) -> int:
    assert each.uid is not None
    return each.uid


class Network:
    """`n` peers on 127.0.0.1, each with an ideal table of bucket size `k`."""

    def __init__(self, n: int, k: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.k = k
        self._uids = uids(n, self.rng)
        self.contacts = [contact("127.0.0.1", 1 + port, uid) for port, uid in enumerate(self._uids)]
        self.tables = {uid: self._table(uid) for uid in self._uids}

    def _table(self, own: int) -> RoutingTable:
        table = RoutingTable(own, self.k)
        for bucket in range(BITS):
            free = BITS - 1 - bucket
            lowest = ((own >> free) ^ 1) << free
            first, end = bisect_left(self._uids, lowest), bisect_left(self._uids, lowest + (1 << free))
            for position in self.rng.sample(range(first, end), min(end - first, self.k)):
                table.seen(self.contacts[position], 0.0, dialled=True)
            around = (own >> free) << free
            if bisect_left(self._uids, around + (1 << free)) - bisect_left(self._uids, around) == 1:
                break  # nobody is nearer
        return table

    def answer(self, target: int) -> Answer:
        """What an honest peer answers to `peers target`."""
        return lambda asked: self.tables[uid_of(asked)].nearest(target, spec.MAX_CONTACTS)

    def textbook(self, target: int) -> Answer:
        """As `answer`, but at most k contacts, as in the paper."""
        return lambda asked: self.tables[uid_of(asked)].nearest(target, self.k)


def drive(lookup: Lookup, answer: Answer, *, latency: Callable[[], float] = lambda: RTT, now: float = 0.0) -> float:
    """Runs `lookup` to its end and returns when that was. A black hole is given up after `spec.REQUEST_TIMEOUT`."""
    pending: list[tuple[float, int, Contact, Iterable[Contact] | str]] = []
    while True:
        while (asked := lookup.next(now)) is not None:
            said = answer(asked)
            delay = spec.REQUEST_TIMEOUT if said == SILENT else latency()
            heapq.heappush(pending, (now + delay, lookup.rpcs, asked, said))
        if lookup.finished:
            return now
        wake = lookup.wake(now)
        if pending and (wake is None or pending[0][0] <= wake):
            now, _, asked, said = heapq.heappop(pending)
            if isinstance(said, str):
                lookup.failed(asked, now, dialled=True)
            else:
                lookup.replied(asked, said, now)
        else:
            assert wake is not None, "the lookup waits for nothing"
            now = wake
