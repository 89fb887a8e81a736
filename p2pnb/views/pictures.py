"""The pictures: plain data in, one self-contained SVG string out.

Four views of a network: the trie of all uids (`trie`, its own file), a lookup in time, a routing table, a bag. Each says in marks
what a frame says in numbers; `svg` has the theme and the marks. Nothing here asks a node, a clock or chance for anything,
so the same rows always give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from p2pnb import spec
from p2pnb.uid import BITS, common_prefix_length, short
from p2pnb.views import svg
from p2pnb.views.svg import ago
from p2pnb.views.svg import number as n
from p2pnb.views.trie import trie

__all__ = ["bag", "lookup", "routing_table", "trie"]

Row = Mapping[str, Any]
At = tuple[float, float]

# --- a lookup in time -------------------------------------------------------------------------------------------------

# event -> (shape, colour, meaning); other events have no mark
STEPS = {
    "named": ("disc", svg.GREY, "named, not asked"),
    "asked": ("ring", svg.BLUE, "asked"),
    "replied": ("disc", svg.BLUE, "replied"),
    "slow": ("triangle", svg.ORANGE, "slow: its slot given away"),
    "failed": ("cross", svg.VERMILLION, "failed"),
    "refuted": ("cross", svg.VERMILLION, "failed"),
    "outdone": ("box", svg.GREY, "answered elsewhere"),
    "found": ("star", svg.GREEN, "had the record"),
}


def lookup(rows: Iterable[Row], target: int, *, own: int | None = None, width: float = 960.0, height: float = 380.0) -> str:
    """A lookup: to the right time in milliseconds, upwards the bits that a contact shares with the target.

    `rows` are those of `frames.lookup`: `time event uid peer hop told_by`, with `time` in seconds on any clock. A contact is a bar
    from asking to its reply, and a thin line comes from the reply that named it. Within a bucket a nearer contact stands
    higher: the height is 256 - log2(distance). Rows without a uid have no place. `own` is the uid of whoever looks.
    """
    everything = sorted((row for row in rows if row["uid"] is not None and row["event"] in STEPS), key=lambda row: row["time"])
    asked = {row["uid"] for row in everything if row["event"] == "asked"}
    steps = [row for row in everything if row["event"] != "named" or row["uid"] not in asked]
    drawing = _LookupDrawing(steps, target, own, width, height)
    seen = dict.fromkeys(STEPS[event] for event in STEPS if any(row["event"] == event for row in steps))
    title = f"A lookup of {short(target)}: {len(asked)} contacts asked in {drawing.duration:.3g} ms"
    about = "Contacts asked over time, higher where they share more leading bits with the target; lines come from whoever named them."
    legend = svg.legend([*seen, *([("square", svg.GREEN, "who looks")] if own is not None else [])], drawing.left, 18)
    empty = "" if steps else svg.text(drawing.left, 18, "nobody was asked", kind="soft")
    parts = [drawing.axes(), drawing.referrals(), drawing.bars(), drawing.marks(), legend, empty]
    return svg.picture(width, height, title, about, parts)


class _LookupDrawing:
    """Scales of one lookup picture and the parts that are drawn with them."""

    def __init__(self, steps: list[Row], target: int, own: int | None, width: float, height: float) -> None:
        self.steps, self.target, self.own = steps, target, own
        self.left, self.right, self.top, self.bottom = 58.0, width - 46, 46.0, height - 46
        self.start = steps[0]["time"] if steps else 0.0
        self.duration = 1000 * (steps[-1]["time"] - self.start) if steps else 0.0
        heights = [_nearness(row["uid"], target) for row in steps] + ([] if own is None else [_nearness(own, target)])
        finite = [h for h in heights if h < BITS] or [0.0]
        self.low, self.high = math.floor(min(finite)), math.ceil(max(finite)) + (max(heights, default=0) >= BITS)
        self.high = max(self.high, self.low + 1)
        self.replies: dict[int, At] = {}
        for row in steps:
            if row["event"] in {"replied", "found"}:
                self.replies[row["uid"]] = self.at(row)

    def x(self, milliseconds: float) -> float:
        return self.left + (self.right - self.left) * milliseconds / (self.duration or 1.0)

    def y(self, uid: int) -> float:
        share = (min(_nearness(uid, self.target), self.high) - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * share

    def at(self, row: Row) -> At:
        return self.x(1000 * (row["time"] - self.start)), self.y(row["uid"])

    def axes(self) -> str:
        """Bits to the left, milliseconds below, a faint line a bit."""
        lines, labels = [], []
        every = max(1, math.ceil((self.high - self.low) / 14))
        for bits in range(self.low, self.high + 1, every):
            y = self.bottom - (self.bottom - self.top) * (bits - self.low) / (self.high - self.low)
            lines.append(f"M{n(self.left)} {n(y)}H{n(self.right + 34)}")
            labels.append(svg.text(self.left - 10, y + 4, bits, kind="soft", anchor="end", size=11))
        for tick in ticks(self.duration or 1.0):
            lines.append(f"M{n(self.x(tick))} {n(self.bottom)}v5")
            labels.append(svg.text(self.x(tick), self.bottom + 18, f"{tick:g}", kind="soft", anchor="middle", size=11))
        middle = (self.top + self.bottom) / 2
        labels.append(svg.text(14, middle, "bits shared with the target", kind="soft", anchor="middle", turn=-90, size=11))
        labels.append(svg.text((self.left + self.right) / 2, self.bottom + 36, "time (ms)", kind="soft", anchor="middle", size=11))
        return f'<path class="faint" stroke="#ddd" fill="none" d="{"".join(lines)}"/>' + "".join(labels)

    def referrals(self) -> str:
        """From the reply that named a contact to the moment when it was asked; from the start for those of the own table."""
        named, known = [], []
        for row in self.steps:
            if row["event"] != "asked":
                continue
            x, y = self.at(row)
            if row["told_by"] in self.replies:
                x0, y0 = self.replies[row["told_by"]]
                bend = max(0.0, min(14.0, (x - x0) / 2))
                named.append(f"M{n(x0)} {n(y0)}C{n(x0 + bend)} {n(y0)} {n(x - bend)} {n(y)} {n(x)} {n(y)}")
            elif self.own is not None:
                known.append(f"M{n(self.left)} {n(self.y(self.own))}L{n(x)} {n(y)}")
        dashed = f'<path class="line" stroke="#aaa" fill="none" stroke-dasharray="3 3" d="{"".join(known)}"/>' if known else ""
        return dashed + (f'<path class="line" stroke="#aaa" fill="none" d="{"".join(named)}"/>' if named else "")

    def bars(self) -> str:
        """For each contact a bar from the first to the last thing that happened with it."""
        first: dict[int, Row] = {}
        last: dict[int, Row] = {}
        for row in self.steps:
            first.setdefault(row["uid"], row)
            last[row["uid"]] = row
        paths: dict[str, list[str]] = {}
        for uid, row in first.items():
            (x1, y), (x2, _) = self.at(row), self.at(last[uid])
            colour = STEPS[last[uid]["event"]][1]
            paths.setdefault(colour, []).append(f"M{n(x1)} {n(y)}H{n(x2)}")
        drawn = (f'<path stroke="{colour}" d="{"".join(path)}"/>' for colour, path in paths.items())
        return svg.group(drawn, 'fill="none" stroke-width="3" stroke-opacity=".6" stroke-linecap="round"')

    def marks(self) -> str:
        """All steps as marks, and the contacts' names beside their last while there is room."""
        labels, parts = svg.Labels(10.5), []
        for row in self.steps:
            x, y = self.at(row)
            shape, colour, _ = STEPS[row["event"]]
            peer = "" if row["peer"] is None else f"#{row['peer']} · "
            hop = "" if row["hop"] is None else f" · hop {row['hop']}"
            bits = common_prefix_length(row["uid"], self.target)
            tip = f"{peer}{short(row['uid'])} · {bits} bits{hop} · {row['event']} at {1000 * (row['time'] - self.start):.3g} ms"
            parts.append(svg.mark(shape, x, y, 1.8 if row["event"] == "named" else 4.5, colour, tip))
            labels.keep_clear(x, y, 2)
        for row in self.steps:
            if row["event"] in {"replied", "found", "failed", "refuted"} and row["peer"] is not None:
                x, y = self.at(row)
                labels.place(x + 9, y + 4, f"#{row['peer']}")
        origin = "" if self.own is None else svg.mark("square", self.left, self.y(self.own), 5, svg.GREEN, f"{short(self.own)} looks")
        return origin + "".join(parts) + "".join(labels.parts)


def _nearness(uid: int, target: int) -> float:
    """Bits shared with the target, with a fraction for the place within the bucket; 256 for the target itself."""
    return BITS - math.log2(uid ^ target) if uid != target else float(BITS)


def ticks(span: float, wanted: int = 8) -> list[float]:
    """Round numbers from 0 to `span`, about as many as wanted, in steps of 1, 2 or 5."""
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(step * i, 12) for i in range(int(span / step + 1e-9) + 1)]


# --- a routing table --------------------------------------------------------------------------------------------------

FRESH, QUIET = ("square", svg.BLUE, "heard from"), ("box", svg.BLUE, f"silent for {spec.LIVE_WITHIN / 60:.0f} min")
FAILING, CACHED = ("cross", svg.VERMILLION, "failing"), ("ring", svg.ORANGE, "replacement cache")
MOST_BUCKETS = 32


def routing_table(rows: Iterable[Row], k: int = spec.K, *, own: int | None = None, key: int | None = None) -> str:
    """One node's routing table: a line for each number of shared bits, with its k slots and its replacement cache.

    `rows` are those of `frames.routing` for one node: `bucket uid peer age_s failures cached`. With `own`, the node's uid, each
    line begins with the prefix that its contacts have; with `key` too, the line where that key falls is marked.
    """
    contacts = sorted(rows, key=lambda row: (row["bucket"], row["cached"]))
    filled = sorted({row["bucket"] for row in contacts})
    buckets = list(range(filled[-1] + 1)) if filled and filled[-1] < MOST_BUCKETS else filled
    wanted = None if own is None or key is None else common_prefix_length(own, key)
    if wanted is not None and wanted not in buckets:
        buckets.append(wanted)
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
    known = sum(not row["cached"] for row in contacts)
    height = top + len(buckets) * (size + 4) + 26
    parts.append(svg.text(14, height - 10, f"{known} contacts; buckets not shown are empty", kind="soft", size=11))
    about = "One line for each number of leading bits that the contacts share with the node; k slots a line, then replacements."
    return svg.picture(max(right + 50, 470), height, f"Routing table: {known} contacts, k = {k}", about, parts)


def _prefix(x: float, y: float, own: int, bucket: int) -> str:
    """The bits that all contacts of a bucket begin with: those of the node, the last one flipped."""
    bits = f"{own:0{BITS}b}"[: bucket + 1]
    flipped = "10"[int(bits[-1])]
    shown = bits[:-1] if bucket <= 9 else "…" + bits[-9:-1]
    return f'<text x="{n(x)}" y="{n(y)}" class="mono soft" font-size="11">{shown}<tspan class="bold ink">{flipped}</tspan>…</text>'


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
    return f"{peer}{short(row['uid'])} · {state}{age}" + (f" · {row['failures']} failures" if row["failures"] else "")


# --- a bag ------------------------------------------------------------------------------------------------------------

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
        tip = f"{short(row['value'])} · {row['publishers']} publishers"
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
    title = f"A bag of {len(entries)} values"
    about = "A bar for each value with a square for every publisher; filled circles are the replicas that list it."
    return svg.picture(column + 240, top + max(1, len(entries)) * line + 12, title, about, parts)
