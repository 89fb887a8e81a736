"""Live pictures: what the pure functions of `views.pictures` draw, sent whole, with tabs, a player, or a table beside them.

A picture of some dozen nodes has 10 to 60 kB, so drawing it here and sending it costs less than a second way to draw it in
the browser would, and what is live looks exactly as the still that stays. `sight.js` shows what the state has of:

- `svg`, `status` (beside the title), `words` (a line below);
- `tabs`, a list of [id, label, title], and `tab`: chosen ones come back as `{"tab": id}`;
- `table`: `head`, `rows` of cells, and `kinds`, a class for each row;
- `steps`: `at` of `of` recorded ones is shown, `more` can be made, `words` say what happened: the player sends `{"at": number}`;
- `run`: a picture whose x axis is time, uncovered by the browser alone: see `run`.

This file has the views that read and record: messages, a bag, the replicas near a key, an entry. Each `state` is a pure function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from p2pnb.dht import merge
from p2pnb.uid import Key, short
from p2pnb.views import pictures
from p2pnb.views.pictures.sequence import MOST_REQUESTS
from p2pnb.views.widgets.base import Live, News, Stage, script
from p2pnb.wire.messages import Bag
from p2pnb.words import counted, shortened

Row = Mapping[str, Any]

MOST_MOMENTS = 200
MOST_VALUES = 20  # of a bag that are drawn


class Sight(Live):
    """A live picture. `look` gives a state with an `svg`, which is also what stays when it is closed."""

    _esm = script("sight")

    def picture(self) -> str:
        drawn: str = self.look()["svg"]
        return drawn


# --- messages ---------------------------------------------------------------------------------------------------------


def sequence_state(rows: Sequence[Row], uids: Mapping[int, int], most: int = MOST_REQUESTS) -> dict[str, Any]:
    """The messages of `rows` (those of `frames.events`, with `words`) as a diagram."""
    failed = sum(row["rtt"] is None for row in rows)
    status = counted(len(rows), "request") + (f", {failed} without a reply" if failed else "")
    words = "Point at an arrow to read its message, or press ↓." if rows else ""
    return {"svg": pictures.sequence(rows, uids=uids, most=most), "status": status, "words": words}


class Messages(Sight):
    """`watch.sequence()`: the messages of the watched calls, live."""

    def __init__(
        self,
        read: Callable[[], tuple[Sequence[Row], Mapping[int, int]]],
        changed: Callable[[], Hashable],
        most: int,
        stage: Stage | None,
    ) -> None:
        """`read` gives the rows and the uid of each position, `changed` something that is another one after each request."""
        self._read, self._changed, self._most = read, changed, most
        super().__init__("Messages", stage)

    def look(self) -> dict[str, Any]:
        return sequence_state(*self._read(), self._most)

    def version(self) -> Hashable:
        return self._changed()


# --- a bag ------------------------------------------------------------------------------------------------------------

Answers = dict[str, list[Bag]]  # what each replica would answer to bag-popular and to bag-recent
TABS = [
    ["popular", "popular", "most publishers first"],
    ["recent", "recent", "newest vote first"],
    ["sample", "sample", "drawn at random: press it again for another draw"],
]


def bag_state(answers: Answers, tab: str, draw: int = 0) -> dict[str, Any]:
    """A bag as a reader who asks the same replicas would see it; `draw` numbers the samples."""
    if tab == "sample":
        merged = merge.sample(answers["popular"], random.Random(draw))
    else:
        merged = (merge.recent if tab == "recent" else merge.popular)(answers[tab])
    rows = [asdict(each) for each in merged]
    agreed = sum(row["listed_by"] == row["of"] for row in rows)
    status = f"{counted(len(rows), 'value')} at {counted(len(answers['popular']), 'replica')}"
    more = f", the first {MOST_VALUES} are drawn" if len(rows) > MOST_VALUES else ""
    words = f"All replicas agree on {agreed} of {len(rows)}{more}. A hollow bar is listed by too few to be believed." if rows else ""
    return {"svg": pictures.bag(rows[:MOST_VALUES]), "status": status, "tabs": TABS, "tab": tab, "words": words}


class BagView(Sight):
    """`cluster.bag_view(key)`: a bar for each value, a square for each publisher, and which replicas list it."""

    def __init__(self, key: Key, read: Callable[[], Answers], stage: Stage) -> None:
        self._read = read
        self._tab, self._draw = "popular", 0
        super().__init__(f"Bag {short(key)}", stage)

    def look(self) -> dict[str, Any]:
        return bag_state(self._read(), self._tab, self._draw)

    def version(self) -> Hashable:
        return tuple(tuple((each.value, each.publishers) for each in answer.entries) for answer in self._read()["popular"])

    def heard(self, news: News) -> None:
        if news.get("tab") not in {tab for tab, _, _ in TABS}:
            super().heard(news)
        self._draw += news["tab"] == self._tab == "sample"
        self._tab = str(news["tab"])


# --- the replicas near a key ------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """How things stood at a key: `had` are the dead that had the record when they died, `said` is what had just happened."""

    time_s: float
    nodes: frozenset[int]  # those that there were, dead ones too
    alive: frozenset[int]
    holders: frozenset[int]
    had: frozenset[int]
    said: str


class History:
    """The moments at which something changed near a key, oldest first; the newest 200."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def note(self, time_s: float, nodes: Collection[int], alive: Collection[int], holders: Collection[int]) -> bool:
        """Records how things stand; returns whether that is another than before."""
        there, living, having = frozenset(nodes), frozenset(alive), frozenset(holders)
        if not self.moments:
            self.moments.append(Moment(time_s, there, living, having, frozenset(), "as it was found"))
            return True
        before = self.moments[-1]
        if (living, having) == (before.alive, before.holders):
            return False
        died, came = before.alive - living, living - before.alive
        had = (before.had | (before.holders & died)) - living
        events = [
            ("died", died), ("came back" if came & before.had else "came", came), ("took it", having - before.holders),
            ("gave it up", before.holders - having - died),
        ]  # fmt: skip
        said = "; ".join(f"{_named(who)} {what}" for what, who in events if who)
        self.moments.append(Moment(time_s, there, living, having, had, said))
        del self.moments[:-MOST_MOMENTS]
        return True


def _named(nodes: Collection[int]) -> str:
    return shortened([f"#{node}" for node in sorted(nodes)], 6)


def replicas_state(
    uids: Mapping[int, int], key: Key, moments: Sequence[Moment], at: int, replication: int, serial: int = 0
) -> dict[str, Any]:
    """The moment `at`; `uids` of the nodes by position."""
    moment = moments[at]
    rows = [{"node": node, "uid": uids[node], "alive": node in moment.alive} for node in moment.nodes]
    drawn = pictures.replicas(rows, key.int, moment.holders, had=moment.had, replication=replication)
    last = len(moments) - 1
    words = f"{moment.time_s - moments[0].time_s:.1f} s: {moment.said}"
    words += "" if at == last else f" (now {len(moments[last].holders)} have it)"
    steps = {"at": at, "of": last, "more": False, "words": words, "serial": serial}
    return {"svg": drawn, "status": "live" if at == last else f"rewound by {last - at} of {last} changes", "steps": steps}


class Replicas(Sight):
    """`cluster.replicas_view(key)`: who may, should and does hold a record, and how that came about."""

    def __init__(
        self,
        key: Key,
        read: Callable[[], tuple[float, Mapping[int, int], Collection[int], Collection[int]]],
        replication: int,
        stage: Stage,
    ) -> None:
        """`read` gives the time in seconds, the uids by position of those near the key or with the record, and which of them live
        and have it."""
        self._key, self._read, self._replication = key, read, replication
        self._uids: dict[int, int] = {}
        self._history = History()
        self._at: int | None = None  # None: now
        self._serial = 0
        super().__init__(f"Replicas of {short(key)}", stage)

    def look(self) -> dict[str, Any]:
        time_s, uids, alive, holders = self._read()
        self._uids |= uids
        self._history.note(time_s, uids, alive, holders)
        last = len(self._history.moments) - 1
        at = last if self._at is None else min(self._at, last)
        return replicas_state(self._uids, self._key, self._history.moments, at, self._replication, self._serial)

    def version(self) -> Hashable:
        _, _, alive, holders = self._read()
        return frozenset(alive), frozenset(holders)

    def heard(self, news: News) -> None:
        at = news.get("at")
        if not isinstance(at, int):
            super().heard(news)
            return
        last = len(self._history.moments) - 1
        self._at = None if at >= last else max(0, at)
        self._serial += 1


# --- an entry of a namespace --------------------------------------------------------------------------------------------


def namespace_state(nodes: Sequence[Row], rows: Sequence[Row], refused: Sequence[Row]) -> dict[str, Any]:
    """An entry at its holders: `nodes` nearest first, `rows` and `refused` as `pictures.namespace` has them."""
    newest = max((row["sequence"] for row in rows), default=None)
    current = {row["node"] for row in rows if row["sequence"] == newest}
    status = "nobody has it" if newest is None else f"version {newest} at {len(current)} of {len(nodes)} nodes"
    status += f", {len(refused)} refused" if refused else ""
    return {"svg": pictures.namespace(nodes, rows, refused), "status": status, "words": ""}


class NamespaceView(Sight):
    """`cluster.namespace_view(author, name)`: the versions of an entry at its holders, and what they refused."""

    def __init__(self, title: str, read: Callable[[], tuple[list[Row], list[Row], list[Row]]], stage: Stage) -> None:
        self._read = read
        super().__init__(title, stage)

    def look(self) -> dict[str, Any]:
        return namespace_state(*self._read())

    def version(self) -> Hashable:
        nodes, rows, refused = self._read()
        return tuple(row["node"] for row in nodes), tuple((row["node"], row["signature"]) for row in rows), len(refused)
