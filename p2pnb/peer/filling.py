"""Filling a bucket of the routing table with few requests: what a join does for each bucket far away from its own uid.

The Kademlia paper (section 2.3) looks up a random identifier in the bucket, and whoever answers enters the table. But what such a bucket
lacks is any contacts, not the twenty that are nearest to a point. So here

- those who are in the bucket, and are not in the table, are only met (`meeting`): a link is all that it takes for both ends to learn of
  each other;
- `peers` is asked only while fewer of them were named than there is room for: of the nearest to a random identifier in the bucket of all
  who are known or were named;
- it ends as soon as the bucket has no room left. In a part of the space where there are fewer peers than that, nobody is asked for names
  any more once two in a row have named all whom they know there, and none of them was new. The second is one that is farther away than
  the bucket: those who are near it may have joined together, and know each other and nobody else.

Nobody is believed: whom to meet, and whose names to forget, is decided by what became of those who were named (`dht.strangers`), and no
more is dialled than by a lookup.
"""

from __future__ import annotations

from p2pnb import spec
from p2pnb.dht.candidate import is_acceptable
from p2pnb.dht.dials import Dials
from p2pnb.dht.strangers import Strangers
from p2pnb.errors import P2PError
from p2pnb.peer.core import Core
from p2pnb.peer.report import Looked
from p2pnb.peer.requests import Outcome
from p2pnb.peer.search import Driver
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import VERBS, Nearest, Peers

ENOUGH = 2  # replies in a row that name nobody new
AT_ONCE = 8  # so many are turned to at a time
SPARE = 3  # so many more than there is room for are taken note of


async def fill(peer: Core, bucket: int, *, nearer: bool = False) -> None:
    """Meets contacts for `bucket` until it is full, or nobody new is heard of; with `nearer`, for all from it on as if they were one."""
    filling = Filling(peer, bucket, nearer)
    if filling.room > 0:
        await filling.run()
        peer.lookups.append(filling.looked)
    peer.table.looked_up(filling.target, peer.clock())


class Filling(Driver):
    """Fills `bucket` of the table of `peer`, and with `nearer` all nearer ones. `target` is whom it asks others for: somebody in there."""

    def __init__(self, peer: Core, bucket: int, nearer: bool) -> None:
        super().__init__(peer)
        self.target = peer.table.random_in(bucket, peer.rng)
        self._peer = peer
        self._table, self._bucket, self._nearer = peer.table, bucket, nearer
        self._first, self._last = peer.table.bounds(bucket, nearer=nearer)
        self._patience = peer.patience.seconds
        self._began = peer.clock()
        self._strangers = Strangers()
        self._leads: list[Contact] = []  # while nobody in the bucket is known: who was named, and is not in it
        self._dials = Dials()
        self._asked: dict[Contact, bool | None] = {}  # who was asked for names, and whether it answered; None: not yet
        self._fruitless = 0  # replies in a row that named nobody new, though they named all they had
        self._outsider: Contact | None = None  # who was asked because it is farther away
        self._names_due = 0.0  # until when it waits for somebody to name others
        self._waiting: dict[Contact, float] = {}  # who was turned to, and until when its answer is waited for: in the order of asking

    @property
    def room(self) -> int:
        """How many more are wanted."""
        return self._table.room(self._bucket, nearer=self._nearer)

    @property
    def looked(self) -> Looked:
        """What has come of it. Whoever was known is one step away, and whoever was named two."""
        strangers, answered = self._strangers, list(self._asked.values()).count(True)
        hops = 2 if strangers.proven > answered else 1 if answered else 0
        counts = (hops, strangers.tried, self._dials.count, strangers.failures)
        return Looked(self._began, self.target, VERBS[Peers], *counts, self._clock() - self._began, None, self._cause)

    # --- whom to turn to ------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        strangers, waiting, now = self._strangers, self._waiting, self._clock()
        if waiting and next(iter(waiting.values())) <= now:
            self._lose_patience(now)
        room = self.room
        most = min(room, AT_ONCE)
        while len(waiting) < most:
            if len(strangers) < room - len(waiting) and now >= self._names_due and (chosen := self._next_to_ask()) is not None:
                self._asked[chosen] = None
                self._names_due = now + self._patience
                self._ask(chosen, Peers(self.target), self._answered, None, self._cause)
            elif (stranger := strangers.next()) is None:
                break
            elif self._is_linked(stranger) or not self._dials.take(stranger.ip):
                continue  # whoever has a link to us knows us by now
            else:
                self._peer.meet(chosen := stranger, self._met, self._cause)
            waiting[chosen] = now + self._patience
        outcomes = self._asked.values()
        if room > 0 and waiting:
            self._wake_at(next(iter(waiting.values())))
        elif room <= 0 or True in outcomes or None not in outcomes:  # else one who is slow is all there is
            self._end()

    def _lose_patience(self, now: float) -> None:
        """Those who were silent for too long are not waited for any more, though they may still answer."""
        for whom in [whom for whom, until in self._waiting.items() if until <= now]:
            del self._waiting[whom]
            self._strangers.silent(whom)

    def _next_to_ask(self) -> Contact | None:
        """Who may name others: the nearest to the target of those who are known or were named, and, before it is given up, an outsider."""
        outsiders = self._table.farther(self._bucket) if self._fruitless == ENOUGH - 1 and self._outsider is None else []
        while self._fruitless < ENOUGH and len(self._asked) < spec.MAX_CONTACTS:
            if outsiders:
                chosen = self._outsider = self._peer.rng.choice(outsiders[-self._table.k :])
                outsiders = []
            else:
                known = self._table.nearest(self.target, len(self._asked) + 1)
                others = [each for each in (*known, *self._strangers, *self._leads) if each.uid is not None and each not in self._asked]
                if not others:
                    break
                chosen = min(others, key=self._distance)
            self._strangers.remove(chosen)
            if self._is_linked(chosen) or self._dials.take(chosen.ip):
                return chosen
            self._asked[chosen] = False
        return None

    def _distance(self, contact: Contact) -> int:
        return (contact.uid or 0) ^ self.target

    def _is_linked(self, contact: Contact) -> bool:
        return contact.uid is not None and self._peer.requests.is_linked(contact.uid)

    # --- what came of it ------------------------------------------------------------------------------------------------

    def _answered(self, whom: Contact, outcome: Outcome) -> None:
        self._waiting.pop(whom, None)
        self._names_due = 0.0
        self._asked[whom] = isinstance(outcome, Nearest)
        if self._over:
            return
        if isinstance(outcome, Nearest):
            self._strangers.met(whom)
            self._note(whom, outcome.contacts)
        else:
            self._strangers.failed(whom)
        self._pump()

    def _met(self, whom: Contact, outcome: int | P2PError) -> None:
        self._waiting.pop(whom, None)
        if self._over:
            return
        if isinstance(outcome, P2PError):
            self._strangers.failed(whom)
        else:
            self._strangers.met(whom)
        if len(self._waiting) <= AT_ONCE // 2:  # all the others at once, and not one by one
            self._pump()

    def _note(self, by: Contact, named: tuple[Contact, ...]) -> None:
        """Takes note of those of `named` who may fill the bucket. As long as nobody in it is known, the others may lead there."""
        first, last, own, own_address = self._first, self._last, self._peer.own, self._peer.address
        known = set(self._table.uids(self._bucket, nearer=self._nearer))
        inside = [each for each in named if each.uid is None or first <= each.uid <= last]
        strangers = [each for each in inside if each.uid not in known][: self._table.k - len(known) + SPARE]
        new = self._strangers.named([each for each in strangers if is_acceptable(each, by.ip, own, own_address)], by.uid)
        self._fruitless = 0 if new or len(inside) == len(named) else self._fruitless + 1
        if not inside and not known:
            self._leads += [each for each in named if is_acceptable(each, by.ip, own, own_address)]
