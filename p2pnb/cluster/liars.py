"""Peers that answer wrongly: a disk that cannot write, and people who lie, each wrapped around the responder that is right.

A lie is told in the protocol's own words, so nothing but the answer itself can give it away. Whoever lies keeps a true
store underneath, and is told the truth when it asks itself.
"""

from __future__ import annotations

import random
from typing import Any

from p2pnb.dht.deferred import Deferred
from p2pnb.dht.responder import Answers
from p2pnb.dht.store import Store, key_of_request
from p2pnb.spec import MAX_BAG_REPLY, MAX_CONTACTS
from p2pnb.uid import BITS
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import (
    Bag,
    BagAdd,
    BagEntry,
    BagPopular,
    BagRecent,
    BagSample,
    NamespaceRef,
    NamespaceSet,
    Nearest,
    Peers,
    Ref,
    Reply,
    Request,
    Set,
    Stored,
    Value,
    Version,
)  # fmt: skip

VOTES = 1_000_000  # publishers that an invented value is said to have


class BrokenDisk:
    """A peer in memory that behaves as if it had a disk which cannot write a `share` of what it is given: it says so."""

    def __init__(self, true: Answers, share: float, rng: random.Random) -> None:
        self.true = true
        self.refused = true.refused
        self._share = share
        self._rng = rng

    def answer(self, request: Request, **asker: Any) -> Reply | Deferred[Reply]:
        if isinstance(request, (Set, BagAdd, NamespaceSet)) and self._rng.random() < self._share:
            return Stored(False)
        return self.true.answer(request, **asker)


class Liar:
    """The peer `own`, which keeps `store` and lies in the ways that `told` lists (`faults.Liars` says what they are)."""

    def __init__(self, true: Answers, own: int, store: Store, told: tuple[str, ...], rng: random.Random) -> None:
        self.true = true
        self.refused = true.refused
        self._store = store
        self._own = own
        self._told = frozenset(told)
        self._rng = rng
        self._oldest: dict[int, Version] = {}  # of each entry, the first version that it had when it began to lie, or has seen since

    def answer(self, request: Request, **asker: Any) -> Reply | Deferred[Reply]:
        if asker["uid"] == self._own:
            return self.true.answer(request, **asker)
        return self._lie(request, asker["ip"]) or self.true.answer(request, **asker)

    def _lie(self, request: Request, ip: str) -> Reply | None:
        told, rng = self._told, self._rng
        if isinstance(request, NamespaceSet):
            self._oldest.setdefault(key_of_request(request), self._kept_first(request) or request.version)
        if isinstance(request, (Set, BagAdd, NamespaceSet)):
            return Stored(True) if "promises" in told else None
        if isinstance(request, Ref) and "values" in told:
            return Value(rng.randbytes(32))
        if isinstance(request, NamespaceRef) and request.signature is None and "namespaces" in told:
            return self._oldest.get(key_of_request(request)) or self._kept_first(request)
        if isinstance(request, (BagPopular, BagRecent, BagSample)) and "bags" in told:
            return Bag(tuple([BagEntry(rng.randbytes(32), VOTES, 0) for _ in range(MAX_BAG_REPLY)]))
        if isinstance(request, (Peers, Ref)) and "contacts" in told:
            return self._inventions(request.key, ip)
        return None

    def _kept_first(self, request: NamespaceSet | NamespaceRef) -> Version | None:
        kept = self._store.namespaces.kept(key_of_request(request))
        return kept.versions[0] if kept is not None else None

    def _inventions(self, key: int, ip: str) -> Nearest:
        """Peers that do not exist, nearer to `key` than anybody who does."""
        ports = self._rng.sample(range(1_024, 65_536), MAX_CONTACTS)
        uids = [key ^ self._rng.getrandbits(BITS - 64 - each) for each in range(MAX_CONTACTS)]
        return Nearest(tuple([contact(ip, port, uid) for port, uid in zip(ports, sorted(uids, key=lambda uid: uid ^ key), strict=True)]))
