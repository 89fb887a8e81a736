"""The routing table: k-buckets with replacement caches (Maymounkov and Mazières 2002, sections 2.2, 2.4 and 4.1).

What it decides: whom to remember. A contact that is in and answers stays, however many knock: those that have been up
long will stay up longest, and a flood of newcomers cannot wash the table out. A newcomer to a full bucket waits in the
bucket's replacement cache, and moves up when a contact has failed twice in a row. Of one network group (a /24 or /48)
a bucket holds one contact, and a cache one more: whoever has many addresses in one place is still one neighbour.

What it never does: send. `seen` names the contact whose place a newcomer waits for, if that one is in doubt, and the
caller asks it; `failed` and `seen` tell the table what came of it. Nor does it believe: whoever calls `seen` has proof of
the uid (a handshake, or an `iam` answered at that address). Names heard from others never enter.

Time is seconds on any clock that does not run backwards; randomness is an argument.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import compress
from random import Random
from typing import Any

from p2pnb import address, spec
from p2pnb.dht.bucket import Buckets, Row
from p2pnb.uid import BITS, common_prefix_length
from p2pnb.wire.contact import Contact

_RTT_GAIN = 0.125  # of a new round trip in the smoothed one (RFC 6298)
_MOST_FAILURES = 255  # as many as a byte counts


class RoutingTable:
    """The contacts that the peer `own` has heard from, at most `k` (2 to 20) for each common prefix length.

    `group` gives an ip's network group, None for one that is exempt.
    """

    __slots__ = ("_cache", "_group", "_live", "_looked_up", "k", "own")

    def __init__(self, own: int, k: int = spec.K, *, group: Callable[[str], str | None] = address.group_of) -> None:
        if not spec.MIN_K <= k <= spec.MAX_CONTACTS:
            raise ValueError(f"a bucket holds k = {spec.MIN_K} to {spec.MAX_CONTACTS} contacts, not {k}")
        self.own = own
        self.k = k
        self._group = group
        self._live = Buckets()
        self._cache = Buckets()
        self._looked_up = array("d")  # when a lookup last went into each bucket

    # --- what happened --------------------------------------------------------------------------------------------------

    def seen(self, contact: Contact, now: float, *, dialled: bool) -> Contact | None:
        """Notes that `contact` was heard from, with its uid proven; `dialled`: by a connection that we opened to its address.

        Returns a contact to check, or None: the one whose place the newcomer waits for, if it failed last time or has
        been silent for `spec.LIVE_WITHIN`. Tell `seen` or `failed` how the check ended.
        """
        uid = contact.uid
        if uid is None:
            raise ValueError(f"{contact} has no uid; only a proven one can enter a routing table")
        bucket = BITS - (self.own ^ uid).bit_length()  # as long as their common prefix
        if bucket == BITS:
            return None
        live = self._live
        position = live.find(bucket, uid)
        if position is None:
            if self._cache.uids and (waited := self._cache.find(bucket, uid)) is not None:
                if self._waits_on(bucket, waited, contact, now):
                    self._cache.refresh(waited, now, dialled)
                    return None
                dialled |= self._uncache(bucket, uid, contact)
            return self._admit(bucket, Row(contact, now, 0, dialled))
        known = live.contacts[position]
        if known is contact or known.address == contact.address:
            live.refresh(position, now, dialled)
            return None
        live.take(bucket, position)  # it has moved: the old address counts for nothing
        questionable = self._admit(bucket, Row(contact, now, 0, dialled))
        self._promote(bucket)
        return questionable

    def failed(self, uid: int, now: float) -> bool:
        """Notes that a request to `uid`, or dialling it, failed. Returns whether it left the table.

        It leaves at once if its address was never dialled with success. Otherwise `spec.STALE_AFTER` failures in a row make
        it stale, and it gives way to the replacement cache; with nobody there it keeps its place for whoever comes next,
        and is forgotten when it has been silent for `spec.EXPIRY`.
        """
        bucket = common_prefix_length(self.own, uid)
        live = self._live
        position = live.find(bucket, uid) if uid != self.own else None
        if position is None:
            self._uncache(bucket, uid)
            return False
        live.failures[position] = min(live.failures[position] + 1, _MOST_FAILURES)
        if live.dialled[position]:
            if live.failures[position] < spec.STALE_AFTER:
                return False
            if self._successor(bucket, position) is None and now - live.seen[position] <= spec.EXPIRY:
                return False
        live.take(bucket, position)
        self._promote(bucket)
        return True

    def remove(self, uid: int) -> None:
        """Forgets `uid`, and lets a contact from the replacement cache take its place."""
        bucket = common_prefix_length(self.own, uid)
        position = self._live.find(bucket, uid)
        if position is not None:
            self._live.take(bucket, position)
            self._promote(bucket)
        else:
            self._uncache(bucket, uid)

    def rtt(self, uid: int, seconds: float) -> None:
        """Notes a measured round trip to `uid`; a smoothed mean is kept (RFC 6298)."""
        live = self._live
        position = live.find(common_prefix_length(self.own, uid), uid)
        if position is not None:
            before = live.rtts[position]
            live.rtts[position] = seconds if before != before else before + _RTT_GAIN * (seconds - before)  # noqa: PLR0124 (NaN)

    # --- who gets a place -----------------------------------------------------------------------------------------------

    def _admit(self, bucket: int, row: Row) -> Contact | None:
        """Gives the newcomer `row` a place, or else one in the cache; then returns the contact to check, if any."""
        live = self._live
        kin = self._kin(live, bucket, row.contact)
        start, end = live.span(bucket)
        if kin is None and end - start < self.k:
            live.append(bucket, row)
            return None
        doubtful: list[int] = []
        if not self._is_sound(bucket, row.seen):
            doubtful = [
                position
                for position in (live.by_silence(bucket) if kin is None else [kin])
                if live.failures[position] or row.seen - live.seen[position] > spec.LIVE_WITHIN
            ]
        for position in doubtful:
            if live.failures[position] >= spec.STALE_AFTER:
                live.take(bucket, position)
                live.append(bucket, row)
                return None
        self._wait(bucket, row)
        return live.contacts[doubtful[0]] if doubtful else None

    def _is_sound(self, bucket: int, now: float) -> bool:
        """Whether no contact in `bucket`, which holds some, is in doubt: none failed last time, and all were heard from lately."""
        live = self._live
        start, end = live.span(bucket)
        return live.failures.count(0, start, end) == end - start and now - min(live.seen[start:end]) <= spec.LIVE_WITHIN

    def _waits_on(self, bucket: int, position: int, contact: Contact, now: float) -> bool:
        """Whether all is as it was: `contact` waits at `position` of the cache, for a bucket that is full and sound."""
        return self._cache.contacts[position] is contact and not self.room(bucket) and self._is_sound(bucket, now)

    def _kin(self, buckets: Buckets, bucket: int, contact: Contact) -> int | None:
        """The position of the contact in `bucket` that shares its network group with `contact`."""
        group = self._group(contact.ip)
        if group is not None:
            for position in range(*buckets.span(bucket)):
                if self._group(buckets.contacts[position].ip) == group:
                    return position
        return None

    def _wait(self, bucket: int, row: Row) -> None:
        """Puts `row` into the replacement cache, in place of the one of its group or of the one heard from longest ago."""
        cache = self._cache
        kin = self._kin(cache, bucket, row.contact)
        start, end = cache.span(bucket)
        if kin is not None:
            cache.take(bucket, kin)
        elif end - start >= self.k:
            cache.take(bucket, cache.by_silence(bucket)[0])
        cache.append(bucket, row)

    def _uncache(self, bucket: int, uid: int, contact: Contact | None = None) -> bool:
        """Takes `uid` out of the replacement cache; returns whether it was there, dialled, at the address of `contact`."""
        position = self._cache.find(bucket, uid)
        if position is None:
            return False
        row = self._cache.take(bucket, position)
        return row.dialled and contact is not None and row.contact.address == contact.address

    def _successor(self, bucket: int, leaving: int | None = None) -> int | None:
        """The position in the cache of who may move up: the one heard from last whose group has no other contact here."""
        for position in reversed(self._cache.by_silence(bucket)):
            kin = self._kin(self._live, bucket, self._cache.contacts[position])
            if kin is None or kin == leaving:
                return position
        return None

    def _promote(self, bucket: int) -> None:
        start, end = self._live.span(bucket)
        position = self._successor(bucket) if end - start < self.k else None
        if position is not None:
            self._live.append(bucket, self._cache.take(bucket, position))

    # --- who is there ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._live.contacts)

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._live.contacts)

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, int) and self.get(uid) is not None

    def get(self, uid: int) -> Contact | None:
        """The contact of `uid`, if it has a place (waiting in a cache does not count)."""
        position = self._live.find(common_prefix_length(self.own, uid), uid)
        return None if position is None else self._live.contacts[position]

    def random(self, rng: Random) -> Contact | None:
        """A contact drawn from those that did not fail last time, or else from all; None when the table is empty."""
        live = self._live
        good = [contact for contact, failures in zip(live.contacts, live.failures, strict=True) if not failures]
        return rng.choice(good or live.contacts) if live.contacts else None

    def nearest(self, target: int, n: int, *, live_only: bool = True) -> list[Contact]:
        """The `n` contacts nearest to `target`, in exact XOR order; fewer when there are fewer.

        With `live_only`, contacts that failed last time come after all others, and only if there are fewer than `n` of those.
        """
        live = self._live
        found: list[Contact] = []
        doubtful: list[Contact] = []

        def distance(each: Contact) -> int:
            return each.uid ^ target  # type: ignore[operator]  # in a table all have a uid

        for start, end in self._spans(target):
            part = live.contacts[start:end]
            if live_only and live.failures.count(0, start, end) != end - start:
                failures = live.failures[start:end]
                doubtful += compress(part, failures)
                part = [each for each, count in zip(part, failures, strict=True) if not count]
            found += part
            if len(found) >= n:
                break
        found.sort(key=distance)
        if len(found) < n and doubtful:
            found += sorted(doubtful, key=distance)
        return found[:n]

    def nearer(self, key: int, than: int, now: float) -> int:
        """How many live contacts are nearer to `key` than `than` is, counting one a network group.

        Live: heard from within `spec.LIVE_WITHIN`, and did not fail last time. Counting stops at `spec.ACCEPTORS`, beyond
        which more do not matter: a record is refused by a peer that knows as many who are nearer.
        """
        live = self._live
        limit = key ^ than
        groups: set[str] = set()
        count = 0
        for start, end in self._spans(key):
            nearer = [position for position in range(start, end) if live.contacts[position].uid ^ key < limit]  # type: ignore[operator]
            if not nearer:
                break  # the other buckets are farther away than this one
            for position in nearer:
                if live.failures[position] or now - live.seen[position] > spec.LIVE_WITHIN:
                    continue
                group = self._group(live.contacts[position].ip)
                if group is None:
                    count += 1
                elif group not in groups:
                    groups.add(group)
                    count += 1
                if count == spec.ACCEPTORS:
                    return count
        return count

    def _spans(self, target: int) -> Iterator[tuple[int, int]]:
        """The buckets that hold anything, as spans of positions, nearest to `target` first.

        All of one bucket is nearer than all of the next. Let d be the distance from our uid to the target. The contacts
        of bucket i first differ from us at bit i: where d has that bit set they lie on the target's side, nearer than
        we do, and the higher the bit the nearer; where it is clear they lie on the far side, the higher the farther.
        """
        ends = self._live.ends
        depth = len(ends)
        near = (self.own ^ target) >> (BITS - depth)  # one bit a bucket, bucket 0 the highest
        far = near ^ ((1 << depth) - 1)
        while near:
            bit = near.bit_length()
            near ^= 1 << (bit - 1)
            bucket = depth - bit
            start = ends[bucket - 1] if bucket else 0
            if start != ends[bucket]:
                yield start, ends[bucket]
        while far:
            bit = (far & -far).bit_length()
            far ^= 1 << (bit - 1)
            bucket = depth - bit
            start = ends[bucket - 1] if bucket else 0
            if start != ends[bucket]:
                yield start, ends[bucket]

    # --- refreshing -----------------------------------------------------------------------------------------------------

    def looked_up(self, target: int, now: float) -> None:
        """Notes that a lookup for `target` ran: its bucket needs no refresh for `spec.REFRESH`.

        A target deeper than our nearest contact, our own uid above all, counts for the bucket of that contact.
        """
        bucket = min(common_prefix_length(self.own, target), max(self._live.depth - 1, 0))
        while len(self._looked_up) <= bucket:
            self._looked_up.append(float("-inf"))
        self._looked_up[bucket] = now

    def due(self, now: float) -> list[int]:
        """The buckets into which no lookup went within `spec.REFRESH`, down to that of our nearest contact.

        Deeper ones cover a part of the space in which there is nobody but us.
        """
        times = self._looked_up
        return [i for i in range(self._live.depth) if i >= len(times) or now - times[i] >= spec.REFRESH]

    def far_buckets(self, near: int = 1) -> list[int]:
        """The buckets down to that of our `near` nearest, that one only if it holds others too: a join fills them (section 2.3)."""
        others = len(self._live.contacts) - near
        if others < 0:
            return []
        bucket = bisect_right(self._live.ends, others)
        return list(range(bucket + (self._live.span(bucket)[0] < others)))

    def uids(self, bucket: int, *, nearer: bool = False) -> list[int]:
        """Whom `bucket` holds, at most k; with `nearer`, whom all do from it on."""
        start, end = self._live.span(bucket)
        return self._live.uids[start : None if nearer else end]

    def farther(self, bucket: int) -> list[Contact]:
        """The contacts that are farther away than `bucket`."""
        return self._live.contacts[: self._live.span(bucket)[0]]

    def beyond(self, bucket: int) -> int:
        """How many contacts are nearer than those in `bucket`."""
        return len(self._live.contacts) - self._live.span(bucket)[1]

    def room(self, bucket: int, *, nearer: bool = False) -> int:
        """How many more contacts `bucket` would take at once; with `nearer`, how many fewer than k all from it on hold (below 0: more)."""
        start, end = self._live.span(bucket)
        return self.k - ((len(self._live.contacts) if nearer else end) - start)

    def bounds(self, bucket: int, *, nearer: bool = False) -> tuple[int, int]:
        """The smallest and the largest uid that share exactly the first `bucket` bits with our own (or, with `nearer`, more)."""
        free = BITS - bucket if nearer else BITS - 1 - bucket
        first = (self.own >> free if nearer else (self.own >> free) ^ 1) << free
        return first, first + (1 << free) - 1

    def random_in(self, bucket: int, rng: Random) -> int:
        """A uniformly drawn uid that shares exactly the first `bucket` bits with our own."""
        free = BITS - 1 - bucket
        return self.own ^ (1 << free) ^ rng.getrandbits(free) if free else self.own ^ 1

    # --- showing --------------------------------------------------------------------------------------------------------

    def rows(self, now: float) -> list[dict[str, Any]]:
        """One dict a contact, those in the caches too: what a DataFrame of the table is made of.

        `bucket` (common prefix length), `uid` (int), `ip`, `port`, `age_s` since it was heard from, `failures` in a row,
        `dialled`, `cached`, `rtt_ms` (smoothed; NaN until measured).
        """
        return [*self._rows(self._live, now, cached=False), *self._rows(self._cache, now, cached=True)]

    def _rows(self, buckets: Buckets, now: float, *, cached: bool) -> Iterator[dict[str, Any]]:
        for bucket in range(buckets.depth):
            for position in range(*buckets.span(bucket)):
                contact = buckets.contacts[position]
                yield {
                    "bucket": bucket,
                    "uid": contact.uid,
                    "ip": contact.ip,
                    "port": contact.port,
                    "age_s": now - buckets.seen[position],
                    "failures": buckets.failures[position],
                    "dialled": bool(buckets.dialled[position]),
                    "cached": cached,
                    "rtt_ms": buckets.rtts[position] * 1000.0,
                }
