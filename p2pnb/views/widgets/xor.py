"""`xor_space()`: how near is near? A space of small uids, in which the distance can be seen and calculated in the head.

Kademlia's distance is the XOR of two uids, read as a number (Maymounkov and Mazières 2002, section 2.1). Here uids have 8 bits
and not 256, so that all of them fit into a row: the leaves of a trie, darker the nearer they are to the target. One drags
the target and sees that distance has nothing to do with how far apart two leaves stand on the screen, and everything with the
branch at which their paths part. Below, the bits are aligned: where two differ stands a 1 of the distance.

The browser needs no kernel for it. Pure: `rows` is what the picture and the table say.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from p2pnb.brief import brief
from p2pnb.views import svg
from p2pnb.views.widgets.base import Live, News, script

MOST_BITS = 8
LISTED = 6  # nodes that the table lists


class Row(NamedTuple):
    """One node as the target sees it: its uid, its distance, and how many leading bits they share."""

    uid: int
    distance: int
    shared: int


def rows(target: int, uids: Iterable[int], bits: int) -> list[Row]:
    """All nodes, nearest to the target first."""
    return sorted((Row(uid, uid ^ target, bits - (uid ^ target).bit_length()) for uid in uids), key=lambda row: row.distance)


def picture(target: int, uids: Iterable[int], bits: int) -> str:
    """The row of all leaves, shaded by distance, and the nearest nodes with their bits, as SVG text."""
    left, right, nodes = 14.0, 946.0, rows(target, uids, bits)
    wide = (right - left) / 2**bits
    parts = []
    for leaf in range(2**bits):
        strength = (1 - (leaf ^ target) / 2**bits) ** 2
        at = f'x="{svg.number(left + leaf * wide)}" y="30" width="{svg.number(max(1.0, wide - 0.5))}" height="26"'
        parts.append(f'<rect {at} fill="{svg.BLUE}" fill-opacity="{0.05 + 0.95 * strength:.2f}"/>')
    parts += [svg.mark("ring", left + (node.uid + 0.5) * wide, 20, 5, svg.ORANGE, f"node {node.uid}") for node in nodes]
    parts.append(svg.mark("diamond", left + (target + 0.5) * wide, 67, 6, svg.PURPLE, f"target {target}"))
    parts.append(_line(108, "target", target, target, bits) + svg.text(left, 90, "nearest nodes first", kind="soft", size=11))
    for index, node in enumerate(nodes[:LISTED]):
        parts.append(_line(132 + 22 * index, "node", node.uid, target, bits) + svg.text(420, 132 + 22 * index, f"distance {node.distance}"))
    about = "All uids of a small space in a row, the darker the smaller their XOR with the target; the bits of the nearest nodes."
    return svg.picture(960, 126 + 22 * min(len(nodes), LISTED), f"XOR distance to {target}", about, parts)


def _line(y: float, what: str, uid: int, target: int, bits: int) -> str:
    """A uid and its bits, those that differ from the target's bold."""
    digits = []
    for place in range(bits):
        differs = (uid ^ target) >> (bits - 1 - place) & 1
        bold = f' class="bold" fill="{svg.VERMILLION}" style="fill:{svg.VERMILLION}"' if differs else ""
        digits.append(f'<tspan x="{190 + 18 * place}"{bold}>{uid >> (bits - 1 - place) & 1}</tspan>')
    named = svg.text(14, y, what, kind="soft") + svg.text(150, y, uid, anchor="end")
    return named + f'<text y="{svg.number(y)}" class="mono">{"".join(digits)}</text>'


class XorSpace(Live):
    """The space of all uids of a few bits: drag the target, and see who is near. `.target` is where it stands."""

    _esm = script("xor")

    def __init__(self, uids: Iterable[int], target: int, bits: int) -> None:
        self.bits = bits
        self.uids = sorted(set(uids))
        self.target = target
        super().__init__("XOR distance")

    def look(self) -> dict[str, Any]:
        return {"bits": self.bits, "uids": self.uids, "target": self.target}

    def heard(self, news: News) -> None:
        target = news.get("target")
        if not isinstance(target, int) or not 0 <= target < 2**self.bits:
            raise brief(ValueError(f"a target has {self.bits} bits: 0 to {2**self.bits - 1}, not {target!r}"))
        self.target = target

    def picture(self) -> str:
        return picture(self.target, self.uids, self.bits)


def xor_space(uids: Iterable[int] | int = 12, *, target: int | None = None, bits: int = MOST_BITS, seed: int = 1) -> XorSpace:
    """As `p2pnb.xor_space`, which loads this file when it is first called."""
    if not 3 <= bits <= MOST_BITS:
        raise brief(ValueError(f"bits is 3 to {MOST_BITS}, so that all uids fit into a row, not {bits}"))
    space = 2**bits
    rng = random.Random(seed)
    if isinstance(uids, int):
        if not 1 <= uids <= space:
            raise brief(ValueError(f"there are 1 to {space} uids of {bits} bits to draw, not {uids}"))
        uids = rng.sample(range(space), uids)
    chosen = list(uids)
    where = rng.randrange(space) if target is None else target
    for uid in (*chosen, where):
        if not 0 <= uid < space:
            raise brief(ValueError(f"a uid of {bits} bits is 0 to {space - 1}, not {uid}"))
    return XorSpace(chosen, where, bits)
