"""A bag: a bar for each value with a square for every publisher, and which replicas list it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import short
from p2pnb.views import svg
from p2pnb.views.svg import ago
from p2pnb.words import counted

Row = Mapping[str, Any]

MOST_SQUARES = 48


def bag(rows: Iterable[Row]) -> str:
    """The values of a bag in the order given: a bar for each with a square for every publisher, and who lists it.

    Rows: `value publishers age listed_by of`: 32 bytes, a number of publishers, seconds, and how many of the
    asked replicas list the value. Bars end at 48 squares with a number.
    """
    entries = list(rows)
    left, line, top = 120.0, 26.0, 30.0
    longest = min(MOST_SQUARES, max([row["publishers"] for row in entries], default=0))
    column = left + max(longest, 6) * 13 + 66
    parts = [
        svg.text(14, 16, "value", kind="soft", size=11), svg.text(left, 16, "publishers", kind="soft", size=11),
        svg.text(column, 16, "listed by replicas", kind="soft", size=11), svg.text(column + 150, 16, "newest vote", kind="soft", size=11),
    ]  # fmt: skip
    for i, row in enumerate(entries):
        y, squares = top + i * line + line / 2, min(row["publishers"], MOST_SQUARES)
        enough = row["listed_by"] >= min(spec.MERGE_QUORUM, row["of"])
        tip = f"{short(row['value'])} · {counted(row['publishers'], 'publisher')}"
        parts += [
            svg.text(14, y + 4, short(row["value"]), kind="mono"),
            *(svg.mark("square" if enough else "box", left + 5 + 13 * s, y, 5, svg.BLUE, tip) for s in range(squares)),
            svg.text(left + squares * 13 + 8, y + 4, row["publishers"], kind="bold"),
            *(svg.mark("disc" if r < row["listed_by"] else "ring", column + 5 + 14 * r, y, 4.5, svg.GREEN) for r in range(row["of"])),
            svg.text(column + 14 * row["of"] + 10, y + 4, f"{row['listed_by']} of {row['of']}", kind="soft"),
            svg.text(column + 150, y + 4, ago(row["age"]), kind="soft"),
        ]
    if not entries:
        parts.append(svg.text(14, top + 18, "no values", kind="soft"))
    title = f"A bag of {counted(len(entries), 'value')}"
    about = "A bar for each value with a square for every publisher; filled circles are the replicas that list it."
    return svg.picture(column + 240, top + max(1, len(entries)) * line + 12, title, about, parts)
