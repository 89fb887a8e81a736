"""Churn: nodes come and go, each by itself, in sessions whose lengths are drawn from a distribution or read from a recording.

    cluster.churn(Weibull(), away=600)              # each node stays for a drawn time, and is away for ten minutes
    cluster.churn(Recorded(sessions))               # a DataFrame: node, start_s, end_s

How long people stay is not exponential: who has been there for long will stay for long. That is why a routing table prefers
old contacts (the Kademlia paper, section 2.1 and figure 3). The default is the Weibull distribution that fits that figure:
`Weibull().survival(3600, uptime=t)` is the share of those up for t seconds who stay one hour more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from p2pnb.brief import brief
from p2pnb.cluster.amounts import as_number, at_least, yes_or_no
from p2pnb.cluster.distributions import Always, Seconds, Sessions, Weibull, drawing, drawn, try_out
from p2pnb.cluster.faults import Fault, Whom
from p2pnb.words import counted


class Recorded:
    """Sessions that somebody recorded: a DataFrame with the columns `node`, `start_s`, `end_s`, one row a session.

    `node` is a position in the cluster; times are seconds from the moment when the churn begins. Between its sessions a node
    is down. Raises `ValueError` for a missing column, what is no position or no number of seconds, a session that ends before
    it starts, or two of a node that overlap.
    """

    def __init__(self, frame: Any) -> None:
        missing = [name for name in ("node", "start_s", "end_s") if name not in getattr(frame, "columns", ())]
        if missing:
            columns = f"node, start_s and end_s; {', '.join(missing)} is missing"
            raise brief(ValueError(f"recorded sessions are a DataFrame with the columns {columns}"))
        self.of: dict[int, list[tuple[float, float]]] = {}
        for node, start, end in zip(frame["node"], frame["start_s"], frame["end_s"], strict=True):
            position, first, last = as_number(node), as_number(start), math.inf if _endless(end) else as_number(end)
            if position is None or position != int(position):
                raise brief(ValueError(f"a session of node {node!r}: a node is its position in the cluster, an integer"))
            if first is None or last is None or not 0 <= first < last:
                rule = "it starts at 0 or later, and ends after that, in numbers of seconds"
                raise brief(ValueError(f"a session of node {node} from {start} s to {end} s: {rule}"))
            self.of.setdefault(int(position), []).append((first, last))
        for node, sessions in self.of.items():
            sessions.sort()
            for (_, end), (start, _) in itertools.pairwise(sessions):
                if start < end:
                    raise brief(ValueError(f"two sessions of node {node} overlap: one ends at {end:g} s, the next starts at {start:g} s"))

    def __repr__(self) -> str:
        return f"Recorded({counted(sum(map(len, self.of.values())), 'session')} of {counted(len(self.of), 'node')})"


def _endless(end: Any) -> bool:
    return isinstance(end, float) and end == math.inf


@dataclass(frozen=True, slots=True)
class Churn(Fault):
    """`nodes` leave when their `sessions` are over, and are back after `away` (seconds, or a distribution), by themselves.

    They leave like `Crash`: at once, `silent` or with a reset, and come back with their records only where they have a `disk`.
    Whoever is the last one alive stays. `sessions`: a distribution of seconds, such as `Weibull()`, or `Recorded(frame)`. `nodes`: a
    node, a list of them, a share of the living (0.0 to 1.0), or None for all, who join later included. Raises `TypeError` and
    `ValueError` for what draws no seconds.
    """

    sessions: Sessions | Recorded = Weibull()  # noqa: RUF009 (it never changes)
    away: Seconds = 600.0
    nodes: Whom = None
    silent: bool = False
    disk: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.sessions, Recorded):
            kinds = "sessions are Weibull(), Lognormal(…), Exponential(…) or Recorded(frame)"
            if not hasattr(self.sessions, "draw"):
                raise brief(TypeError(f"{kinds}, not {self.sessions!r}"))
            try_out(self.sessions, kinds)
        away = "`away` is a number of seconds, 0 or more, or a distribution"
        if drawn(self.away):
            try_out(self.away, away)
        else:
            at_least(0, self, "away", away)
        yes_or_no(self, "silent", "disk")

    @property
    def absence(self) -> Callable[[Random], float]:
        """Draws how long somebody is away."""
        return drawing(self.away) if drawn(self.away) else Always(self.away).draw  # type: ignore[arg-type]  # it is a number
