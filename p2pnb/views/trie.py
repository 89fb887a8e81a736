"""The binary trie of uids, laid out: which leaves and branches there are, and where each stands.

XOR distance is a walk in this tree: two uids are as far apart as their lowest common branch is high, so the nearest to a
leaf are always its sibling subtree (Maymounkov and Mazières 2002, figure 1). A ring would put 7f… beside 80…, which
are farthest apart. Leaves stand in the order of their uids at equal spacing, a leaf is as deep as the bits that it takes
to tell it from all others, and a branch stands midway between its two children. Chains without a fork are one edge.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from p2pnb.uid import BITS, common_prefix_length, short
from p2pnb.views import svg
from p2pnb.views.svg import number as n
from p2pnb.words import counted

Row = Mapping[str, Any]

MOST_LEVELS = 32


@dataclass(frozen=True, slots=True)
class Point:
    """A leaf or a branch: `x` from 0 to 1, `depth` in bits."""

    x: float
    depth: int


@dataclass(frozen=True, slots=True)
class Edge:
    """From a branch down to a child; `bit` is 0 for the left one, 1 for the right one."""

    upper: Point
    lower: Point
    bit: int


@dataclass(frozen=True, slots=True)
class Trie:
    """All leaves by uid, all edges, and the depths that have a level in a picture, in order."""

    leaves: dict[int, Point]
    edges: list[Edge]
    levels: list[int]

    def level(self, depth: int) -> int:
        """The number of the level, from 0 at the top, on which `depth` bits are drawn."""
        return bisect_left(self.levels, depth)


def layout(uids: Iterable[int]) -> Trie:
    """The trie of these uids (duplicates count once).

    Levels are consecutive bits from the first fork to the deepest leaf; where that would be more than 32 (uids made alike on purpose),
    only depths at which there is something.
    """
    order = sorted(set(uids))
    leaves: dict[int, Point] = {}
    edges: list[Edge] = []
    top = _place(order, 0, len(order), 0, leaves, edges)
    depths = {top.depth} | {edge.lower.depth for edge in edges}
    levels = list(range(min(depths), max(depths) + 1))
    return Trie(leaves, edges, levels if len(levels) <= MOST_LEVELS else sorted(depths))


def _place(order: list[int], low: int, high: int, depth: int, leaves: dict[int, Point], edges: list[Edge]) -> Point:
    """Place the leaves low…high-1 and the branches above them; `depth` is what a single leaf stands at."""
    if high - low < 2:
        point = Point((low + 0.5) / max(1, len(order)), depth)
        if low < high:
            leaves[order[low]] = point
        return point
    fork = common_prefix_length(order[low], order[high - 1])
    last = BITS - 1 - fork
    middle = bisect_left(order, order[high - 1] >> last << last, low, high)
    left = _place(order, low, middle, fork + 1, leaves, edges)
    right = _place(order, middle, high, fork + 1, leaves, edges)
    branch = Point((left.x + right.x) / 2, fork)
    edges += (Edge(branch, left, 0), Edge(branch, right, 1))
    return branch


# --- drawn ------------------------------------------------------------------------------------------------------------

Kind = tuple[str, str, str]  # shape, colour, meaning

LIVE, DEAD, KEY = ("ring", svg.BLUE, "live"), ("cross", svg.GREY, "dead"), ("diamond", svg.PURPLE, "key")
HOLDER, LOST = ("disc", svg.VERMILLION), ("cross", svg.VERMILLION)  # and what they mean in this picture:
RECORD = ("has the record", "dead, had the record")
CHOSEN = ("square", svg.GREEN, "this node")
_DASHED = f'stroke="{svg.PURPLE}" fill="none" stroke-width="1.5" stroke-dasharray="4 3"'


def trie(
    nodes: Iterable[Row],
    edges: Iterable[tuple[int, int]] = (),
    *,
    holders: Collection[int] = (),
    meaning: tuple[str, str] = RECORD,
    key: int | None = None,
    chosen: int | None = None,
) -> str:
    """The trie of all nodes as an SVG string, leaves from left to right by uid.

    `nodes` are rows with `node`, `uid` and `alive`; `edges` are pairs of positions, drawn as arcs; `holders` and `chosen` are
    positions, and `meaning` is what the legend calls living and dead holders; `key` is marked where it falls among the uids.
    Nodes are named while there is room.
    """
    rows = sorted(nodes, key=lambda row: (row["uid"], row["node"]))
    tree = layout([row["uid"] for row in rows] + ([] if key is None else [key]))
    width = svg.look().width
    drawing = Drawing(rows, tree, width, 0.0 if width > 700 else 18.0)
    kinds = {row["node"]: drawing.kind(row, holders, meaning, chosen) for row in rows}
    order = (drawing.live, DEAD, (*HOLDER, meaning[0]), (*LOST, meaning[1]), CHOSEN)
    shown = [kind for kind in order if kind in kinds.values()] + [KEY] * (key is not None)
    parts = [
        drawing.scale(),
        drawing.branches(key),
        drawing.arcs(edges),
        drawing.marks(kinds),
        drawing.key(key),
        drawing.names({*holders, *(() if chosen is None else (chosen,))}),
        svg.legend(shown, drawing.left, 18, width) if rows else svg.text(drawing.left, 18, "no nodes", kind="soft"),
    ]
    dead = sum(not row["alive"] for row in rows)
    title = f"{counted(len(rows), 'node')} by uid" + (f", {dead} of them dead" if dead else "")
    about = "The binary trie of the uids of all nodes: two nodes are as near as their lowest common branch is low."
    return svg.picture(drawing.width, drawing.lowest + 12, title, about, parts)


class Drawing:
    """Coordinates of one picture and the parts that are drawn with them."""

    def __init__(self, rows: list[Row], tree: Trie, width: float, lower: float = 0.0) -> None:
        self.rows, self.tree, self.width = rows, tree, width
        self.left, self.right, self.top = 46.0, width - 12, 42.0 + lower
        self.spacing = (self.right - self.left) / max(1, len(tree.leaves))
        self.radius = max(1.5, min(6.5, self.spacing * 0.36))
        self.live = LIVE if self.radius > 3 else ("disc", svg.BLUE, "live")
        self.step = min(30.0, 330.0 / max(1, len(tree.levels) - 1))
        self.bottom = self.top + self.step * max(1, len(tree.levels) - 1)
        self.lowest = self.bottom + 22
        self.foot = self.bottom + 46  # of a picture that says more below the tree
        self.at = {row["node"]: self._point(tree.leaves[row["uid"]]) for row in rows}

    def _point(self, point: Point) -> tuple[float, float]:
        return self.left + point.x * (self.right - self.left), self.top + self.step * self.tree.level(point.depth)

    def scale(self) -> str:
        """Faint lines, one a level (or every other), with the number of shared bits beside them."""
        every = math.ceil(16 / self.step)
        lines, labels = [], []
        for index in range(0, len(self.tree.levels), every):
            y = self.top + self.step * index
            lines.append(f"M{n(self.left)} {n(y)}H{n(self.right)}")
            labels.append(svg.text(self.left - 8, y + 4, self.tree.levels[index], kind="soft", anchor="end", size=11))
        caption = svg.text(13, (self.top + self.bottom) / 2, "bits shared", kind="soft", anchor="middle", turn=-90, size=11)
        return f'<path class="faint" stroke="#ddd" fill="none" d="{"".join(lines)}"/>' + "".join(labels) + caption

    def branches(self, key: int | None) -> str:
        """All edges of the tree, that down to the key dashed; the bits beside the uppermost."""
        solid: list[str] = []
        dashed: list[str] = []
        bits: list[str] = []
        for edge in self.tree.edges:
            (x1, y1), (x2, y2) = self._point(edge.upper), self._point(edge.lower)
            to_key = key is not None and edge.lower is self.tree.leaves[key]
            (dashed if to_key else solid).append(f"M{n(x1)} {n(y1)}L{n(x2)} {n(y2)}")
            if abs(x2 - x1) > 40 and self.tree.level(edge.lower.depth) <= 3:
                x = (x1 + x2) / 2 + (8 if edge.bit else -8)
                bits.append(svg.text(x, (y1 + y2) / 2 - 2, edge.bit, kind="soft halo", anchor="middle", size=11))
        thick = n(max(0.7, min(1.4, self.spacing / 12)))
        drawn = f'<path class="line" stroke="#aaa" fill="none" stroke-width="{thick}" d="{"".join(solid)}"/>'
        if dashed:
            drawn += f'<path {_DASHED} d="{"".join(dashed)}"/>'
        return drawn + "".join(bits)

    def arcs(self, edges: Iterable[tuple[int, int]]) -> str:
        """An arc below the leaves for each pair of positions."""
        paths = []
        for one, other in edges:
            if one in self.at and other in self.at:
                (x1, y1), (x2, y2) = self.at[one], self.at[other]
                sag = max(y1, y2) + 16 + 0.12 * abs(x2 - x1)
                self.lowest = max(self.lowest, (y1 + 2 * sag + y2) / 4)
                paths.append(f"M{n(x1)} {n(y1)}Q{n((x1 + x2) / 2)} {n(sag)} {n(x2)} {n(y2)}")
        if not paths:
            return ""
        return f'<path stroke="{svg.SKY}" fill="none" stroke-width="1.2" stroke-opacity=".7" d="{"".join(paths)}"/>'

    def kind(self, row: Row, holders: Collection[int], meaning: tuple[str, str], chosen: int | None) -> Kind:
        held = row["node"] in holders
        if not row["alive"]:
            return (*LOST, meaning[1]) if held else DEAD
        return CHOSEN if row["node"] == chosen else (*HOLDER, meaning[0]) if held else self.live

    def marks(self, kinds: Mapping[int, Kind]) -> str:
        """A mark a node, those that stand out last and on top."""
        radii = {self.live[:2]: self.radius, DEAD[:2]: max(2.0, self.radius * 0.8), LOST: max(3.5, self.radius * 0.8)}
        plain: list[str] = []
        special: list[str] = []
        for row in self.rows:
            kind, (x, y) = kinds[row["node"]], self.at[row["node"]]
            part = svg.mark(kind[0], x, y, radii.get(kind[:2], max(4.5, self.radius)), kind[1], f"{_name(row)} · {kind[2]}")
            (plain if kind in (self.live, DEAD) else special).append(part)
        return "".join(plain + special)

    def key(self, key: int | None) -> str:
        """The key's mark at its leaf; where leaves are too dense for it, below the tree at the end of a dashed line."""
        if key is None:
            return ""
        x, y = self._point(self.tree.leaves[key])
        line = ""
        if self.spacing < 9:
            below = self.bottom + 14
            line = f'<path {_DASHED} d="M{n(x)} {n(y)}V{n(below)}"/>'
            y = below
        return line + svg.mark("diamond", x, y, max(4.5, self.radius), svg.PURPLE, f"key {short(key)}")

    def names(self, wanted: Collection[int]) -> str:
        """Names below the leaves: those wanted first, then all others while there is room."""
        labels = svg.Labels(11 if self.spacing >= 22 else 9)
        for x, y in self.at.values() if self.spacing >= 13 else ():
            labels.keep_clear(x, y, self.radius - 1)
        for row in sorted(self.rows, key=lambda row: row["node"] not in wanted):
            if self.spacing >= 13 or row["node"] in wanted:
                x, y = self.at[row["node"]]
                name = _name(row) if self.spacing >= 62 else str(row["node"]) if 13 <= self.spacing < 20 else f"#{row['node']}"
                labels.place(x, y + max(self.radius, 4) + 13, name, anchor="middle")
        return "".join(labels.parts)


def _name(row: Row) -> str:
    return f"#{row['node']} · {short(row['uid'])[:4]}"
