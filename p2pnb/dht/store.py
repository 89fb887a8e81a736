"""Everything that one node keeps: values, bags and namespaces' entries, under one quota.

A request that stores something is handed in as it came, with the key it lives at (`key_of_request`). What a node keeps
is handed over and republished the same way: as the very requests that would store it at another peer.

Nothing here sends, sleeps or looks at a clock. This store is in memory and answers at once; `p2pnb.disk.store` has a disk
behind it, whose `put` answers with a `Deferred`.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from p2pnb import spec
from p2pnb.dht.bags import BagStore
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.namespaces import NamespaceStore, point_of
from p2pnb.dht.quota import Quota
from p2pnb.dht.values import ValueStore
from p2pnb.uid import siphashed
from p2pnb.wire.messages import Bag, BagAdd, BagPopular, BagRecent, BagSample, NamespaceRef, NamespaceSet, Ref, Set, Value, Version

Put = Set | BagAdd | NamespaceSet
Get = Ref | BagPopular | BagRecent | BagSample | NamespaceRef
KINDS: dict[type, str] = {Set: "value", BagAdd: "bag", NamespaceSet: "namespace"}


class Record(NamedTuple):
    """All that a node keeps at `key`, as requests with ages: storing them in this order hands it over."""

    key: int
    requests: tuple[Put, ...]


def key_of_request(request: Put | Get) -> int:
    """Where in the 256-bit space a request's record lives: a value at its SHA-256, an entry at `point_of` it, a bag at its key."""
    if isinstance(request, Set):
        return int.from_bytes(hashlib.sha256(request.value).digest(), "big")
    if isinstance(request, (NamespaceSet, NamespaceRef)):
        return point_of(request.public_key, request.key)
    return request.key


def older(request: Put, elapsed: float) -> Put:
    """`request` as it is to be sent when its age, if it has one, was read `elapsed` seconds ago: in whole seconds, rounded up."""
    late = math.ceil(elapsed)
    return request if request.age is None or not late else replace(request, age=request.age + late)


class Store:
    """The stores of one node. `network`: the network's name, for signatures; `rng` draws samples of bags."""

    def __init__(self, *, network: str = "", rng: random.Random, quota: Quota | None = None) -> None:
        self.quota = Quota() if quota is None else quota
        self.values = ValueStore(self.quota)
        self.bags = BagStore(self.quota, rng)
        self.namespaces = NamespaceStore(self.quota, network)

    def __len__(self) -> int:
        """How many values, bags and entries of namespaces are kept."""
        return len(self.values) + len(self.bags) + len(self.namespaces)

    @property
    def size(self) -> int:
        """Bytes kept, bookkeeping included."""
        return self.quota.used

    def put(self, request: Put, key: int, now: float, *, publisher: int | None, group: str | None = None) -> bool | Deferred[bool]:
        """Stores what `request` says at `key`; whether it was taken. `publisher`, `group`: as `Quota.take` has them."""
        if isinstance(request, Set):
            return self.values.put(key, request.value, now, age=request.age, publisher=publisher, group=group)
        if isinstance(request, BagAdd):
            return self.bags.put(key, request.value, now, age=request.age, publisher=publisher, group=group)
        return self.namespaces.put(
            request.public_key, request.key, request.version, now, age=request.age, publisher=publisher, group=group
        )

    def get(self, request: Get, now: float) -> Value | Bag | Version | None:
        """The reply to `request` from what is kept here; None when there is nothing."""
        if isinstance(request, Ref):
            return self.values.get(request.key, now)
        if isinstance(request, NamespaceRef):
            return self.namespaces.get(request.public_key, request.key, now, request.signature)
        if isinstance(request, BagPopular):
            entries = self.bags.popular(request.key, now)
        elif isinstance(request, BagRecent):
            entries = self.bags.recent(request.key, now)
        else:
            entries = self.bags.sample(request.key, now)
        return None if entries is None else Bag(entries)

    def stored_for(self, now: float) -> dict[int | None, int]:
        """Bytes of values, and of votes in bags, that are kept for each publisher (None: what was handed over)."""
        sums: dict[int | None, int] = {}
        for row in self.values.rows(now):
            sums[row["publisher"]] = sums.get(row["publisher"], 0) + row["size"]
        for row in self.bags.rows(now):
            for publisher in row["publishers"]:
                sums[publisher] = sums.get(publisher, 0) + spec.RECORD_VALUE
        return sums

    def expire(self, now: float) -> int:
        """Forgets what is 24 hours old; how many values, values in bags and entries that were."""
        return self.values.expire(now) + self.bags.expire(now) + self.namespaces.expire(now)

    def keys(self) -> list[int]:
        """Every key at which something is kept, once, in the order it came within each kind."""
        return list({siphashed(key): key for key in (*self.values.keys(), *self.bags.keys(), *self.namespaces.keys())}.values())

    def record(self, key: int, now: float) -> Record | None:
        """What is kept at `key`; None when there is nothing, or nothing of its life is left to hand over."""
        requests: tuple[Put, ...] = (
            *self.values.requests(key, now),
            *self.bags.requests(key, now),
            *self.namespaces.requests(key, now),
        )
        return Record(key, requests) if requests else None

    def records(self, now: float) -> Iterator[Record]:
        """Every record, each made when it is reached; the store may change in between."""
        for key in self.keys():
            record = self.record(key, now)
            if record is not None:
                yield record

    def drop(self, key: int) -> None:
        """Forgets everything at `key`: another peer has acknowledged it."""
        self.values.drop(key)
        self.bags.drop(key)
        self.namespaces.drop(key)

    def rows(self, now: float) -> dict[str, list[dict[str, Any]]]:
        """Plain data for tables: the rows of "values", "bags" and "namespaces"."""
        return {"values": self.values.rows(now), "bags": self.bags.rows(now), "namespaces": self.namespaces.rows(now)}
