"""What must hold of one node's store after every event that changed it, and across its restarts.

Each change is checked when it has been made, and only what was changed is looked at: a value's hash, an entry's signatures and the
order of its versions, a bag's votes, the bytes that are counted. What was acknowledged as written is there again after a restart.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from p2pnb import spec
from p2pnb.dht.bags import BAG_BYTES
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.quota import HOUR
from p2pnb.dht.signature import version_holds
from p2pnb.dht.store import Put, Record, Store, key_of_request
from p2pnb.uid import siphashed
from p2pnb.wire.messages import BagAdd, NamespaceSet, Set, Version
from tests.simulation.noted import NotedDict, NotedQuota

HAIR = 1e-6

Rank = tuple[int, bytes, bytes]
Item = tuple[Any, ...]
Vote = tuple[int, bytes, int | None]
_verified: set[tuple[bytes, int, Version]] = set()  # signatures that hold, whatever run has found that out


def item_of(request: Put) -> Item:
    """What a request is about: a value, a value in a bag, an entry."""
    if isinstance(request, BagAdd):
        return "bag", request.key, request.value
    return ("value" if isinstance(request, Set) else "entry"), key_of_request(request)


def rank_of(version: Version) -> Rank:
    """The order of versions, as the protocol has it: by sequence number, then value, then signature."""
    return version.sequence, version.value, version.signature


def _number(key: int | bytes) -> int:
    """A key as a number: bags are kept by theirs as bytes."""
    return key if isinstance(key, int) else int.from_bytes(key, "big")


class Keeping:
    """Watches one store. `touched(self)` is called when it changes; `say` is told what is wrong.

    `taken(item, age)` hears how old each item is that came, and `thrown(record)` what is dropped, before it is. `cast` has every vote
    that was ever cast anywhere.
    """

    def __init__(
        self,
        store: Store,
        position: int,
        touched: Callable[[Keeping], None],
        say: Callable[[str], None],
        taken: Callable[[Item, float], None],
        thrown: Callable[[Record], None],
        cast: set[Vote],
    ) -> None:
        self.store, self.position = store, position
        self._touched, self._say, self._taken, self.thrown = touched, say, taken, thrown
        self._cast = cast
        self._changed: dict[tuple[str, int], None] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._newest: dict[int, Rank] = {}  # of each entry that is here
        self.acknowledged: dict[Item, Any] = {}  # what a restart must find: of an entry, the rank
        self._charged: dict[int | None, list[tuple[float, int]]] = {}  # what each publisher added since half of the room was taken
        store.quota.__class__ = NotedQuota
        store.quota.changed = self._touch  # type: ignore[attr-defined]
        for kind, part, name in (
            ("value", store.values, "_records"),
            ("bag", store.bags, "_bags"),
            ("entry", store.namespaces, "_entries"),
        ):
            content = getattr(part, name)
            noted = NotedDict(
                content,
                lambda key, _, kind=kind: self._note(kind, _number(key)),
                lambda key, kind=kind: self._forgotten(kind, _number(key)),
            )
            setattr(part, name, noted)
            for key in content:  # it was restored from a disk
                self._note(kind, _number(key))
        self._put, self._drop = store.put, store.drop
        store.put, store.drop = self.put, self.drop  # type: ignore[method-assign]

    # --- what happens to it ---------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        self._touched(self)

    def _note(self, kind: str, key: int) -> None:
        self._changed[kind, key] = None
        self._touched(self)

    def _forgotten(self, kind: str, key: int) -> None:
        """It has expired, or was dropped: nothing is promised any more, and an entry may begin anew."""
        if kind == "entry":
            self._newest.pop(key, None)
        for item in [each for each in self.acknowledged if each[:2] == (kind, key)]:
            del self.acknowledged[item]
        self._note(kind, key)

    def put(self, request: Put, key: int, now: float, **whose: Any) -> bool | Deferred[bool]:
        item = item_of(request)
        if isinstance(request, BagAdd) and request.age is None:
            self._cast.add((key, request.value, whose["publisher"]))
        self.store.expire(now)
        before, used = self._since(item), self.store.quota.used
        taken = self._put(request, key, now, **whose)
        self._note(item[0], key)
        if taken is False:
            return False
        self._charge(whose["publisher"], self.store.quota.used - used, now)
        after = self._since(item)
        if after is None:
            self._say(f"node {self.position} said that it took a record, and has not kept it")
            return taken
        if request.age is not None and after > max(now - request.age, before or 0.0) + HAIR:
            self._say(f"a hand-over of age {request.age} made a {item[0]} of node {self.position} {after - (before or 0.0):.0f} s younger")
        self._taken(item, now - after)
        kept = rank_of(request.version) if isinstance(request, NamespaceSet) else True
        if taken is True:
            self._acknowledge(item, kept)
            return True
        return taken.map(lambda written: self._written(item, kept, written))

    def _charge(self, publisher: int | None, size: int, now: float) -> None:
        """Somebody has stored so many bytes more: once half of all is taken, that has a limit an hour."""
        quota = self.store.quota
        if 2 * quota.used > quota.total and size > 0:
            charged = [(when, added) for when, added in self._charged.get(publisher, ()) if when > now - HOUR]
            self._charged[publisher] = charged = [*charged, (now, size)]
            if (added := sum(size for _, size in charged)) > quota._publishers.limit:
                self._say(f"node {self.position} took {added} bytes of one publisher within an hour")

    def _written(self, item: Item, kept: Any, written: bool) -> bool:
        if written:
            self._acknowledge(item, kept)
        return written

    def _acknowledge(self, item: Item, kept: Any) -> None:
        if self._since(item) is None:
            return  # it has expired while it was written
        if isinstance(kept, tuple):
            kept = max(kept, self.acknowledged.get(item, kept))
        self.acknowledged[item] = kept

    def drop(self, key: int) -> None:
        record = self.store.record(key, self.clock())
        if record is not None:
            self.thrown(record)
        self._drop(key)

    clock: Callable[[], float]  # the node's own, in its present life

    def _since(self, item: Item) -> float | None:
        """When it was set or renewed, on the node's clock; None: it is not here."""
        kind, key = item[:2]
        if kind == "value":
            record = self.store.values._records.get(key)
            return None if record is None else record.since
        if kind == "entry":
            entry = self.store.namespaces._entries.get(key)
            return None if entry is None else entry.since
        bag = self.store.bags._bags.get(siphashed(key))
        listed = None if bag is None else bag.items.get(item[2])
        return None if listed is None else listed.newest

    def has(self, item: Item, kept: Any) -> bool:
        """Whether it is here; an entry as `kept`, or newer."""
        if self._since(item) is None:
            return False
        return item[0] != "entry" or kept <= rank_of(self.store.namespaces._entries[item[1]].versions[-1])

    # --- after the event ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What was changed since the last time, and the bytes of all."""
        changed, self._changed = self._changed, {}
        for kind, key in changed:
            self._look(kind, key)
        if sum(self._sizes.values()) != self.store.quota.used:  # votes that expire change a bag's size, and not whether it is there
            for key in self.store.bags.keys():
                self._look("bag", key)
        if (size := sum(self._sizes.values())) != self.store.quota.used:
            self._say(f"node {self.position} keeps {size} bytes, and counts {self.store.quota.used}")
        if self.store.quota.used > self.store.quota.total:
            self._say(f"node {self.position} keeps {self.store.quota.used} bytes, more than {self.store.quota.total}")

    def sweep(self, now: float) -> None:
        """All that is here, whether it was changed or not, on the node's clock."""
        store = self.store
        store.expire(now)  # as upkeep does each minute
        self.check()
        kept = {
            *(("value", key) for key in store.values._records),
            *(("bag", key) for key in store.bags.keys()),
            *(("entry", key) for key in store.namespaces._entries),
        }
        for kind, key in kept:
            self._look(kind, key)
        if kept != self._sizes.keys():
            self._say(f"the store of node {self.position} was changed behind the back of its watch")
        votes = (vote for bag in store.bags._bags.values() for listed in bag.items.values() for vote in listed.votes.values())
        for each in (*store.values._records.values(), *store.namespaces._entries.values(), *votes):
            if now - each.since > spec.EXPIRY:
                self._say(f"node {self.position} keeps something that is {now - each.since:.0f} s old")

    def _look(self, kind: str, key: int) -> None:
        self._sizes.pop((kind, key), None)
        if kind == "value":
            self._look_at_value(key)
        elif kind == "bag":
            self._look_at_bag(key)
        else:
            self._look_at_entry(key)

    def _look_at_value(self, key: int) -> None:
        record = self.store.values._records.get(key)
        if record is not None:
            if int.from_bytes(hashlib.sha256(record.value).digest(), "big") != key:
                self._say(f"node {self.position} keeps a value under a key that is not its hash")
            self._sizes["value", key] = record.size

    def _look_at_entry(self, point: int) -> None:
        entry = self.store.namespaces._entries.get(point)
        if entry is None:
            return
        ranks = [rank_of(version) for version in entry.versions]
        if ranks != sorted(set(ranks)) or len(ranks) > spec.VERSIONS_KEPT:
            self._say(f"the versions of an entry of node {self.position} are not in order, or too many: {[each[:2] for each in ranks]}")
        if max(ranks) < self._newest.get(point, ranks[0]):
            self._say(f"an entry of node {self.position} went back from version {self._newest[point][0]} to {max(ranks)[0]}")
        self._newest[point] = max(ranks)
        for version in entry.versions:
            if (entry.public_key, entry.key, version) in _verified:
                continue
            if version_holds("", entry.public_key, entry.key, version):
                _verified.add((entry.public_key, entry.key, version))
            else:
                self._say(f"node {self.position} keeps a version that nobody signed")
        if point_of(entry.public_key, entry.key) != point:
            self._say(f"node {self.position} keeps an entry where it does not belong")
        self._sizes["entry", point] = entry.size

    def _look_at_bag(self, key: int) -> None:
        bag = self.store.bags._bags.get(siphashed(key))
        if bag is None:
            return
        ballots = Counter(siphashed(publisher) for listed in bag.items.values() for publisher in listed.votes)
        most = max((len(listed.votes) for listed in bag.items.values()), default=0)
        if len(bag.items) > spec.BAG_VALUES or most > spec.BAG_PUBLISHERS_A_VALUE:
            self._say(f"a bag of node {self.position} has more than it may")
        if ballots != bag.ballots or max(ballots.values(), default=0) > spec.BAG_VALUES_A_PUBLISHER:
            self._say(f"a bag of node {self.position} counts {dict(bag.ballots)!r:.80}, and has {dict(ballots)!r:.80}")
        if bag.unvoted.keys() != {value for value, listed in bag.items.items() if not listed.votes}:
            self._say(f"a bag of node {self.position} takes what has votes for what has none, or the other way round")
        if any((key, value, publisher) not in self._cast for value, listed in bag.items.items() for publisher in listed.votes):
            self._say(f"a bag of node {self.position} counts the vote of a peer that never cast it")
        self._sizes["bag", key] = BAG_BYTES + sum(listed.size for listed in bag.items.values())
