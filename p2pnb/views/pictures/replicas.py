"""The replicas near a key: the part of the trie around it, who may accept the record, who should have it, and who has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import short
from p2pnb.views import svg
from p2pnb.views.svg import number as n
from p2pnb.views.trie import DEAD, HOLDER, KEY, LOST, RECORD, Drawing, Kind, layout
from p2pnb.words import counted

Row = Mapping[str, Any]

SHOWN = 32  # nodes nearest to the key that are drawn, dead ones too
HAS: Kind = (*HOLDER, RECORD[0])
HAD: Kind = (*LOST, RECORD[1])
MISSES: Kind = ("box", svg.ORANGE, "should have it, and has not")
MAY: Kind = ("ring", svg.BLUE, "may accept it")
BEYOND: Kind = ("ring", svg.GREY, "farther away")


def replicas(
    nodes: Iterable[Row],
    key: int,
    holders: Collection[int],
    *,
    had: Collection[int] = (),
    replication: int = spec.REPLICATION,
) -> str:
    """The 32 nodes nearest to `key`, in the binary trie of their uids, with their rank by distance.

    `nodes` are rows with `node`, `uid` and `alive`, of all nodes; `holders` the positions that have the record now, `had` those that
    had it when they died. Living nodes are ranked: below `replication` they should have the record, below 20 they may accept it.
    """
    every = sorted(nodes, key=lambda row: (row["uid"] ^ key, row["node"]))
    rank = {row["node"]: i for i, row in enumerate(row for row in every if row["alive"])}
    near = sorted((row for i, row in enumerate(every) if i < SHOWN or row["node"] in holders), key=lambda row: (row["uid"], row["node"]))
    kinds = {row["node"]: _kind(row, rank, holders, had, replication) for row in near}
    legend = [kind for kind in (HAS, MISSES, MAY, BEYOND, HAD, DEAD) if kind in kinds.values()] + [KEY]
    width = svg.look().width
    lower = svg.legend_height(legend, 14, width)
    drawing = Drawing(near, layout([*(row["uid"] for row in near), key]), width, lower)
    have = [row["node"] for row in near if row["alive"] and row["node"] in holders]
    should = sum(rank[node] < replication for node in have)
    said = f"{counted(len(have), 'replica')}, {should} of the {min(replication, len(rank))} nearest"
    parts = [
        drawing.scale(), drawing.branches(key), _ranks(drawing, rank), drawing.marks(kinds), drawing.key(key), drawing.names(holders),
        svg.legend(legend, 14, 18, width),
        svg.text(14, drawing.foot + 20, said, kind="bold"),
    ]  # fmt: skip
    about = "The binary trie of the uids nearest to the key; filled marks are nodes that have the record, numbers their rank by distance."
    return svg.picture(drawing.width, drawing.foot + 32, f"Near key {short(key)}: {said}", about, parts)


def _kind(row: Row, rank: Mapping[int, int], holders: Collection[int], had: Collection[int], replication: int) -> Kind:
    node = row["node"]
    if not row["alive"]:
        return HAD if node in had else DEAD
    if node in holders:
        return HAS
    return MISSES if rank[node] < replication else MAY if rank[node] < spec.ACCEPTORS else BEYOND


def _ranks(drawing: Drawing, rank: Mapping[int, int]) -> str:
    """The rank of each living node that may accept the record, in a line below the tree."""
    y = drawing.foot
    parts = [svg.text(14, y, "rank", kind="soft", size=11)]
    for row in drawing.rows:
        place = rank.get(row["node"])
        if place is not None and place < spec.ACCEPTORS:
            x, below = drawing.at[row["node"]]
            parts.append(f'<path class="faint" stroke="#ddd" fill="none" d="M{n(x)} {n(below + 20)}V{n(y - 11)}"/>' * (y - below > 36))
            parts.append(svg.text(x, y, place, kind="soft", anchor="middle", size=11))
    return "".join(parts)
