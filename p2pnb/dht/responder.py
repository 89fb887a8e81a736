"""What a peer answers: a request and the peer's state give the reply. The draft's network procedures, all of them.

It decides and stores; it never sends, and it believes nothing about the asker but the uid proven on its link. A request
for a record that is not here is answered with the nearest contacts, as `peers` is. A record is taken only by the nearest
peers: when 20 live ones, counted once a network group, are nearer to its key, the answer is `#f`, and whoever wants to
store should go there.

Contacts are told only to those who may know them: an address is listed to an end of the same or a narrower scope
(loopback < private < global), and nobody is told about itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from p2pnb import address, spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.store import Get, Put, key_of_request
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Bag, BagAdd, Iam, NamespaceSet, Nearest, Peers, Reply, Request, Set, Stored, Value, Version, Welcome

MOST_REFUSED = 1_000  # publishers whose refusals are counted one by one; those of further ones count together, under None


class Table(Protocol):
    """What is asked of a routing table."""

    def __len__(self) -> int: ...

    def nearest(self, target: int, n: int) -> list[Contact]: ...

    def nearer(self, key: int, than: int, now: float) -> int: ...


class Records(Protocol):
    """What is asked of a store: `Store` in memory, or one that acknowledges later."""

    def put(self, request: Put, key: int, now: float, *, publisher: int | None, group: str | None) -> bool | Deferred[bool]: ...

    def get(self, request: Get, now: float) -> Value | Bag | Version | None: ...


class Answers(Protocol):
    """What a peer asks of its responder: `Responder`, or whatever an experiment puts in front of it."""

    refused: Counter[int | None]  # how often each publisher's record was not taken

    def answer(self, request: Request, *, uid: int | None, ip: str, port: int, now: float) -> Reply | Deferred[Reply]: ...


class Responder:
    """Answers for the peer `own`. `account` tells to whom what an address stores is charged, beside its uid (None: to nobody)."""

    def __init__(self, own: int, table: Table, store: Records, *, account: Callable[[str], str | None] = address.account_of) -> None:
        self._own = own
        self._table = table
        self._store = store
        self._account = account
        self.refused: Counter[int | None] = Counter()  # how often each publisher's record was not taken

    def answer(self, request: Request, *, uid: int | None, ip: str, port: int, now: float) -> Reply | Deferred[Reply]:
        """The reply to `request` from the peer `uid` (None: not proven) at `ip` and `port`; deferred while a store writes."""
        if isinstance(request, Peers):
            return self._nearest(request.key, uid, ip, port)
        if isinstance(request, Iam):
            return Welcome(ip, port, self._own)
        if isinstance(request, (Set, BagAdd, NamespaceSet)):
            return self._put(request, uid, ip, now)
        found = self._store.get(request, now)
        return self._nearest(key_of_request(request), uid, ip, port) if found is None else found

    def _put(self, request: Put, uid: int | None, ip: str, now: float) -> Reply | Deferred[Reply]:
        taken = self._take(request, uid, ip, now)
        return self._stored(taken, uid) if isinstance(taken, bool) else taken.map(lambda accepted: self._stored(accepted, uid))

    def _stored(self, accepted: bool, uid: int | None) -> Reply:
        if not accepted:
            self.refused[uid if uid in self.refused or len(self.refused) < MOST_REFUSED else None] += 1
        return Stored(accepted)

    def _take(self, request: Put, uid: int | None, ip: str, now: float) -> bool | Deferred[bool]:
        key = key_of_request(request)
        if uid is None and isinstance(request, BagAdd):
            return False
        if isinstance(request, Set) and len(request.value) > spec.MAX_VALUE:  # no reply could carry it
            return False
        if self._table.nearer(key, self._own, now) >= spec.ACCEPTORS:
            return False
        return self._store.put(request, key, now, publisher=uid, group=self._account(ip))

    def _nearest(self, key: int, uid: int | None, ip: str, port: int) -> Nearest:
        wanted = spec.MAX_CONTACTS + 1  # one may be the asker
        contacts = self._table.nearest(key, wanted)
        tellable = _tellable(contacts, uid, ip, port)
        while len(tellable) < spec.MAX_CONTACTS and len(contacts) == wanted:  # scopes hide some: look further
            wanted *= 4
            contacts = self._table.nearest(key, wanted)
            tellable = _tellable(contacts, uid, ip, port)
        return Nearest(tuple(tellable[: spec.MAX_CONTACTS]))


def _tellable(contacts: list[Contact], uid: int | None, ip: str, port: int) -> list[Contact]:
    """Those of `contacts` that the asker may be told about, in their order."""
    if uid is None:
        others = [each for each in contacts if each.port != port or each.ip != ip]
    else:
        others = [each for each in contacts if each.uid != uid]
    if address.scope_of(ip) == address.LOOPBACK:  # may be told everything
        return others
    return [each for each in others if address.may_tell(each.ip, ip)]
