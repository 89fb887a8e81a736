"""Filling a bucket of the routing table with few requests: what a join does for each bucket far away from its own uid.

The Kademlia paper (section 2.3) looks up a random identifier in the bucket, and whoever answers enters the table. But what such a bucket
lacks is any contacts, not the twenty that are nearest to a point. So this lookup

- takes note only of those in the bucket whom the table does not know, and passes over those that it knows;
- asks for `peers` only while it has heard of fewer of them than there is room for. The others it only meets (`meeting`): a link is all
  that it takes for both ends to learn of each other;
- ends as soon as the bucket has no room left. In a part of the space where there are fewer peers than that, it asks nobody for names any
  more once three have named all whom they know there, and none of them was new. The last of the three is one that is farther away than
  the bucket: those who are near it may have joined together, and know each other and nobody else.

Where names ran out because those who had been passed over were not asked for any, there is another lookup, for another identifier. Whom to
believe and how much to dial is decided by the lookup, as ever.
"""

from __future__ import annotations

from p2pnb import spec
from p2pnb.dht.lookup import Lookup
from p2pnb.errors import P2PError, PeerUnreachable
from p2pnb.peer.cause import CAUSE
from p2pnb.peer.core import Core
from p2pnb.peer.report import Looked
from p2pnb.peer.requests import Outcome
from p2pnb.peer.search import DIAL_FAILURES, Driver
from p2pnb.uid import BITS
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import VERBS, Nearest, Peers

ENOUGH = 3  # replies that name nobody new
SPARE = 3  # so many more than there is room for are taken note of
TRIES = 4  # lookups for one bucket
SEEDS = 6  # of those who are known, the first of them begins with so many: a few know all that there is to know


async def fill(peer: Core, bucket: int) -> None:
    """Meets contacts for `bucket` until it is full, or nobody new is heard of."""
    table = peer.table
    target = table.random_in(bucket, peer.rng)
    seeds, outsiders = table.nearest(target, SEEDS), table.farther(bucket)
    enough = ENOUGH - bool(outsiders)
    for _ in range(TRIES):
        if not table.room(bucket):
            break
        began = peer.clock()
        lookup = Lookup(
            target, peer.own, seeds, want=peer.k, alpha=peer.alpha, now=began,
            patience=peer.patience.seconds, is_linked=peer.requests.is_linked, own_address=peer.address,
        )  # fmt: skip
        filling = Filling(peer, lookup, bucket, enough)
        await filling.run()
        counts = (lookup.hops, filling.asked, lookup.dials, lookup.failures)
        peer.lookups.append(Looked(began, target, VERBS[Peers], *counts, peer.clock() - began, None, CAUSE.get()))
        if filling.exhausted and outsiders:
            seeds, outsiders, enough = [peer.rng.choice(outsiders)], [], 1
        elif filling.exhausted or (filling.asked == lookup.rpcs and lookup.failures < len(seeds)):
            break
        else:
            target = table.random_in(bucket, peer.rng)
            seeds = table.nearest(target, spec.MAX_CONTACTS)
    table.looked_up(target, peer.clock())


class Filling(Driver):
    """Drives `lookup`, whose target lies in `bucket` of the table of `peer`. `asked`: how many of those that it chose were asked or met."""

    def __init__(self, peer: Core, lookup: Lookup, bucket: int, enough: int) -> None:
        super().__init__(peer)
        self._meet = peer.meet
        self.lookup = lookup
        self.asked = 0
        self._table = peer.table
        self._bucket = bucket
        self._heard: set[int | None] = set()  # who was named, is in the bucket, and was not in the table
        self._unasked: set[int | None] = set()  # those of them whom the lookup has not chosen yet
        self._enough = enough  # replies in a row that name nobody new
        self._fruitless = 0  # replies in a row that named nobody new, though they named all they had
        self._names_due = 0.0  # until when it waits for somebody to name others
        self._waiting: dict[Contact, float] = {}  # who was asked, and until when its answer is waited for

    @property
    def exhausted(self) -> bool:
        """Whether nobody knows anybody new in the bucket."""
        return self._fruitless >= self._enough

    def _left(self) -> int:
        """How many who were named are still to be asked; those whom only peers in doubt have named do not count."""
        if not self.lookup.failures:
            return len(self._unasked)
        return sum(each.uid in self._unasked for each in self.lookup.promising)

    def _pump(self) -> None:
        lookup, now, waiting = self.lookup, self._clock(), self._waiting
        room = self._table.room(self._bucket)
        first = next(iter(waiting.values()), 0.0)  # they are in the order of asking
        free = room - (len(waiting) if first > now else sum(until > now for until in waiting.values()))
        while free > 0 and now >= self._names_due and (chosen := lookup.next(now)) is not None:
            names_wanted = self._fruitless < self._enough and self._left() < free
            self._unasked.discard(chosen.uid)
            if not names_wanted and chosen.uid in self._table:
                lookup.replied(chosen, (), now)
                continue
            self.asked += 1
            free -= 1
            waiting[chosen] = now + lookup.patience
            if names_wanted and chosen.uid is not None:
                self._names_due = now + lookup.patience
                self._ask(chosen, Peers(lookup.target), self._answered, None, self._cause)
            else:
                self._meet(chosen, self._met, self._cause)
        if lookup.finished or not room:
            self._end()
        else:
            self._wake_at(next((until for until in waiting.values() if until > now), None))

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        del self._waiting[whom]
        if self._over:
            return
        lookup, now = self.lookup, self._clock()
        if isinstance(outcome, Nearest):
            self._names_due = 0.0
            lookup.replied(whom, self._wanted(outcome.contacts), now)
        elif isinstance(outcome, P2PError):
            self._names_due = 0.0
            self._failed(whom, outcome, now)
        self._pump()

    def _met(self, whom: Contact, outcome: int | P2PError) -> None:
        del self._waiting[whom]
        if self._over:
            return
        lookup, now = self.lookup, self._clock()
        if isinstance(outcome, P2PError):
            self._failed(whom, outcome, now)
        elif whom.uid is not None:
            lookup.replied(whom, (), now)
        elif lookup.connected(whom, outcome, now):
            lookup.replied(contact(whom.ip, whom.port, outcome), (), now)
        self._pump()

    def _failed(self, whom: Contact, error: P2PError, now: float) -> None:
        self.lookup.failed(whom, now, dialled=isinstance(error, PeerUnreachable) and error.reason in DIAL_FAILURES)

    def _wanted(self, named: tuple[Contact, ...]) -> list[Contact]:
        """Those of `named` who may fill the bucket. As long as nobody in it is known, the others may lead there."""
        table, own, bucket = self._table, self.lookup.own, self._bucket
        known, width = table.uids(bucket), BITS - bucket
        room = table.k - len(known)
        inside = [each for each in named if each.uid is None or (own ^ each.uid).bit_length() == width]
        strangers = [each for each in inside if each.uid not in known][: room + SPARE]
        new = {each.uid for each in strangers} - self._heard
        self._heard |= new
        self._unasked |= new
        self._fruitless = 0 if new or len(inside) == len(named) else self._fruitless + 1
        return strangers if inside or room < table.k else list(named)
