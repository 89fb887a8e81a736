"""The newest requests of a cluster, kept as columns.

Fifty thousand are kept, and each was an object with eleven more that only it knew: 200 bytes, which the collector looked at again and
again. In columns it is 72, and becomes an `Event` only when somebody looks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from p2pnb.peer.report import Event

FRESH = 256  # events that are made columns of at a time, which costs a fifth of doing so with each
SLACK = 8  # old ones go when there are an eighth too many: all columns are moved then


class Events:
    """At most `most` events, oldest first. `count`: how many there ever were."""

    __slots__ = (
        "_causes", "_fresh", "_in", "_most", "_nodes", "_out", "_outcomes", "_peers", "_rtts", "_times", "_verbs", "_words", "count",
    )  # fmt: skip

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self.clear()

    def clear(self) -> None:
        self._fresh: list[Event] = []  # the newest, until there are enough of them to fill columns with
        self._times = array("d")
        self._nodes: list[int] = []
        self._peers: list[int | None] = []
        self._verbs: list[str] = []
        self._outcomes: list[str] = []
        self._out = array("i")
        self._in = array("i")
        self._rtts = array("d")  # NaN: none
        self._causes: list[str] = []
        self._words: list[list[Any] | None] = []

    def append(self, event: Event) -> None:
        """Keeps what `event` says."""
        self.count += 1
        self._fresh.append(event)
        if len(self._fresh) == FRESH:
            self._settle()

    def _settle(self) -> None:
        """Makes columns of what is fresh, and lets the oldest go."""
        if not self._fresh:
            return
        times, nodes, peers, verbs, outcomes, bytes_out, bytes_in, rtts, causes, words = zip(*self._fresh, strict=True)
        self._fresh.clear()
        self._times.extend(times)
        self._nodes += nodes
        self._peers += peers
        self._verbs += verbs
        self._outcomes += outcomes
        self._out.extend(bytes_out)
        self._in.extend(bytes_in)
        self._rtts.extend([_NONE if rtt is None else rtt for rtt in rtts])
        self._causes += causes
        self._words += words
        if len(self._times) > self._most + self._most // SLACK:
            columns: tuple[Any, ...] = (
                self._times, self._nodes, self._peers, self._verbs, self._outcomes,
                self._out, self._in, self._rtts, self._causes, self._words,
            )  # fmt: skip
            for column in columns:
                del column[: -self._most]

    def __len__(self) -> int:
        return min(len(self._times) + len(self._fresh), self._most)

    def __iter__(self) -> Iterator[Event]:
        return self.newest(len(self))

    def newest(self, n: int) -> Iterator[Event]:
        """The last `n`, oldest first; fewer where there are fewer."""
        self._settle()
        end = len(self._times)
        return map(self._at, range(end - min(n, len(self)), end))

    def _at(self, i: int) -> Event:
        rtt = self._rtts[i]
        return Event(
            self._times[i], self._nodes[i], self._peers[i], self._verbs[i], self._outcomes[i], self._out[i], self._in[i],
            None if rtt != rtt else rtt, self._causes[i], self._words[i],  # noqa: PLR0124 (NaN)
        )  # fmt: skip


_NONE = float("nan")
