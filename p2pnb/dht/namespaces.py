"""The namespaces' entries that a node keeps: signed values, newest version first in rank (the draft: TODO).

An entry belongs to a public key and a key, and lives at SHA-256(public key ‖ key). Its versions have a total order: by
sequence number, then by value, then by signature; the greatest is the newest, whatever order versions arrive in. Every
version was verified before it came in, and four are kept, so that a reader who pinned a signature finds it for a while.

- A `namespace-set` without age comes from the author (or from a reader who writes back). A sequence number below the
  newest is refused; the newest again, or an equal one, renews the entry.
- With an age it is a hand-over. Versions come in ascending order and each takes its place; an older one than the newest
  just completes the history and changes nothing else. So replaying old versions never moves an entry back.
- An entry expires as one, 24 hours after its newest version was set or renewed; a hand-over never prolongs what is here.
  An older version never outlives a newer one, and what has expired is forgotten wholly: its author may start again.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from p2pnb import spec
from p2pnb.dht.expiry import Expiries, age_at, since
from p2pnb.dht.kept import KeptEntry
from p2pnb.dht.quota import Quota
from p2pnb.dht.signature import version_holds
from p2pnb.uid import BYTES
from p2pnb.wire.messages import NamespaceSet, Version

ENTRY_OVERHEAD = 600  # bytes of bookkeeping (measured)
KEPT_REFUSALS = 64  # of all entries, the latest
VERSION_BYTES = 300  # value, signature and sequence number, with their objects


def point_of(public_key: bytes, key: int) -> int:
    """Where the entry lives in the 256-bit space: SHA-256(public key ‖ key in 32 bytes)."""
    return int.from_bytes(hashlib.sha256(public_key + key.to_bytes(BYTES, "big")).digest(), "big")


class Refused(NamedTuple):
    """A version that was not taken, and why, for those who want to see it; `moment` on the clock."""

    public_key: bytes
    key: int
    version: Version
    reason: str
    moment: float


class _Entry:
    __slots__ = ("gone", "key", "point", "public_key", "since", "versions")

    def __init__(self, point: int, public_key: bytes, key: int, moment: float) -> None:
        self.point = point
        self.public_key = public_key
        self.key = key
        self.since = moment
        self.versions: list[Version] = []  # ascending
        self.gone = False

    @property
    def size(self) -> int:
        return ENTRY_OVERHEAD + VERSION_BYTES * len(self.versions)


class NamespaceStore:
    """Entries by their point. `network` is the network's name, which every signature covers."""

    def __init__(self, quota: Quota, network: str = "") -> None:
        self._quota = quota
        self._network = network
        self._entries: dict[int, _Entry] = {}
        self._of_author: dict[bytes, int] = {}  # entries a public key has here
        self._expiries: Expiries[_Entry] = Expiries()
        self._refused: deque[Refused] = deque(maxlen=KEPT_REFUSALS)

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self,
        public_key: bytes,
        key: int,
        version: Version,
        now: float,
        *,
        age: int | None = None,
        publisher: int | None = None,
        group: str | None = None,
    ) -> bool:
        """Keeps `version`; False when its signature is wrong, it is too old (see above), or over a quota."""
        self.expire(now)
        moment = since(now, age)
        if moment is None:
            return False
        entry = self._entries.get(point_of(public_key, key))
        if entry is not None:
            if age is None and version.sequence < entry.versions[-1].sequence:
                self._refused.append(Refused(public_key, key, version, "older than what is here", now))
                return False
            if version in entry.versions:  # verified when it came
                if age is None:
                    entry.since = now
                return True
            if len(entry.versions) == spec.VERSIONS_KEPT and _rank(version) < _rank(entry.versions[0]):
                return False
        if not version_holds(self._network, public_key, key, version):
            self._refused.append(Refused(public_key, key, version, "its signature does not hold", now))
            return False
        if not self._has_room(entry, public_key, now, publisher, group):
            return False
        if entry is None:
            self._create(public_key, key, moment).versions.append(version)
            return True
        if age is None or _rank(version) > _rank(entry.versions[-1]):
            entry.since = max(entry.since, moment)
        insort(entry.versions, version, key=_rank)
        if len(entry.versions) > spec.VERSIONS_KEPT:
            del entry.versions[0]
            self._quota.give_back(VERSION_BYTES)
        return True

    def get(self, public_key: bytes, key: int, now: float, signature: bytes | None = None) -> Version | None:
        """The newest version, or the one with this signature, with the entry's age; None when it is not here."""
        self.expire(now)
        entry = self._entries.get(point_of(public_key, key))
        if entry is None:
            return None
        found = next((each for each in reversed(entry.versions) if signature is None or each.signature == signature), None)
        return None if found is None else found.aged(age_at(now, entry.since))

    def kept(self, point: int) -> KeptEntry | None:
        """The entry as it is, for a disk."""
        entry = self._entries.get(point)
        return None if entry is None else KeptEntry(entry.public_key, entry.key, tuple(entry.versions), entry.since)

    def restore(self, kept: KeptEntry, now: float) -> bool:
        """Takes back an entry that was kept before a restart; its signatures were verified when it came.

        False when its 24 hours are over, or the author's keys or the store are too many.
        """
        moment, versions = min(kept.since, now), sorted(kept.versions, key=_rank)[-spec.VERSIONS_KEPT :]
        if moment + spec.EXPIRY <= now or not versions or point_of(kept.public_key, kept.key) in self._entries:
            return False
        if self._of_author.get(kept.public_key, 0) >= spec.NAMESPACE_KEYS_A_PUBLIC_KEY:
            return False
        if not self._quota.restore(ENTRY_OVERHEAD + VERSION_BYTES * len(versions), moment, now, None):
            return False
        self._create(kept.public_key, kept.key, moment).versions.extend(versions)
        return True

    def drop(self, point: int) -> None:
        """Forgets the entry at `point`, if it is here."""
        entry = self._entries.get(point)
        if entry is not None:
            self._expiries.discard(entry)
            self._forget(entry)

    def expire(self, now: float) -> int:
        """Forgets the entries that nobody renewed for 24 hours; how many that were."""
        before = len(self._entries)
        for entry in self._expiries.due(now):
            self._forget(entry)
        return before - len(self._entries)

    def keys(self) -> Iterable[int]:
        """The points at which there are entries."""
        return self._entries.keys()

    def requests(self, point: int, now: float) -> list[NamespaceSet]:
        """What hands the entry over: one `namespace-set` a version, ascending, each with the entry's age."""
        self.expire(now)
        entry = self._entries.get(point)
        age = None if entry is None else age_at(now, entry.since)
        if entry is None or age is None:
            return []
        return [NamespaceSet.of(entry.public_key, entry.key, each, age) for each in entry.versions]

    def rows(self, now: float) -> list[dict[str, Any]]:
        """One dict a version, oldest first: public_key, key, sequence, value, signature, age_s (since the entry was renewed)."""
        self.expire(now)
        return [
            {
                "public_key": entry.public_key,
                "key": entry.key,
                "sequence": each.sequence,
                "value": each.value,
                "signature": each.signature,
                "age_s": now - entry.since,
            }
            for entry in self._entries.values()
            for each in entry.versions
        ]

    def refused(self, public_key: bytes, key: int, now: float) -> list[dict[str, Any]]:
        """One dict a version of this entry that was refused lately: sequence, value, signature, reason, age_s; oldest first."""
        return [
            {
                "sequence": each.version.sequence,
                "value": each.version.value,
                "signature": each.version.signature,
                "reason": each.reason,
                "age_s": now - each.moment,
            }
            for each in self._refused
            if (each.public_key, each.key) == (public_key, key)
        ]

    def _has_room(self, entry: _Entry | None, public_key: bytes, now: float, publisher: int | None, group: str | None) -> bool:
        if entry is None:
            if self._of_author.get(public_key, 0) >= spec.NAMESPACE_KEYS_A_PUBLIC_KEY:
                return False
            return self._quota.take(ENTRY_OVERHEAD + VERSION_BYTES, now, publisher, group)
        leaving = VERSION_BYTES if len(entry.versions) == spec.VERSIONS_KEPT else 0
        return self._quota.take(VERSION_BYTES, now, publisher, group, leaving=leaving)

    def _create(self, public_key: bytes, key: int, moment: float) -> _Entry:
        entry = _Entry(point_of(public_key, key), public_key, key, moment)
        self._entries[entry.point] = entry
        self._of_author[public_key] = self._of_author.get(public_key, 0) + 1
        self._expiries.add(entry)
        return entry

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.point]
        left = self._of_author.pop(entry.public_key) - 1
        if left:
            self._of_author[entry.public_key] = left
        self._quota.give_back(entry.size)


def _rank(version: Version) -> tuple[int, bytes, bytes]:
    """The order of versions: the greatest is the newest."""
    return version.sequence, version.value, version.signature
