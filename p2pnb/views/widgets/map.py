"""`cluster.map()`: all nodes as leaves of the binary trie of their uids, live, to be looked at, called on, killed and cut off.

Two pure functions make what the browser draws: `ground`, from rows of `frames.nodes`, where every leaf and branch stands, which
changes only with the nodes themselves; and `state`, what they are at present. Arrays are bytes in the order of positions, so that
a thousand nodes cost a few kilobytes an update. What passed between nodes goes as replays (`replay.py`), once, as messages.

Clicks come back as news: `select`, `key`, or `do` with the name of an action; the actions are plain functions that the cluster
layer lends, and what they raise is shown in the message line.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import traitlets

from p2pnb.uid import Key, short
from p2pnb.views import trie
from p2pnb.views.widgets.base import Live, News, Stage, script
from p2pnb.views.widgets.replay import Replays
from p2pnb.views.widgets.table import typed_key

Row = Mapping[str, Any]
Action = Callable[..., Awaitable[object] | object]

NEED: dict[str, tuple[str, ...]] = {  # what an action may be told
    "kill": ("nodes", "fraction", "silent"),
    "partition": ("nodes", "fraction"),
    "restart": ("nodes",),
    "add": ("n",),
    "heal": (),
    "advance": ("seconds",),
    "close": (),
}
LARGEST = 65_000  # nodes that a map can show


Now = tuple[bool, int, int]  # of one node: whether it is alive, how many contacts it has, how many records


class Reads(NamedTuple):
    """What a map asks the cluster: plain functions, to be called on any thread."""

    rows: Callable[[], Sequence[Row]]  # of all nodes, by position
    now: Callable[[], Sequence[Now]]  # of all nodes, too: what changes, which takes a fifth of the time
    contacts: Callable[[int], Sequence[Row]]  # the routing table of one
    holders: Callable[[Key], Collection[int]]
    cut_off: Callable[[], Collection[int]]
    events: Callable[[], Sequence[Row]]  # those that are new since the last time
    faults: Callable[[], Sequence[str]]  # the names of those that are on
    node: Callable[[int], Any]  # what people hold of the node at a position
    changed: Callable[[], Hashable]
    time: Callable[[], float | None] = lambda: None  # seconds since the launch, where somebody else drives time


def ground(rows: Sequence[Row], key: Key | None = None) -> dict[str, Any]:
    """Where everything stands: `x` (0 to 1) and `level` of each node's leaf, `branches` (x, level, x, level of both ends), all float32.

    `ids`: the first four bytes of each uid; `ports`: uint16. `levels`: the bits that each level stands for. `key`: its place,
    or None; its own branch comes last in `branches`.
    """
    point = None if key is None else key.int
    tree = trie.layout([row["uid"] for row in rows] + ([] if point is None else [point]))
    at = {uid: (leaf.x, tree.level(leaf.depth)) for uid, leaf in tree.leaves.items()}
    leaves = [at[row["uid"]] for row in rows]
    edges = sorted(tree.edges, key=lambda edge: point is not None and edge.lower is tree.leaves[point])
    ends = [(edge.upper.x, tree.level(edge.upper.depth), edge.lower.x, tree.level(edge.lower.depth)) for edge in edges]
    return {
        "n": len(rows),
        "x": np.array([x for x, _ in leaves], np.float32).tobytes(),
        "level": np.array([level for _, level in leaves], np.float32).tobytes(),
        "branches": np.array(ends, np.float32).tobytes(),
        "ids": b"".join(row["uid"].to_bytes(32, "big")[:4] for row in rows),
        "ports": np.array([row["port"] for row in rows], np.uint16).tobytes(),
        "ip": rows[0]["ip"] if rows else "",
        "levels": tree.levels,
        "key": None if key is None or point is None else {"id": short(key), "x": at[point][0], "level": at[point][1]},
    }


def state(
    nodes: Sequence[Now],
    *,
    selected: int | None = None,
    contacts: Sequence[Row] = (),
    requests: int = 0,
    time: float | None = None,
    faults: Sequence[str] = (),
    cut_off: Collection[int] = (),
    holders: Collection[int] = (),
) -> dict[str, Any]:
    """What the nodes are now: `flags` (uint8: 1 alive, 2 cut off, 4 holds the key's record), `contacts`, `records` (uint32), sums.

    `table`: the positions (uint16) that are in the routing table of the selected node. `requests`: how many there have been.
    `time`: seconds on a virtual network; None where time passes by itself.
    """
    flags = np.array([alive for alive, _, _ in nodes], np.uint8)
    for flag, marked in ((2, cut_off), (4, holders)):
        flags[[position for position in marked if position < len(nodes)]] |= flag
    known = [contact["peer"] for contact in contacts if contact["peer"] is not None and not contact["cached"]]
    return {
        "flags": flags.tobytes(),
        "contacts": np.array([contacts for _, contacts, _ in nodes], np.uint32).tobytes(),
        "records": np.array([records for _, _, records in nodes], np.uint32).tobytes(),
        "alive": int((flags & 1).sum()),
        "requests": requests,
        "time": time,
        "faults": list(dict.fromkeys(faults)),
        "cut": len(cut_off),
        "holders": len(holders),
        "selected": selected,
        "table": np.array(known, np.uint16).tobytes(),
    }


class Map(Live):
    """All nodes of a cluster, live. Click one to see whom it knows; the buttons break and mend."""

    _esm = script("replay", "clock", "map")

    ground = traitlets.Dict().tag(sync=True)  # where everything stands
    pace = traitlets.Float(2.0).tag(sync=True)  # seconds over which a call is replayed; 0: not at all

    def __init__(self, reads: Reads, actions: Mapping[str, Action], key: Key | None, pace: float, stage: Stage) -> None:
        self._reads, self._actions, self._key = reads, actions, key
        self._selected: int | None = None
        self._grounded: Hashable = None
        self._replays = Replays()
        self._new: Sequence[Row] = ()  # requests that the browser has not heard of
        self._requests = 0
        super().__init__("Cluster", stage, pace=pace)
        self._lay(len(reads.now()[:LARGEST]))

    @property
    def selected(self) -> Any:
        """The node that was clicked, for use in the next cell; None when none is."""
        return None if self._selected is None else self._reads.node(self._selected)

    def select(self, node: Any) -> None:
        """Selects a node, or its position, as a click does; None: none. Raises `ValueError`."""
        position = getattr(node, "position", node)
        if position is not None and not (isinstance(position, int) and 0 <= position < len(self._reads.now())):
            raise ValueError(f"there is no node {node!r} on this map")
        self._selected = position
        self.want()

    # --- looking --------------------------------------------------------------------------------------------------------

    def look(self) -> dict[str, Any]:
        reads, key, selected = self._reads, self._key, self._selected
        nodes = reads.now()[:LARGEST]
        self._new = reads.events()
        self._requests += len(self._new)
        if self._grounded is not None:
            self._lay(len(nodes))
        contacts = reads.contacts(selected) if selected is not None else []
        holders = reads.holders(key) if key is not None else ()
        return state(
            nodes,
            selected=selected,
            contacts=contacts,
            requests=self._requests,
            time=reads.time(),
            faults=reads.faults(),
            cut_off=reads.cut_off(),
            holders=holders,
        )

    def _lay(self, nodes: int) -> None:
        """Lays out the trie anew where there are other nodes, or another key."""
        now = (nodes, self._key)
        if now != self._grounded:
            self.ground, self._grounded = ground(self._reads.rows()[:nodes], self._key), now

    def version(self) -> Hashable:
        return self._reads.changed(), len(self._replays) and time.monotonic()

    def after_look(self) -> None:
        if self.pace > 0:
            for each in self._replays.feed(self._new, time.monotonic()):
                arrays = [each.pop(name) for name in ("asked", "took", "pairs", "kinds")]
                self.send({"replay": each}, arrays)

    def picture(self) -> str:
        reads, key, chosen = self._reads, self._key, self._selected
        rows = reads.rows()
        contacts = reads.contacts(chosen) if chosen is not None else []
        edges = [(contact["node"], contact["peer"]) for contact in contacts if contact["peer"] is not None and not contact["cached"]]
        holders = reads.holders(key) if key is not None else ()
        return trie.trie(rows, edges, holders=holders, key=None if key is None else key.int, chosen=chosen)

    # --- hearing --------------------------------------------------------------------------------------------------------

    def heard(self, news: News) -> Awaitable[object] | None:
        if "do" in news:
            return self._do(news)
        if "select" in news:
            self.select(news["select"])
        elif isinstance(news.get("key"), str):
            self._key = typed_key(news["key"])
        elif isinstance(news.get("pace"), (int, float)):
            self.pace = float(news["pace"])
        else:
            return super().heard(news)
        return None

    def _do(self, news: News) -> Awaitable[object] | None:
        name = news["do"]
        if name not in NEED:
            raise ValueError(f"a map can {', '.join(NEED)}; not {name!r}")
        answer = self._actions[name](**{each: news[each] for each in NEED[name] if each in news})
        return answer if isinstance(answer, Coroutine) else None  # a call; the nodes of a kill are done
