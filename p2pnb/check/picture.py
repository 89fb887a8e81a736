"""Pictures of lost cases: a ranking, with what is to stand where and where it was put; and a lookup that asked nobody."""

from __future__ import annotations

from collections.abc import Sequence

from p2pnb.views import svg
from p2pnb.words import counted

RIGHT, WRONG = ("disc", svg.GREEN, "in its place"), ("cross", svg.VERMILLION, "not in its place")
LINE, LEFT, TOP = 26.0, 40.0, 62.0


def ranking(title: str, headers: Sequence[str], rows: Sequence[tuple[Sequence[str], bool]]) -> str:
    """A line for each row, (cells, whether it is in its place), under `headers`, as SVG text."""
    widths = [
        max(8.0 * max(len(header), *(len(cells[i]) for cells, _ in rows)) if rows else 8.0 * len(header), 48.0) + 14
        for i, header in enumerate(headers)
    ]
    starts = [LEFT + sum(widths[:i]) for i in range(len(headers))]
    parts = [svg.legend([RIGHT, WRONG], 14, 18)]
    parts += [svg.text(x, 46, header, kind="soft", size=11) for x, header in zip(starts, headers, strict=True)]
    for line, (cells, right) in enumerate(rows):
        y = TOP + line * LINE + 8
        shape, colour, meaning = RIGHT if right else WRONG
        parts.append(svg.mark(shape, 20, y, 5, colour, meaning))
        parts += [svg.text(x, y + 4, cell, kind="mono") for x, cell in zip(starts, cells, strict=True)]
    about = "One line for each, in the true order, with its true rank and the rank that it was given."
    return svg.picture(max(LEFT + sum(widths), 420), TOP + max(len(rows), 1) * LINE, title, about, parts)


def nobody_asked(known: int) -> str:
    """What there is to see of a lookup that knew `known` contacts and asked none of them, as SVG text: over time there is nothing."""
    told = f"{counted(known, 'contact')} known, and none was asked"
    parts = [svg.text(20, 34, "it asked nobody", size=15), svg.text(20, 56, told, kind="soft")]
    return svg.picture(420, 76, "A lookup that asked nobody", told, parts)
