"""The messages of some calls as a sequence diagram: lanes are nodes, time runs down, a request goes out and its reply comes back.

The log knows when a request was asked and when its reply came, so one way is drawn as half of the round trip. Downwards is the
order of events, not a scale: between two of them lies a little more the longer the pause was, and the milliseconds stand beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from p2pnb.views import svg
from p2pnb.views.svg import number as n
from p2pnb.words import counted

Row = Mapping[str, Any]

MOST_REQUESTS = 40
LEAST_LANE, MOST_LANE = 46.0, 150.0  # pixels between two lanes
READS, WRITES, GREETS = ("asks", svg.BLUE), ("stores", svg.GREEN), ("greets", svg.GREY)
KINDS = {"set": WRITES, "bag-add": WRITES, "namespace-set": WRITES, "iam": GREETS}
FAILED = svg.VERMILLION
ELSEWHERE = -1  # the lane of those who are no node of the cluster


def sequence(rows: Iterable[Row], *, uids: Mapping[int, int] | None = None, most: int = MOST_REQUESTS) -> str:
    """A sequence diagram of the first `most` requests.

    Rows are those of `frames.events`: `time node peer verb outcome rtt cause`, and `words`, the two texts that an arrow shows when
    the pointer rests on it (may be None). `uids` gives the uid of a position, for names.
    """
    every = sorted(rows, key=lambda row: row["time"])
    shown = every[:most]
    drawing = _Drawing(shown, uids or {}, svg.look().width)
    title = f"{counted(len(every), 'request')} between {len(drawing.lanes)} nodes"
    if len(every) > len(shown):
        title += f", the first {len(shown)} of them"
    about = "Lanes are nodes and time runs down; a solid arrow is a request, a dashed one its reply, a cross a request without one."
    parts = [drawing.legend(len(every)), drawing.lines(), drawing.causes(), drawing.messages(), drawing.labels()]
    return svg.picture(drawing.width, drawing.height, title, about, parts)


def _lane(node: int | None) -> int:
    return ELSEWHERE if node is None or node < 0 else node


class _Drawing:
    """Lanes, heights, and the parts that are drawn with them."""

    def __init__(self, rows: list[Row], uids: Mapping[int, int], width: float) -> None:
        self.rows, self.uids = rows, uids
        askers = dict.fromkeys(_lane(row["node"]) for row in rows)
        self.lanes = list(askers | dict.fromkeys(_lane(row["peer"]) for row in rows))
        self.left, self.top = 84.0, 62.0
        spacing = (width - self.left - 60) / max(1, len(self.lanes) - 1)
        self.spacing = min(max(spacing, LEAST_LANE), MOST_LANE)
        self.x = {lane: self.left + i * self.spacing for i, lane in enumerate(self.lanes)}
        self.width = max(self.left + (len(self.lanes) - 1) * self.spacing + 60, 470.0)
        self.start = rows[0]["time"] if rows else 0.0
        self.asked, self.answered = self._heights()
        self.height = max([self.top + 20, *self.asked, *self.answered.values()]) + 24

    def _heights(self) -> tuple[list[float], dict[int, float]]:
        """How far down each request begins, and each reply (by the number of its request) arrives."""
        moments = [(row["time"], 0, i) for i, row in enumerate(self.rows)]
        moments += [(row["time"] + row["rtt"], 1, i) for i, row in enumerate(self.rows) if row["rtt"] is not None]
        asked, answered = [0.0] * len(self.rows), {}
        y, before, cause = self.top, self.start, ""
        for moment, is_reply, i in sorted(moments):
            y += 14 + min(18.0, 6 * math.log1p(max(0.0, 1000 * (moment - before))))
            if not is_reply and self.rows[i]["cause"] != cause:
                cause, y = self.rows[i]["cause"], y + 18
            before = moment
            if is_reply:
                answered[i] = y
            else:
                asked[i] = y
        return asked, answered

    def ms(self, moment: float) -> str:
        return f"{1000 * (moment - self.start):.2f}"

    def name(self, lane: int) -> str:
        return "elsewhere" if lane == ELSEWHERE else svg.name_of(lane, self.uids.get(lane))

    def legend(self, total: int) -> str:
        kinds = dict.fromkeys(KINDS.get(row["verb"], READS) for row in self.rows)
        entries = [("square", colour, meaning) for meaning, colour in kinds]
        if any(row["rtt"] is None for row in self.rows):
            entries.append(("cross", FAILED, "no reply"))
        if not entries:
            return svg.text(14, 18, "no messages", kind="soft")
        x = self.width - 14
        said = f"the first {len(self.rows)} of {total} requests" if total > len(self.rows) else "solid: request, dashed: reply"
        return svg.legend(entries, 14, 18) + svg.text(x, 18, said, kind="soft", anchor="end", size=11)

    def lines(self) -> str:
        """The lanes and their names; the unit of the times."""
        foot = self.height - 12
        drawn = "".join(f"M{n(x)} {n(self.top)}V{n(foot)}" for x in self.x.values())
        stagger = self.spacing < svg.width_of(max(map(self.name, self.lanes), key=len, default=""), 12) + 6
        names = [
            svg.text(x, self.top - (8 if not stagger or i % 2 else 22), self.name(lane), kind="bold", anchor="middle")
            for i, (lane, x) in enumerate(self.x.items())
        ]
        unit = svg.text(14, self.top - 8, "ms", kind="soft", size=11) if self.rows else ""
        return f'<path class="line" stroke="#aaa" fill="none" d="{drawn}"/>' + "".join(names) + unit

    def causes(self) -> str:
        """A line across where another call's requests begin, with the call's name."""
        parts, cause = [], ""
        for row, y in zip(self.rows, self.asked, strict=True):
            if row["cause"] != cause:
                cause = row["cause"]
                parts.append(f'<path class="faint" stroke="#ddd" fill="none" d="M12 {n(y - 26)}H{n(self.width - 12)}"/>')
                parts.append(svg.text(14, y - 13, cause, kind="bold halo", size=11))
        return "".join(parts)

    def messages(self) -> str:
        """Two arrows for each request, or one to a cross."""
        parts = []
        for i, row in enumerate(self.rows):
            colour = KINDS.get(row["verb"], READS)[1]
            asker, peer, y = self.x[_lane(row["node"])], self.x[_lane(row["peer"])], self.asked[i]
            who = f"{self.name(_lane(row['node']))} → {self.name(_lane(row['peer']))}"
            said, heard = row.get("words") or ("", "")
            sent = f"{row['verb']} · {who} · at {self.ms(row['time'])} ms"
            if i not in self.answered:
                tip = _tip(f"{sent} · {row['outcome']}", said or heard)
                body = _arrow(asker, y, peer, y + 8, FAILED, head=False) + svg.mark("cross", peer, y + 8, 4.5, FAILED)
                parts.append(_message(i, tip, body, asker, y, peer, y + 8))
                continue
            end = self.answered[i]
            middle = (y + end) / 2
            parts.append(_message(i, _tip(sent, said), _arrow(asker, y, peer, middle, colour), asker, y, peer, middle))
            back = f"{row['outcome']} · {who.replace('→', '←')} · after {1000 * row['rtt']:.2f} ms"
            reply = _arrow(peer, middle, asker, end, colour, dashed=True)
            parts.append(_message(i, _tip(back, heard), reply, peer, middle, asker, end))
        return "".join(parts)

    def labels(self) -> str:
        """What each arrow says, beside the asker's lane, and the times of asking at the left, while there is room."""
        labels, times = svg.Labels(10.5), svg.Labels(10.5)
        for i, row in enumerate(self.rows):
            x, peer, y = self.x[_lane(row["node"])], self.x[_lane(row["peer"])], self.asked[i]
            side = 1 if peer >= x else -1
            anchor = "start" if side > 0 else "end"
            labels.place(x + 12 * side, y + 3.5, row["verb"], anchor=anchor)
            labels.place(x + 12 * side, self.answered.get(i, y + 12) + 3.5, row["outcome"], anchor=anchor, kind="soft halo")
            times.place(self.left - 34, y + 3.5, self.ms(row["time"]), anchor="end", kind="soft halo")
        return "".join([*times.parts, *labels.parts])


def _tip(head: str, words: str) -> str:
    return svg.safe(head) + (f"\n{svg.safe(words)}" if words else "")


def _message(number: int, tip: str, body: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """One arrow, wide enough for a pointer to meet."""
    catch = f'<path d="M{n(x1)} {n(y1)}L{n(x2)} {n(y2)}" fill="none" stroke="#000" stroke-opacity="0" stroke-width="9"/>'
    return f'<g class="p2p-message" data-row="{number}"><title>{tip}</title>{body}{catch}</g>'


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False, head: bool = True) -> str:
    """A line with a head at its end: filled on a request, open on a reply."""
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    dash = ' stroke-dasharray="5 3" stroke-opacity=".9"' if dashed or not head else ""
    thick = n(1.5 * svg.look().thick)
    line = f'<path d="M{n(x1)} {n(y1)}L{n(x2)} {n(y2)}" fill="none" stroke="{colour}" stroke-width="{thick}"{dash}/>'
    if not head:
        return line
    back = [(x2 - 8 * dx + 3.5 * side * dy, y2 - 8 * dy - 3.5 * side * dx) for side in (1, -1)]
    points = [back[0], (x2, y2), back[1]]
    path = "".join(f"{'ML'[i > 0]}{n(x)} {n(y)}" for i, (x, y) in enumerate(points))
    paint = f'fill="none" stroke="{colour}" stroke-width="{thick}"' if dashed else f'fill="{colour}"'
    return line + f'<path d="{path}{"" if dashed else "Z"}" {paint}/>'
