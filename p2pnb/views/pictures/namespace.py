"""A signed entry at its holders: a line a version, newest on top, a column a node; what was refused is crossed out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from p2pnb.uid import short
from p2pnb.views import svg
from p2pnb.views.svg import ago
from p2pnb.views.svg import number as n

Row = Mapping[str, Any]

NEWEST, OLDER = ("disc", svg.GREEN, "newest version"), ("disc", svg.BLUE, "older version, kept")
ABSENT, REFUSED = ("ring", svg.GREY, "not here"), ("cross", svg.VERMILLION, "refused")
MOST_VERSIONS = 10


def namespace(nodes: Sequence[Row], rows: Iterable[Row], refused: Iterable[Row] = ()) -> str:
    """One entry at `nodes` (rows with `node` and `uid`, in the order of the columns, nearest first).

    `rows` are those of `frames.namespaces` for this entry: `node sequence value signature age_s`. `refused` are versions that a node
    did not take: `node sequence value signature reason age_s`.
    """
    columns = {row["node"]: i for i, row in enumerate(nodes)}
    held: dict[tuple[int, bytes, bytes], dict[int, Row]] = {}
    denied: dict[tuple[int, bytes, bytes], dict[int, Row]] = {}
    for table, entries in ((held, rows), (denied, refused)):
        for row in entries:
            if row["node"] in columns:
                table.setdefault((row["sequence"], bytes(row["value"]), bytes(row["signature"])), {})[row["node"]] = row
    versions = sorted({*held, *denied}, reverse=True)[:MOST_VERSIONS]
    newest = max(held, default=None)
    left, top, line = 186.0, 86.0, 30.0
    spacing = max(34.0, max((svg.width_of(svg.name_of(row["node"], row["uid"]), 12) for row in nodes), default=0) + 14)
    right = left + max(1, len(nodes)) * spacing
    missing = any(len({**held.get(version, {}), **denied.get(version, {})}) < len(nodes) for version in versions)
    there = (NEWEST, bool(held)), (OLDER, len(held) > 1), (REFUSED, bool(denied)), (ABSENT, missing)
    parts = [svg.legend([kind for kind, wanted in there if wanted], 14, 18)]
    parts += [] if versions else [svg.text(14, 18, "no node has this entry", kind="soft")]
    parts += [svg.text(14, top - 26, "sequence", kind="soft", size=11), svg.text(84, top - 26, "value", kind="soft", size=11)]
    parts += [
        svg.text(left + (i + 0.5) * spacing, top - 26, svg.name_of(row["node"], row["uid"]), kind="bold", anchor="middle")
        for i, row in enumerate(nodes)
    ]
    for i, version in enumerate(versions):
        y = top + i * line
        parts += _version(version, held.get(version, {}), denied.get(version, {}), columns, y, left, spacing, newest)
        parts.append(_said(version, held.get(version, {}), denied.get(version, {}), newest, right + 14, y, len(nodes)))
    height = top + max(1, len(versions)) * line + 8
    about = "A line a version and a column a node, nearest first; filled circles have the version, crosses refused it."
    return svg.picture(max(right + 310, 470), height, "An entry of a namespace", about, parts)


def _version(
    version: tuple[int, bytes, bytes],
    held: Mapping[int, Row],
    denied: Mapping[int, Row],
    columns: Mapping[int, int],
    y: float,
    left: float,
    spacing: float,
    newest: tuple[int, bytes, bytes] | None,
) -> list[str]:
    """One line: the sequence number, the value, and a mark for each node."""
    sequence, value, signature = version
    parts = [svg.text(14, y + 4, sequence, kind="bold"), svg.text(84, y + 4, short(value), kind="mono soft" if not held else "mono")]
    if not held:
        parts.append(f'<path stroke="{svg.VERMILLION}" fill="none" stroke-width="1.6" d="M12 {n(y)}H{n(left - 24)}"/>')
    for node, column in columns.items():
        x = left + (column + 0.5) * spacing
        row = held.get(node)
        if node in denied:
            tip = f"#{node} refused version {sequence}: {denied[node]['reason']} · signature {signature[:4].hex()}…"
            parts.append(svg.mark("cross", x, y, 6, svg.VERMILLION, tip))
        elif row is not None:
            kind = NEWEST if version == newest else OLDER
            tip = f"#{node} has version {sequence} · signature {signature[:4].hex()}… · {ago(row['age_s'])}"
            parts.append(svg.mark(kind[0], x, y, 7, kind[1], tip))
        else:
            parts.append(svg.mark("ring", x, y, 3.5, svg.GREY, f"#{node} does not have version {sequence}"))
    return parts


def _said(
    version: tuple[int, bytes, bytes],
    held: Mapping[int, Row],
    denied: Mapping[int, Row],
    newest: tuple[int, bytes, bytes] | None,
    x: float,
    y: float,
    of: int,
) -> str:
    reasons = ", ".join(dict.fromkeys(str(row["reason"]) for row in denied.values()))
    said = [f"{len(held)} of {of}"] if held else []
    said += ["what readers get"] if held and version == newest else []
    said += [f"refused by {len(denied)}: {reasons}"] if denied else []
    return svg.text(x, y + 4, " · ".join(said), kind="soft")
