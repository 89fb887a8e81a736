"""The binary trie of uids, laid out: which leaves and branches there are, and where each stands.

XOR distance is a walk in this tree: two uids are as far apart as their lowest common branch is high, so the nearest to a
leaf are always its sibling subtree (Maymounkov and Mazières 2002, figure 1). A ring would put 7f… beside 80…, which
are farthest apart. Leaves stand in the order of their uids at equal spacing; a leaf is as deep as the bits that it takes
to tell it from all others, and a branch stands midway between its two children. Chains without a fork are one edge.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from p2pnb.uid import BITS, common_prefix_length

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
