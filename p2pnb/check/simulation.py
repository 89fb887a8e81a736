"""Small networks without a network: ideal routing tables, and a lookup driven over them in simulated time.

An ideal table holds k contacts of each bucket, drawn at random, or all where there are fewer: what Kademlia's analysis assumes. A
lookup never sends, so a heap of what happens when is all it takes.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Collection

from p2pnb import spec
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.errors import PolicyError
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact, contact

LATENCY = (0.05, 0.15)  # seconds from asking to the answer, or to the news that nobody is there
MOST_WAKES = 10_000


class Network:
    """`n` peers, each with an ideal table of bucket size `k`; those at positions in `dead` never answer."""

    def __init__(self, n: int, k: int, rng: random.Random, dead: float = 0.0) -> None:
        self.rng = rng
        self.uids = sorted(rng.getrandbits(BITS) for _ in range(n))
        self.contacts = [contact("127.0.0.1", 1 + position, uid) for position, uid in enumerate(self.uids)]
        self.dead = frozenset(rng.sample(self.contacts, round(n * dead)))
        self.living = [each for each in self.contacts if each not in self.dead]
        self._tables = {uid: self._table(uid, k) for uid in self.uids}

    def _table(self, own: int, k: int) -> list[Contact]:
        found: list[Contact] = []
        for free in reversed(range(BITS)):
            first = bisect_left(self.uids, (own >> free ^ 1) << free)
            end = bisect_left(self.uids, ((own >> free ^ 1) + 1) << free)
            found += self.rng.sample(self.contacts[first:end], min(end - first, k))
            if bisect_left(self.uids, ((own >> free) + 1) << free) - bisect_left(self.uids, (own >> free) << free) == 1:
                break  # nobody is nearer
        self.rng.shuffle(found)
        return found

    def lookup(self, policy: Callable[..., object], *, want: int, alpha: int = spec.ALPHA) -> PolicyLookup:
        """A lookup of a random target by a random living peer, which has not begun."""
        target, own = self.rng.getrandbits(BITS), uid_of(self.rng.choice(self.living))
        seeds = nearest(self._tables[own], target, spec.MAX_CONTACTS)
        self.rng.shuffle(seeds)
        return PolicyLookup(policy, target, own, seeds, want=want, alpha=alpha, now=0.0)

    def truth(self, lookup: PolicyLookup) -> list[Contact]:
        """Whom it is to find: the nearest of the living, without who looks."""
        return nearest([each for each in self.living if each.uid != lookup.own], lookup.target, lookup.want)

    def drive(self, lookup: PolicyLookup) -> None:
        """Runs it to its end, in simulated time."""
        pending: list[tuple[float, int, Contact]] = []
        now, wakes = 0.0, 0
        while True:
            while (asked := lookup.next(now)) is not None:
                heapq.heappush(pending, (now + self.rng.uniform(*LATENCY), lookup.rpcs, asked))
            if lookup.finished:
                return
            wake, wakes = lookup.wake(now), wakes + 1
            if wakes > MOST_WAKES:
                raise PolicyError(f"wake() woke the lookup {MOST_WAKES:,} times for nothing")
            if not pending or (wake is not None and now < wake < pending[0][0]):
                now = now if wake is None else max(now, wake)
                continue
            now, _, asked = heapq.heappop(pending)
            if asked in self.dead or asked.uid == lookup.own:
                lookup.failed(asked, now, dialled=True)
            else:
                others = [each for each in self._tables[uid_of(asked)] if each.uid != lookup.own]
                hints = nearest(others, lookup.target, spec.MAX_CONTACTS)
                self.rng.shuffle(hints)
                lookup.replied(asked, hints, now)


def nearest(contacts: Collection[Contact], target: int, n: int) -> list[Contact]:
    """The truth: everybody sorted by distance."""
    return sorted(contacts, key=lambda each: uid_of(each) ^ target)[:n]


def uid_of(each: Contact) -> int:
    assert each.uid is not None
    return each.uid
