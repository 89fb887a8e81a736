"""What a store keeps, as plain data that can leave the process and come back: a value, a vote, an entry of a namespace.

A store in memory never needs these. One that writes to a disk asks for them after each request that changed something,
and gives them back after a restart, when no request could say the same: votes come with their publishers, and every
record with the moment it was set, so that a restart neither prolongs nor shortens a life.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pnb.wire.messages import Version


class KeptValue(NamedTuple):
    """A value under its SHA-256. `publisher` (a uid): who set it; None after a hand-over."""

    key: int
    value: bytes
    publisher: int | None
    since: float


class KeptVote(NamedTuple):
    """That `publisher` (None: a hand-over) lists `value` in the bag of `key`."""

    key: int
    value: bytes
    publisher: int | None
    since: float


class KeptEntry(NamedTuple):
    """An entry of a namespace with its versions, ascending; `since` is when the entry was set or renewed."""

    public_key: bytes
    key: int
    versions: tuple[Version, ...]
    since: float


Kept = KeptValue | KeptVote | KeptEntry
