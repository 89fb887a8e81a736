"""What the nodes of a cluster asked each other: a log of every request, and windows on it.

A node logs a request when it is over, with the call that caused it, so one log serves `cluster.events()`,
`cluster.traffic()`, `cluster.watch()` and `node.last`. The log keeps the newest `KEPT` requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from p2pnb.cluster.call import Call
from p2pnb.peer.report import Event, Report
from p2pnb.views import cards, frames
from p2pnb.views.frames import Frame

KEPT = 50_000


class EventLog:
    """The requests of all nodes, oldest first. Written and read on the cluster's thread."""

    def __init__(self, position_of: Callable[[int | None], int | None]) -> None:
        self.events: deque[Event] = deque(maxlen=KEPT)
        self.began = 0.0
        self._position_of = position_of

    def rows(self, causes: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Plain rows, of these causes or of all; times in seconds since the launch."""
        wanted = None if causes is None else frozenset(causes)
        return [self._row(event) for event in self.events if wanted is None or event.cause in wanted]

    def _row(self, event: Event) -> dict[str, Any]:
        row = event._asdict()
        row["time"] = event.time - self.began
        row["node"] = self._position_of(event.node)
        row["peer"] = self._position_of(event.peer)
        return row


class Watch:
    """`with cluster.watch() as watch:` — the messages that calls made inside the block caused, and no others.

    `watch.events()` and `watch.traffic()` are DataFrames; `len(watch)` counts the requests. They fill while calls run.
    """

    def __init__(self, read: Callable[[frozenset[str]], list[dict[str, Any]]], watches: set[Watch]) -> None:
        self.causes: set[str] = set()
        self._read = read
        self._watches = watches

    def __enter__(self) -> Watch:
        self._watches.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watches.discard(self)

    def note(self, call: Call[Any]) -> None:
        self.causes.add(call.cause)

    def rows(self) -> list[dict[str, Any]]:
        return self._read(frozenset(self.causes))

    def events(self) -> Frame:
        """One row a request, in the order in which they ended."""
        return frames.events(self.rows())

    def traffic(self) -> Frame:
        """One row a verb: how many, how large, how fast."""
        return frames.traffic(self.rows())

    def __len__(self) -> int:
        return len(self.rows())

    def __repr__(self) -> str:
        rows = self.rows()
        verbs: dict[str, int] = {}
        for row in rows:
            verbs[row["verb"]] = verbs.get(row["verb"], 0) + 1
        parts = ", ".join(f"{count} {verb}" for verb, count in sorted(verbs.items(), key=lambda each: -each[1]))
        return f"<watch: {len(rows)} requests{': ' + parts if parts else ''}>"


class Last:
    """What the last call of a node did: `report` says how it ended, `events()` has the messages it caused."""

    def __init__(self, report: Report, rows: list[dict[str, Any]]) -> None:
        self.report = report
        self._rows = rows

    @property
    def stored(self) -> int:
        """How many replicas took the record."""
        return self.report.stored

    @property
    def reason(self) -> str:
        """Why it did not work; empty when it did."""
        return self.report.reason

    def events(self) -> Frame:
        return frames.events(self._rows)

    def __repr__(self) -> str:
        return f"<last call: {self.report or 'none yet'}; {len(self._rows)} requests>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        report = self.report
        summary = {
            "procedure": report.procedure or "nothing asked yet",
            "stored": report.stored,
            "refused": report.refused or None,
            "failed": report.failed or None,
            "wanted": report.wanted,
            "reason": report.reason,
            "requests": len(self._rows),
            "facts": report.facts,
        }
        return cards.mimebundle(*cards.call_card(summary))
