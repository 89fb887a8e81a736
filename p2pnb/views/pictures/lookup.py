"""A lookup in time: who was asked when, who told, and how near to the target each of them is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from p2pnb.uid import BITS, common_prefix_length, short
from p2pnb.views import svg
from p2pnb.views.svg import number as n
from p2pnb.words import counted

Row = Mapping[str, Any]
At = tuple[float, float]

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

# where a contact's name stands, seen from its last mark: to the right; or, where something else is drawn there, above or below
BESIDE = ((9, 4), (7, -6), (7, 15))


def lookup(rows: Iterable[Row], target: int, *, own: int | None = None, width: float | None = None, height: float = 380.0) -> str:
    """A lookup: to the right time in milliseconds, upwards the bits that a contact shares with the target.

    `rows` are those of `frames.lookup`: `time event uid peer hop told_by`, with `time` in seconds on any clock. A contact is a bar
    from asking to its reply, and a thin line comes from the reply that named it. Within a bucket a nearer contact stands
    higher: the height is 256 - log2(distance). Rows without a uid have no place. `own` is the uid of whoever looks.
    """
    return timeline(rows, target, own=own, width=width, height=height).svg


class Timeline(NamedTuple):
    """A lookup drawn so that it can be uncovered from left to right: in the picture's own units, time 0 is at `left`, `end` at `right`."""

    svg: str
    left: float
    right: float
    top: float
    bottom: float
    end: float  # milliseconds


def timeline(
    rows: Iterable[Row], target: int, *, own: int | None = None, width: float | None = None, height: float = 380.0
) -> Timeline:
    """As `lookup`; what happens in time is inside the group `p2p-run` of the picture."""
    width = width or svg.look().width
    everything = sorted((row for row in rows if row["uid"] is not None and row["event"] in STEPS), key=lambda row: row["time"])
    asked = {row["uid"] for row in everything if row["event"] == "asked"}
    steps = [row for row in everything if row["event"] != "named" or row["uid"] not in asked]
    seen = dict.fromkeys(STEPS[event] for event in STEPS if any(row["event"] == event for row in steps))
    entries = [*seen, *([("square", svg.GREEN, "who looks")] if own is not None else [])]
    drawing = _LookupDrawing(steps, target, own, width, height, svg.legend_height(entries, 58, width))
    title = f"A lookup of {short(target)}: {counted(len(asked), 'contact')} asked in {drawing.duration:.3g} ms"
    about = "Contacts asked over time, higher where they share more leading bits with the target; lines come from whoever named them."
    legend = svg.legend(entries, drawing.left, 18, width)
    empty = "" if steps else svg.text(drawing.left, 18, "nobody was asked", kind="soft")
    moving = svg.group([drawing.referrals(), drawing.bars(), drawing.marks()], 'class="p2p-run"')
    drawn = svg.picture(width, height, title, about, [drawing.axes(), moving, drawing.origin(), legend, empty])
    return Timeline(drawn, drawing.left, drawing.right, drawing.top, drawing.bottom, drawing.duration)


class _LookupDrawing:
    """Scales of one lookup picture and the parts that are drawn with them."""

    def __init__(self, steps: list[Row], target: int, own: int | None, width: float, height: float, lower: float) -> None:
        self.steps, self.target, self.own = steps, target, own
        self.left, self.right, self.top, self.bottom = 58.0, width - (92 if svg.look().names else 46), 46.0 + lower, height - 46
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

    def spans(self) -> Iterator[tuple[float, float, float, str]]:
        """For each contact the x of the first and of the last thing that happened with it, its y, and the colour of what it came to."""
        first: dict[int, Row] = {}
        last: dict[int, Row] = {}
        for row in self.steps:
            first.setdefault(row["uid"], row)
            last[row["uid"]] = row
        for uid, row in first.items():
            (x1, y), (x2, _) = self.at(row), self.at(last[uid])
            yield x1, x2, y, STEPS[last[uid]["event"]][1]

    def bars(self) -> str:
        """A bar a contact."""
        paths: dict[str, list[str]] = {}
        for x1, x2, y, colour in self.spans():
            paths.setdefault(colour, []).append(f"M{n(x1)} {n(y)}H{n(x2)}")
        drawn = (f'<path stroke="{colour}" d="{"".join(path)}"/>' for colour, path in paths.items())
        return svg.group(drawn, 'fill="none" stroke-width="3" stroke-opacity=".6" stroke-linecap="round"')

    def marks(self) -> str:
        """All steps as marks, and the contacts' names beside their last while there is room."""
        labels, parts = svg.Labels(10.5), []
        for x1, x2, y, _ in self.spans():
            labels.keep_clear(x1, y, 2, until=x2)
        for row in self.steps:
            x, y = self.at(row)
            shape, colour, _ = STEPS[row["event"]]
            peer = "" if row["peer"] is None else f"#{row['peer']} · "
            hop = "" if row["hop"] is None else f" · hop {row['hop']}"
            bits = common_prefix_length(row["uid"], self.target)
            what = f"{counted(bits, 'bit')}{hop} · {row['event']}"
            tip = f"{peer}{short(row['uid'])} · {what} at {1000 * (row['time'] - self.start):.3g} ms"
            size = 1.8 if row["event"] == "named" else 4.5
            parts.append(svg.mark(shape, x, y, size, colour, tip))
            labels.keep_clear(x, y, size)
        for row in self.steps:
            if row["event"] in {"replied", "found", "failed", "refuted"} and row["peer"] is not None:
                x, y = self.at(row)
                name = svg.name_of(row["peer"], row["uid"])
                any(labels.place(x + right, y + down, name) for right, down in BESIDE)
        return "".join(parts) + "".join(labels.parts)

    def origin(self) -> str:
        """Whoever looks, where time begins."""
        return "" if self.own is None else svg.mark("square", self.left, self.y(self.own), 5, svg.GREEN, f"{short(self.own)} looks")


def _nearness(uid: int, target: int) -> float:
    """Bits shared with the target, with a fraction for the place within the bucket; 256 for the target itself."""
    return BITS - math.log2(uid ^ target) if uid != target else float(BITS)


def ticks(span: float, wanted: int = 8) -> list[float]:
    """Round numbers from 0 to `span`, about as many as wanted, in steps of 1, 2 or 5."""
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(step * i, 12) for i in range(int(span / step + 1e-9) + 1)]
