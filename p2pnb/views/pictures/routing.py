"""A routing table: a line for each number of shared bits, its k slots, and who waits for one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import BITS, common_prefix_length, short
from p2pnb.views import svg
from p2pnb.views.svg import ago
from p2pnb.views.svg import number as n
from p2pnb.words import counted

Row = Mapping[str, Any]

FRESH, QUIET = ("square", svg.BLUE, "heard from"), ("box", svg.BLUE, f"silent for {spec.LIVE_WITHIN / 60:.0f} min")
FAILING, CACHED = ("cross", svg.VERMILLION, "failing"), ("ring", svg.ORANGE, "replacement cache")
MOST_BUCKETS = 32


def routing_table(rows: Iterable[Row], k: int = spec.K, *, own: int | None = None, key: int | None = None) -> str:
    """One node's routing table: a line for each number of shared bits, with its k slots and its replacement cache.

    `rows` are those of `frames.routing` for one node: `bucket uid peer age_s failures cached`. With `own`, the node's uid, each
    line begins with the prefix that its contacts have; with `key` too, the line where that key falls is marked.
    """
    contacts = sorted(rows, key=lambda row: (row["bucket"], row["cached"]))
    wanted = None if own is None or key is None else common_prefix_length(own, key)
    buckets = shown_buckets({row["bucket"] for row in contacts}, wanted)
    size, left, top = (32.0 if k <= 8 else 24.0), 200.0, 62.0
    right = left + max(k, 4) * size + 130
    parts = [
        svg.legend([FRESH, QUIET, FAILING, CACHED], 14, 18),
        svg.text(14, 46, "bits shared", kind="soft", size=11),
        svg.text(92, 46, "prefix", kind="soft", size=11) if own is not None else "",
        svg.text(left, 46, f"contacts (k = {k})", kind="soft", size=11),
    ]
    for line, bucket in enumerate(buckets):
        y = top + line * (size + 4) + size / 2
        if bucket == wanted:
            band = f'x="8" y="{n(y - size / 2 - 2)}" width="{n(right + 34)}" height="{n(size + 4)}" rx="4"'
            parts.append(f'<rect {band} fill="{svg.PURPLE}" fill-opacity=".22"/>')
            parts.append(svg.mark("diamond", right, y, 4.5, svg.PURPLE) + svg.text(right + 12, y + 4, "key", kind="soft"))
        parts.append(svg.text(14, y + 4, bucket))
        parts.append(_prefix(92, y + 4, own, bucket) if own is not None else "")
        parts += _slots([row for row in contacts if row["bucket"] == bucket], left, y, size, k)
    known = counted(sum(not row["cached"] for row in contacts), "contact")
    height = top + len(buckets) * (size + 4) + 26
    parts.append(svg.text(14, height - 10, f"{known}; buckets not shown are empty", kind="soft", size=11))
    about = "One line for each number of leading bits that the contacts share with the node; k slots a line, then replacements."
    return svg.picture(max(right + 50, 470), height, f"Routing table: {known}, k = {k}", about, parts)


def shown_buckets(filled: Collection[int], wanted: int | None) -> list[int]:
    """The numbers of those that have a line: all down to the deepest one that is filled, where that is not too deep, and the wanted one."""
    deepest = max(filled, default=-1)
    return sorted({*(range(deepest + 1) if deepest < MOST_BUCKETS else filled), *(() if wanted is None else (wanted,))})


def prefix_of(own: int, bucket: int) -> str:
    """The bits that all contacts of a bucket begin with: those of the node, the last one flipped (of 256, its own uid)."""
    bits = f"{own:0{BITS}b}"
    return bits if bucket == BITS else bits[:bucket] + "10"[int(bits[bucket])]


def _prefix(x: float, y: float, own: int, bucket: int) -> str:
    bits = prefix_of(own, bucket)
    shown = bits[:-1] if bucket <= 9 else "…" + bits[-9:-1]
    return f'<text x="{n(x)}" y="{n(y)}" class="mono soft" font-size="11">{shown}<tspan class="bold ink">{bits[-1]}</tspan>…</text>'


def _slots(contacts: list[Row], left: float, y: float, size: float, k: int) -> list[str]:
    """The k slots of a bucket, filled from the left, and dots for the contacts that wait for a place."""
    half = size / 2 - 1.5
    parts = []
    main = [row for row in contacts if not row["cached"]]
    for slot in range(max(k, len(main))):
        x = left + slot * size + size / 2
        if slot >= len(main):
            at = f'x="{n(x - half)}" y="{n(y - half)}" width="{n(2 * half)}" height="{n(2 * half)}"'
            parts.append(f'<rect class="faint" {at} rx="3" fill="none" stroke="#ddd"/>')
            continue
        row = main[slot]
        kind = FAILING if row["failures"] else FRESH if row["age_s"] is not None and row["age_s"] <= spec.LIVE_WITHIN else QUIET
        tip = _contact_tip(row, kind[2])
        parts.append(svg.mark("square" if kind is FRESH else "box", x, y, half, kind[1], tip))
        if kind is FAILING:
            parts.append(svg.mark("cross", x, y, half * 0.55, kind[1], tip))
        elif row["peer"] is not None and 0 <= row["peer"] < 10_000:
            small = 10 if row["peer"] < 100 else 2 * half / 2.2 if row["peer"] < 1000 else 2 * half / 2.8
            parts.append(svg.text(x, y + 3.5, row["peer"], kind="inverse" if kind is FRESH else "", anchor="middle", size=min(10, small)))
    waiting = [row for row in contacts if row["cached"]]
    start = left + max(k, len(main)) * size + 16
    parts += [svg.mark("ring", start + i * 11, y, 4, svg.ORANGE, _contact_tip(row, CACHED[2])) for i, row in enumerate(waiting[:6])]
    if len(waiting) > 6:
        parts.append(svg.text(start + 64, y + 4, f"+{len(waiting) - 6}", kind="soft", size=11))
    return parts


def _contact_tip(row: Row, state: str) -> str:
    peer = "" if row["peer"] is None or row["peer"] < 0 else f"#{row['peer']} · "
    age = "" if row["age_s"] is None or math.isnan(row["age_s"]) else f" {ago(row['age_s'])}"
    return f"{peer}{short(row['uid'])} · {state}{age}" + (f" · {counted(row['failures'], 'failure')}" if row["failures"] else "")
