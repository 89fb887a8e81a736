"""What the nodes of a cluster asked each other: a log of every request, and windows on it.

A node logs a request when it is over, with the call that caused it, so one log serves `cluster.events()`,
`cluster.traffic()`, `cluster.watch()` and `node.last`. The log keeps the newest `KEPT` requests.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from p2pnb.brief import brief
from p2pnb.cluster.events import Events
from p2pnb.peer.report import Event, Report
from p2pnb.views import cards, frames, pictures
from p2pnb.views.frames import Frame
from p2pnb.wire.messages import to_datum
from p2pnb.wire.sexp_outline import outline
from p2pnb.words import counted

if TYPE_CHECKING:
    from p2pnb.views.widgets.sight import Messages

KEPT = 50_000
KEPT_IN_WORDS = 2_000  # of those, requests whose text is kept
HASHED = 500  # requests that are hashed at a time
SHOWN = 20  # requests that a watch lists when a cell ends with it


class EventLog:
    """The requests of all nodes, oldest first. Written and read on the cluster's thread.

    With `hashed`, all that there ever were go into one hash too, by which two runs in simulated time can be told apart.
    """

    def __init__(self, position_of: Callable[[int | None], int | None], hashed: bool = False) -> None:
        self.events = Events(KEPT)
        self.words: set[str] = set()  # causes whose messages are kept in words
        self.began = 0.0
        self._in_words: deque[list[Any]] = deque()
        self._position_of = position_of
        self._hash = hashlib.sha256() if hashed else None
        self._unhashed: list[Event] = []

    def append(self, event: Event) -> None:
        """Notes a request; of those in words the oldest lose theirs, so that a forgotten watch fills no memory."""
        self.events.append(event)
        if event.words is not None:
            self._in_words.append(event.words)
            if len(self._in_words) > KEPT_IN_WORDS:
                self._in_words.popleft().clear()
        if self._hash is not None:
            self._unhashed.append(event)
            if len(self._unhashed) >= HASHED:
                self.digest()

    def digest(self) -> str:
        """The hash of all requests until now: when, who, whom, what, the outcome, the bytes each way and the time it took."""
        if self._hash is None:
            raise brief(ValueError('only a cluster on network="virtual" does the same every time'))
        begun, named = self.began, self._position_of
        lines = [
            f"{time - begun!r} {named(node)} {peer if named(peer) is None else named(peer)} {verb} {outcome} {out} {back} {rtt!r}"
            for time, node, peer, verb, outcome, out, back, rtt, *_ in self._unhashed
        ]
        self._unhashed.clear()
        self._hash.update("".join(f"{line}\n" for line in lines).encode())
        return self._hash.hexdigest()

    def since(self, count: int) -> list[dict[str, Any]]:
        """The requests that were logged after the first `count`."""
        return [self._row(event) for event in self.events.newest(self.events.count - count)]

    @property
    def count(self) -> int:
        """How many were logged, ever."""
        return self.events.count

    def rows(self, causes: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Plain rows, of these causes or of all; times in seconds since the launch."""
        wanted = None if causes is None else frozenset(causes)
        return [self._row(event) for event in self.events if wanted is None or event.cause in wanted]

    def _row(self, event: Event) -> dict[str, Any]:
        row = event._asdict()
        row["time"] = event.time - self.began
        row["node"] = self._position_of(event.node)
        row["peer"] = self._position_of(event.peer)
        if event.words is not None:
            event.words[:] = [each if isinstance(each, str) else outline(to_datum(each)) for each in event.words]
        return row


class Watch:
    """`with cluster.watch() as watch:` — the messages that calls made inside the block caused, and no others.

    `watch.events()` and `watch.traffic()` are DataFrames; `len(watch)` counts the requests. They fill while calls run.
    `words` is the log's set of causes to keep the messages of, in words, until the block ends; None to keep none. `show` makes
    the widget of `sequence`.

    Example: `with cluster.watch() as watch: await cluster[3].ref(key)`.
    """

    def __init__(
        self,
        read: Callable[[frozenset[str]], list[dict[str, Any]]],
        watches: set[Watch],
        words: set[str] | None = None,
        show: Callable[[Watch, int], Messages] | None = None,
    ) -> None:
        self.causes: set[str] = set()
        self._read = read
        self._watches = watches
        self._words = words
        self._show = show

    def __enter__(self) -> Watch:
        self._watches.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watches.discard(self)
        if self._words is not None:
            others = [each.causes for each in self._watches if each._words is not None]
            self._words -= self.causes.difference(*others)

    def _note(self, cause: str) -> None:
        self.causes.add(cause)
        if self._words is not None:
            self._words.add(cause)

    def rows(self) -> list[dict[str, Any]]:
        """The requests as plain rows, with `words`: what was said and what was heard. Example: `watch.rows()[0]["words"]`."""
        return self._read(frozenset(self.causes))

    def events(self) -> Frame:
        """One row a request, in the order in which they ended.

        Example: `watch.events()`.
        """
        return frames.events(self.rows())

    def traffic(self) -> Frame:
        """One row a verb: how many, how large, how fast.

        Example: `watch.traffic()`.
        """
        return frames.traffic(self.rows())

    def sequence(self, most: int = 40) -> Messages:
        """The messages as a sequence diagram, live while calls run: lanes are nodes, time runs down, point at an arrow to read it.

        The first `most` requests are drawn. Raises `RuntimeError` where there is no cluster. Example: `watch.sequence()`.
        """
        if self._show is None:
            raise brief(RuntimeError("this watch was not made by a cluster: with cluster.watch() as watch: …"))
        return self._show(self, most)

    def __len__(self) -> int:
        return len(self.rows())

    def __repr__(self) -> str:
        rows = self.rows()
        parts = ", ".join(f"{count} {verb}" for verb, count in _verbs(rows).items())
        return f"<watch: {counted(len(rows), 'request')}{': ' + parts if parts else ''}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        rows = self.rows()
        failed = sum(row["rtt"] is None for row in rows)
        summary = {"verbs": _verbs(rows), "calls": len(self.causes), "failed": failed or None, "listed": SHOWN, **_bytes(rows)}
        drawn = pictures.sequence(rows, most=SHOWN) if rows else ""
        card, frame = cards.watch_card(summary, drawn), frames.events(rows).head(SHOWN)
        return cards.mimebundle(card.html + (frame._repr_html_() or ""), f"{card.text}\n{frame!r}")


def _verbs(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many requests there are of each verb, the most frequent one first."""
    return dict(Counter(row["verb"] for row in rows).most_common())


def _bytes(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("bytes_out", "bytes_in")}


class Last:
    """What the last call of a node did: `report` says how it ended, `events()` has the messages it caused.

    Example: `node.last`.
    """

    def __init__(self, node: int, report: Report, rows: list[dict[str, Any]]) -> None:
        self.node = node
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
        """The requests that the call made, a row each, in the order of asking. Example: `node.last.events()`."""
        return frames.events(self._rows)

    def __repr__(self) -> str:
        return f"<last call: {self.report or 'none yet'}; {counted(len(self._rows), 'request')}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        report, rows = self.report, self._rows
        ended = [row["time"] + (row["rtt"] or 0.0) for row in rows]
        summary = {
            "procedure": report.procedure or "nothing asked yet",
            "node": self.node,
            "stored": report.stored,
            "refused": report.refused or None,
            "failed": report.failed or None,
            "spare": report.spare or None,
            "wanted": report.wanted,
            "reason": report.reason,
            "requests": len(rows),
            "duration_s": max(ended) - min(row["time"] for row in rows) if rows else None,
            **_bytes(rows),
            "facts": report.facts,
        }
        return cards.mimebundle(*cards.call_card(summary))
