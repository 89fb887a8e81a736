"""The values that a node keeps, each under its SHA-256 (the draft: "it must store the VALUE bytevector").

A `set` without age comes from a publisher and gives the value a new 24 hours. With an age it is a hand-over between
replicas: a copy taken so lives only for what is left of its 24 hours, and a copy that is there already stays as it is, so
that replicas that hand a value to each other never keep it alive without its publisher. The store trusts that the key it is
given is the hash; the responder has just computed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from p2pnb import spec
from p2pnb.dht.expiry import Expiries, age_at, since
from p2pnb.dht.kept import KeptValue
from p2pnb.dht.quota import Quota
from p2pnb.wire.messages import Set, Value

OVERHEAD = 450  # bytes of bookkeeping a value: record, key, index and heap entry (measured)


class _Record:
    __slots__ = ("gone", "key", "publisher", "since", "value")

    def __init__(self, key: int, value: bytes, moment: float, publisher: int | None) -> None:
        self.key = key
        self.value = value
        self.since = moment
        self.publisher = publisher
        self.gone = False

    @property
    def size(self) -> int:
        return len(self.value) + OVERHEAD


class ValueStore:
    """Values by key. `now` in seconds, on a clock that never runs backwards."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._records: dict[int, _Record] = {}
        self._expiries: Expiries[_Record] = Expiries()

    def __len__(self) -> int:
        return len(self._records)

    def put(
        self, key: int, value: bytes, now: float, *, age: int | None = None, publisher: int | None = None, group: str | None = None
    ) -> bool:
        """Keeps `value`; False when it is over quota, or as old as 24 hours already.

        `publisher` is the uid that sent it and `group` its network group, as `Quota.take` has them.
        """
        self.expire(now)
        moment = since(now, age)
        if moment is None:
            return False
        record = self._records.get(key)
        if record is None:
            record = _Record(key, value, moment, publisher if age is None else None)
            if not self._quota.take(record.size, now, publisher, group):
                return False
            self._records[key] = record
            self._expiries.add(record)
        elif age is None:
            record.since = now
            record.publisher = publisher
        return True

    def get(self, key: int, now: float) -> Value | None:
        """The value with its age; without one where the value is so large that a message has no room for it."""
        self.expire(now)
        record = self._records.get(key)
        if record is None:
            return None
        return Value(record.value, age_at(now, record.since) if len(record.value) < spec.MAX_VALUE else None)

    def kept(self, key: int) -> KeptValue | None:
        """The record as it is, for a disk."""
        record = self._records.get(key)
        return None if record is None else KeptValue(key, record.value, record.publisher, record.since)

    def restore(self, kept: KeptValue, now: float) -> bool:
        """Takes back what was kept before a restart; False when its 24 hours are over, or there is no room."""
        record = _Record(kept.key, kept.value, min(kept.since, now), kept.publisher)
        if record.since + spec.EXPIRY <= now or kept.key in self._records:
            return False
        if not self._quota.restore(record.size, record.since, now, record.publisher):
            return False
        self._records[kept.key] = record
        self._expiries.add(record)
        return True

    def drop(self, key: int) -> None:
        """Forgets the value, if it is here."""
        record = self._records.get(key)
        if record is not None:
            self._expiries.discard(record)
            self._forget(record)

    def expire(self, now: float) -> int:
        """Forgets what is 24 hours old; how many values that were."""
        before = len(self._records)
        for record in self._expiries.due(now):
            self._forget(record)
        return before - len(self._records)

    def keys(self) -> Iterable[int]:
        return self._records.keys()

    def requests(self, key: int, now: float) -> list[Set]:
        """What hands this value over to another peer: one `set` with its age, or nothing."""
        self.expire(now)
        record = self._records.get(key)
        age = None if record is None else age_at(now, record.since)
        return [] if record is None or age is None else [Set(record.value, age)]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """One dict a value: key, size (bytes), age_s, expires_s, publisher (a uid; None after a hand-over)."""
        self.expire(now)
        return [
            {
                "key": record.key,
                "size": len(record.value),
                "age_s": now - record.since,
                "expires_s": record.since + spec.EXPIRY - now,
                "publisher": record.publisher,
            }
            for record in self._records.values()
        ]

    def _forget(self, record: _Record) -> None:
        del self._records[record.key]
        self._quota.give_back(record.size)
