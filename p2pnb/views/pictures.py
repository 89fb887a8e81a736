"""The pictures: plain data in, one self-contained SVG string out.

Four views of a network: the trie of all uids, a lookup in time, a routing table, a bag. Each says in its marks what a
frame says in numbers; `svg` has the theme and marks, `trie` the layout. Nothing here asks a node, a clock or chance
for anything, so the same rows always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import short
from p2pnb.views import svg
from p2pnb.views.trie import Trie, layout

Row = Mapping[str, Any]

WIDTH = 960.0

LIVE, DEAD = ("ring", svg.BLUE, "live"), ("cross", svg.GREY, "dead")
HOLDER, KEY, CHOSEN = ("disc", svg.VERMILLION, "has the record"), ("diamond", svg.PURPLE, "key"), ("square", svg.GREEN, "this node")


def _name(row: Row) -> str:
    return f"#{row['node']} · {short(row['uid'])}"


# --- the trie of all uids ---------------------------------------------------------------------------------------------


def trie(
    nodes: Iterable[Row],
    edges: Iterable[tuple[int, int]] = (),
    *,
    holders: Collection[int] = (),
    key: int | None = None,
    chosen: int | None = None,
    width: float = WIDTH,
) -> str:
    """The binary trie of all nodes, leaves from left to right by uid.

    `nodes` are rows with `node`, `uid` and `alive`; `edges` are pairs of positions, drawn as arcs; `holders` and `chosen` are
    positions; `key` is marked where it falls among the uids. Nodes are named while there is room.
    """
    rows = sorted(nodes, key=lambda row: (row["uid"], row["node"]))
    tree = layout([row["uid"] for row in rows] + ([] if key is None else [key]))
    drawing = _TrieDrawing(rows, tree, width)
    marks = [drawing.leaf(row, _kind(row, holders, chosen)) for row in rows]
    dead = sum(not row["alive"] for row in rows)
    shown = [LIVE] + [DEAD] * (dead > 0) + [HOLDER] * bool(holders) + [CHOSEN] * (chosen is not None) + [KEY] * (key is not None)
    parts = [
        drawing.scale(),
        drawing.branches(None if key is None else key),
        drawing.arcs(edges),
        *marks,
        drawing.key(key) if key is not None else "",
        drawing.names({*holders, *(() if chosen is None else (chosen,))}),
        svg.legend(shown, drawing.left, 18),
    ]
    title = f"{len(rows)} nodes by uid" + (f", {dead} of them dead" if dead else "")
    about = "The binary trie of the uids of all nodes: two nodes are as near as their lowest common branch is low."
    return svg.picture(width, drawing.height, title, about, parts)


def _kind(row: Row, holders: Collection[int], chosen: int | None) -> tuple[str, str, str]:
    if not row["alive"]:
        return DEAD
    return CHOSEN if row["node"] == chosen else HOLDER if row["node"] in holders else LIVE


class _TrieDrawing:
    """Coordinates of one trie picture and the parts that are drawn with them."""

    def __init__(self, rows: list[Row], tree: Trie, width: float) -> None:
        self.rows, self.tree = rows, tree
        self.left, self.right = 46.0, width - 12
        slots = max(1, len(tree.leaves))
        self.spacing = (self.right - self.left) / slots
        self.radius = max(1.7, min(6.5, self.spacing * 0.36))
        self.step = min(30.0, max(9.0, 330.0 / max(1, len(tree.levels) - 1)))
        self.top = 42.0
        self.bottom = self.top + self.step * max(1, len(tree.levels) - 1)
        self.height = self.bottom + 58
        self.at = {row["node"]: self._point(tree.leaves[row["uid"]].x, tree.leaves[row["uid"]].depth) for row in rows}

    def _point(self, x: float, depth: int) -> tuple[float, float]:
        return self.left + x * (self.right - self.left), self.top + self.step * self.tree.level(depth)

    def scale(self) -> str:
        """Faint lines, one a level (or every other), with the number of bits shared above them."""
        every = 1 if self.step >= 14 else 2
        lines, labels = [], []
        for index, depth in enumerate(self.tree.levels[::every]):
            y = self.top + self.step * index * every
            lines.append(f"M{svg.number(self.left)} {svg.number(y)}H{svg.number(self.right)}")
            labels.append(svg.text(self.left - 8, y + 4, depth, kind="soft", anchor="end", size=11))
        caption = svg.text(13, (self.top + self.bottom) / 2, "bits shared", kind="soft", anchor="middle", turn=-90, size=11)
        return f'<path class="faint" stroke="#ddd" fill="none" d="{"".join(lines)}"/>' + "".join(labels) + caption

    def branches(self, key: int | None) -> str:
        """All edges of the tree; that down to the key dashed; the bits beside the uppermost."""
        solid, dashed, bits = [], [], []
        for edge in self.tree.edges:
            (x1, y1), (x2, y2) = self._point(edge.upper.x, edge.upper.depth), self._point(edge.lower.x, edge.lower.depth)
            path = f"M{svg.number(x1)} {svg.number(y1)}L{svg.number(x2)} {svg.number(y2)}"
            (dashed if key is not None and edge.lower is self.tree.leaves[key] else solid).append(path)
            if abs(x2 - x1) > 40 and self.tree.level(edge.lower.depth) <= 3:
                bits.append(svg.text((x1 + x2) / 2 + (8 if edge.bit else -8), (y1 + y2) / 2 - 2, edge.bit, kind="soft", anchor="middle", size=11))
        thick = svg.number(max(0.6, min(1.4, self.spacing / 12)))
        drawn = f'<path class="line" stroke="#aaa" fill="none" stroke-width="{thick}" d="{"".join(solid)}"/>'
        if dashed:
            drawn += f'<path stroke="{svg.PURPLE}" fill="none" stroke-width="1.5" stroke-dasharray="4 3" d="{"".join(dashed)}"/>'
        return drawn + "".join(bits)

    def arcs(self, edges: Iterable[tuple[int, int]]) -> str:
        """An arc below the leaves for each pair of positions."""
        paths = []
        for one, other in edges:
            if one not in self.at or other not in self.at:
                continue
            (x1, y1), (x2, y2) = self.at[one], self.at[other]
            sag = max(y1, y2) + 12 + 0.06 * abs(x2 - x1)
            paths.append(" ".join(["M", *map(svg.number, (x1, y1)), "Q", *map(svg.number, ((x1 + x2) / 2, sag, x2, y2))]))
        return f'<path stroke="{svg.SKY}" fill="none" stroke-width="1.3" stroke-opacity=".65" d="{"".join(paths)}"/>' if paths else ""

    def leaf(self, row: Row, kind: tuple[str, str, str]) -> str:
        x, y = self.at[row["node"]]
        shape, colour, meaning = kind
        radius = self.radius if kind is LIVE else max(self.radius, 4.5) if kind in (HOLDER, CHOSEN) else max(1.6, self.radius * 0.8)
        return svg.mark(shape, x, y, radius, colour, f"{_name(row)} · {meaning}")

    def key(self, key: int) -> str:
        point = self.tree.leaves[key]
        x, y = self._point(point.x, point.depth)
        return svg.mark("diamond", x, y, max(4.5, self.radius), svg.PURPLE, f"key {short(key)}")

    def names(self, wanted: Collection[int]) -> str:
        """Names below the leaves: those wanted first, then all others while there is room."""
        labels = svg.Labels(11 if self.spacing >= 22 else 9.5)
        everyone = self.spacing >= 13
        for row in sorted(self.rows, key=lambda row: row["node"] not in wanted):
            if everyone or row["node"] in wanted:
                x, y = self.at[row["node"]]
                roomy = self.spacing >= 62
                labels.place(x, y + max(self.radius, 4) + 13, _name(row)[:-5] if roomy else f"#{row['node']}", anchor="middle")
        return "".join(labels.parts)
