"""The bags that a node keeps: for each key the values that publishers voted for (the draft: "Bag values can be freely
added by any peers").

A vote is one (key, value, publisher); casting it again renews it, and it lives 24 hours. So however often one publisher
adds a value, it counts once. A hand-over between replicas (a `bag-add` with an age) casts no vote, since the sender could
claim any publisher: it only lists the value, for what is left of its 24 hours, until its publishers renew their votes.

Room in a bag is for those who came first: a full bag refuses newcomers. Only values that nobody voted for give way, the
latest first, to values that somebody votes for.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from p2pnb import spec
from p2pnb.dht.expiry import Expiries, age_at, since
from p2pnb.dht.kept import KeptVote
from p2pnb.dht.quota import Quota
from p2pnb.uid import siphashed
from p2pnb.wire.messages import BagAdd, BagEntry

BAG_BYTES, ITEM_BYTES, VOTE_BYTES = 800, 400, 400  # with their bookkeeping (measured)


class _Vote:
    """That a publisher (None: a hand-over) listed an item, at `since`."""

    __slots__ = ("gone", "item", "publisher", "since")

    def __init__(self, item: _Item, publisher: int | None, moment: float) -> None:
        self.item = item
        self.publisher = publisher
        self.since = moment
        self.gone = False


class _Item:
    """A value in a bag; listed as long as it has a vote or an unexpired hand-over."""

    __slots__ = ("bag", "handed", "newest", "value", "votes")

    def __init__(self, bag: _Bag, value: bytes, moment: float) -> None:
        self.bag = bag
        self.value = value
        self.votes: dict[int, _Vote] = {}  # by publisher
        self.handed: _Vote | None = None
        self.newest = moment  # when the newest vote was cast; with no votes, when the hand-over says it was

    @property
    def size(self) -> int:
        return ITEM_BYTES + VOTE_BYTES * (len(self.votes) + (self.handed is not None))


class _Bag:
    __slots__ = ("ballots", "items", "key", "unvoted")

    def __init__(self, key: int) -> None:
        self.key = key
        self.items: dict[bytes, _Item] = {}
        self.unvoted: dict[bytes, _Item] = {}  # those of the items that have no votes, the latest at the end
        self.ballots: dict[bytes, int] = {}  # how many values a publisher, `siphashed`, votes for here


class BagStore:
    """Bags by key. `rng` draws samples; `now` in seconds, on a clock that never runs backwards."""

    def __init__(self, quota: Quota, rng: random.Random) -> None:
        self._quota = quota
        self._rng = rng
        self._bags: dict[bytes, _Bag] = {}  # by key, `siphashed`: anybody chooses keys
        self._expiries: Expiries[_Vote] = Expiries()

    def __len__(self) -> int:
        return len(self._bags)

    def put(
        self, key: int, value: bytes, now: float, *, age: int | None = None, publisher: int | None = None, group: str | None = None
    ) -> bool:
        """Casts or renews the vote of `publisher`, or with an `age` just lists the value.

        False when the bag, the publisher's ballot or the store is full, or nobody is known to be voting.
        """
        self.expire(now)
        moment = since(now, age)
        if moment is None or (age is None and publisher is None):
            return False
        voter = publisher if age is None else None
        bag = self._bags.get(siphashed(key))
        item = None if bag is None else bag.items.get(value)
        if item is not None and self._renew(item, voter, now):
            return True
        if bag is not None and not _admits(bag, item, voter):
            return False
        yielding = next(reversed(bag.unvoted.values())) if bag is not None and item is None and _is_full(bag) else None
        size = VOTE_BYTES + (ITEM_BYTES if item is None else 0) + (BAG_BYTES if bag is None else 0)
        if not self._quota.take(size, now, publisher, group, leaving=0 if yielding is None else yielding.size):
            return False
        if yielding is not None:
            self._remove(yielding)
        self._list(bag or self._create(key), value, voter, moment)
        return True

    def popular(self, key: int, now: float) -> tuple[BagEntry, ...] | None:
        """At most 100 entries, most publishers first (then the newest vote, then the value); None: no such bag."""
        self.expire(now)
        bag = self._bags.get(siphashed(key))
        return None if bag is None else _entries(_by_popularity(bag), now)

    def recent(self, key: int, now: float) -> tuple[BagEntry, ...] | None:
        """At most 100 entries, newest vote first; those that only a hand-over lists come last."""
        self.expire(now)
        bag = self._bags.get(siphashed(key))
        return None if bag is None else _entries(_by_recency(bag), now)

    def sample(self, key: int, now: float) -> tuple[BagEntry, ...] | None:
        """At most 100 entries, drawn uniformly without replacement."""
        self.expire(now)
        bag = self._bags.get(siphashed(key))
        if bag is None:
            return None
        return _entries(self._rng.sample(list(bag.items.values()), min(len(bag.items), spec.MAX_BAG_REPLY)), now)

    def votes(self, key: int) -> list[tuple[bytes, int | None]]:
        """All votes and hand-overs in a bag, as (value, publisher or None)."""
        bag = self._bags.get(siphashed(key))
        items = () if bag is None else bag.items.values()
        return [(item.value, each) for item in items for each in (*item.votes, *([] if item.handed is None else [None]))]

    def kept(self, key: int, value: bytes, publisher: int | None) -> KeptVote | None:
        """One vote, or with None for the publisher one hand-over, as it is, for a disk."""
        bag = self._bags.get(siphashed(key))
        item = None if bag is None else bag.items.get(value)
        if item is None:
            return None
        vote = item.handed if publisher is None else item.votes.get(publisher)
        return None if vote is None else KeptVote(key, value, publisher, vote.since)

    def restore(self, kept: KeptVote, now: float) -> bool:
        """Takes back a vote that was kept before a restart, votes before hand-overs and each ascending by `since`.

        False when its 24 hours are over, or the bag, the publisher's ballot or the store is full.
        """
        moment = min(kept.since, now)
        bag = self._bags.get(siphashed(kept.key))
        item = None if bag is None else bag.items.get(kept.value)
        if moment + spec.EXPIRY <= now or self.kept(*kept[:3]) is not None:
            return False
        if bag is not None and (not _admits(bag, item, kept.publisher) or (item is None and _is_full(bag))):
            return False
        size = VOTE_BYTES + (ITEM_BYTES if item is None else 0) + (BAG_BYTES if bag is None else 0)
        if not self._quota.restore(size, moment, now, kept.publisher):
            return False
        self._list(bag or self._create(kept.key), kept.value, kept.publisher, moment)
        return True

    def drop(self, key: int) -> None:
        """Forgets the bag, if it is here."""
        bag = self._bags.get(siphashed(key))
        if bag is not None:
            for item in list(bag.items.values()):
                self._remove(item)
            self._tidy(bag)

    def expire(self, now: float) -> int:
        """Forgets votes of 24 hours ago; how many values are listed no longer."""
        unlisted = 0
        for vote in self._expiries.due(now):
            unlisted += self._withdraw(vote)
        return unlisted

    def keys(self) -> Iterable[int]:
        return [bag.key for bag in self._bags.values()]

    def requests(self, key: int, now: float) -> list[BagAdd]:
        """What hands the bag over: one `bag-add` a value with the age of its newest vote, the most popular first."""
        self.expire(now)
        bag = self._bags.get(siphashed(key))
        items = [] if bag is None else _by_popularity(bag)
        aged = [(item.value, age_at(now, item.newest)) for item in items]
        return [BagAdd(key, value, age) for value, age in aged if age is not None]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """One dict a value: key, value, publishers (their uids), age_s (since the newest vote)."""
        self.expire(now)
        return [
            {"key": bag.key, "value": item.value, "publishers": list(item.votes), "age_s": now - item.newest}
            for bag in self._bags.values()
            for item in bag.items.values()
        ]

    def _renew(self, item: _Item, voter: int | None, now: float) -> bool:
        """Whether `item` has this vote (or hand-over) already. A vote is renewed; a hand-over never prolongs another."""
        if voter is None:
            return item.handed is not None
        vote = item.votes.get(voter)
        if vote is None:
            return False
        vote.since = item.newest = now
        return True

    def _create(self, key: int) -> _Bag:
        bag = self._bags[siphashed(key)] = _Bag(key)
        return bag

    def _list(self, bag: _Bag, value: bytes, voter: int | None, moment: float) -> None:
        item = bag.items.get(value)
        if item is None:
            item = bag.items[value] = bag.unvoted[value] = _Item(bag, value, moment)
        vote = _Vote(item, voter, moment)
        if voter is None:
            item.handed = vote
        else:
            item.votes[voter] = vote
            item.newest = moment
            bag.unvoted.pop(value, None)
            name = siphashed(voter)  # on some carriers anybody chooses his uid
            bag.ballots[name] = bag.ballots.get(name, 0) + 1
        self._expiries.add(vote)

    def _withdraw(self, vote: _Vote) -> bool:
        """Takes an expired vote or hand-over off its item; whether the item is listed no longer."""
        item, bag = vote.item, vote.item.bag
        self._quota.give_back(VOTE_BYTES)
        if vote.publisher is None:
            item.handed = None
        else:
            del item.votes[vote.publisher]
            _uncount(bag, vote.publisher)
        if item.votes:
            return False
        if item.handed is not None:
            bag.unvoted[item.value] = item
            item.newest = item.handed.since
            return False
        self._remove(item)
        self._tidy(bag)
        return True

    def _remove(self, item: _Item) -> None:
        bag = item.bag
        for publisher, vote in item.votes.items():
            self._expiries.discard(vote)
            _uncount(bag, publisher)
        if item.handed is not None:
            self._expiries.discard(item.handed)
        del bag.items[item.value]
        bag.unvoted.pop(item.value, None)
        self._quota.give_back(item.size)

    def _tidy(self, bag: _Bag) -> None:
        if not bag.items:
            del self._bags[siphashed(bag.key)]
            self._quota.give_back(BAG_BYTES)


def _is_full(bag: _Bag) -> bool:
    return len(bag.items) >= spec.BAG_VALUES


def _admits(bag: _Bag, item: _Item | None, voter: int | None) -> bool:
    """Whether the limits of `bag` leave room for a vote by `voter` (None: a hand-over) for `item` (None: one that is new here)."""
    if item is None and _is_full(bag) and (voter is None or not bag.unvoted):
        return False
    if voter is None:
        return True
    if item is not None and len(item.votes) >= spec.BAG_PUBLISHERS_A_VALUE:
        return False
    return bag.ballots.get(siphashed(voter), 0) < spec.BAG_VALUES_A_PUBLISHER


def _uncount(bag: _Bag, publisher: int) -> None:
    name = siphashed(publisher)
    left = bag.ballots.pop(name) - 1
    if left:
        bag.ballots[name] = left


def _by_popularity(bag: _Bag) -> list[_Item]:
    ranked = [(-len(item.votes), -item.newest, item.value, item) for item in bag.items.values()]
    ranked.sort()  # no two have the same value, so that items are never compared
    return [item for _, _, _, item in ranked]


def _by_recency(bag: _Bag) -> list[_Item]:
    ranked = [(not item.votes, -item.newest, item.value, item) for item in bag.items.values()]
    ranked.sort()
    return [item for _, _, _, item in ranked]


def _entries(items: list[_Item], now: float) -> tuple[BagEntry, ...]:
    return tuple([BagEntry(each.value, len(each.votes), max(0, int(now - each.newest))) for each in items[: spec.MAX_BAG_REPLY]])
