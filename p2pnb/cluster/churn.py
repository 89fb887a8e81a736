"""Churn: nodes come and go, each by itself, in sessions whose lengths are drawn from a distribution or read from a recording.

    cluster.churn(Weibull(), away=600)              # each node stays for a drawn time, and is away for ten minutes
    cluster.churn(Recorded(sessions))               # a DataFrame: node, start_s, end_s

How long people stay is not exponential: who has been there for long will stay for long. That is why a routing table prefers
old contacts (the Kademlia paper, section 2.1 and figure 3). The default is the Weibull distribution that fits that figure:
`Weibull().survival(3600, uptime=t)` is the share of those up for t seconds who stay one hour more.

A distribution draws from a `random.Random` and has its survival function in closed form. All times in seconds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from p2pnb.brief import brief
from p2pnb.cluster.faults import Fault, Whom, above, at_least
from p2pnb.words import counted


class Sessions(Protocol):
    """How long something lasts."""

    def draw(self, rng: Random) -> float: ...


@dataclass(frozen=True, slots=True)
class Weibull:
    """`shape` below 1: the longer it has lasted, the longer it will. By default the sessions of Kademlia's figure 3."""

    shape: float = 0.394
    scale: float = 48.6 * 60

    def __post_init__(self) -> None:
        above(0, self.shape, "the shape of a Weibull distribution is a number above 0")
        above(0, self.scale, "the scale of a Weibull distribution is a number of seconds above 0")

    def draw(self, rng: Random) -> float:
        return rng.weibullvariate(self.scale, self.shape)

    def survival(self, seconds: float, uptime: float = 0.0) -> float:
        """The probability that it lasts for `seconds` more, once it has lasted for `uptime`."""
        shape = self.shape
        return math.exp((uptime / self.scale) ** shape - ((uptime + seconds) / self.scale) ** shape)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Half of all last longer than the `median`; `sigma` is the standard deviation of the logarithm."""

    median: float
    sigma: float = 1.0

    def __post_init__(self) -> None:
        above(0, self.median, "the median of a lognormal distribution is a number of seconds above 0")
        above(0, self.sigma, "the sigma of a lognormal distribution is a number above 0")

    def draw(self, rng: Random) -> float:
        return rng.lognormvariate(math.log(self.median), self.sigma)

    def survival(self, seconds: float, uptime: float = 0.0) -> float:
        """The probability that it lasts for `seconds` more, once it has lasted for `uptime`."""
        return self._longer(uptime + seconds) / self._longer(uptime)

    def _longer(self, seconds: float) -> float:
        return 1.0 if seconds <= 0 else math.erfc(math.log(seconds / self.median) / self.sigma / math.sqrt(2)) / 2


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory: however long it has lasted, the `mean` of what is left is the same."""

    mean: float

    def __post_init__(self) -> None:
        above(0, self.mean, "the mean of an exponential distribution is a number of seconds above 0")

    def draw(self, rng: Random) -> float:
        return rng.expovariate(1 / self.mean)

    def survival(self, seconds: float, uptime: float = 0.0) -> float:  # noqa: ARG002 (it has no memory)
        """The probability that it lasts for `seconds` more, however long it has lasted."""
        return math.exp(-seconds / self.mean)


@dataclass(frozen=True, slots=True)
class Always:
    """Always the same time."""

    seconds: float

    def __post_init__(self) -> None:
        at_least(0, self.seconds, "a time is a number of seconds, 0 or more")

    def draw(self, rng: Random) -> float:  # noqa: ARG002 (nothing is left to chance)
        return self.seconds


class Recorded:
    """Sessions that somebody recorded: a DataFrame with the columns `node`, `start_s`, `end_s`, one row a session.

    `node` is a position in the cluster; times are seconds from the moment when the churn begins. Between its sessions a node
    is down. Raises `ValueError` for a missing column, a session that ends before it starts, or two of a node that overlap.
    """

    def __init__(self, frame: Any) -> None:
        missing = [name for name in ("node", "start_s", "end_s") if name not in getattr(frame, "columns", ())]
        if missing:
            columns = f"node, start_s and end_s; {', '.join(missing)} is missing"
            raise brief(ValueError(f"recorded sessions are a DataFrame with the columns {columns}"))
        self.of: dict[int, list[tuple[float, float]]] = {}
        for node, start, end in zip(frame["node"], frame["start_s"], frame["end_s"], strict=True):
            if not 0 <= start <= end or math.isinf(start):
                raise brief(ValueError(f"a session of node {node} from {start} s to {end} s: it starts at 0 or later, and ends after that"))
            self.of.setdefault(int(node), []).append((float(start), float(end)))
        for node, sessions in self.of.items():
            sessions.sort()
            for (_, end), (start, _) in itertools.pairwise(sessions):
                if start < end:
                    raise brief(ValueError(f"two sessions of node {node} overlap: one ends at {end:g} s, the next starts at {start:g} s"))

    def __repr__(self) -> str:
        return f"Recorded({counted(sum(map(len, self.of.values())), 'session')} of {counted(len(self.of), 'node')})"


@dataclass(frozen=True, slots=True)
class Churn(Fault):
    """`nodes` leave when their `sessions` are over, and are back after `away` (seconds, or a distribution), by themselves.

    They leave like `Crash`: at once, `silent` or with a reset, and come back with their records only where they have a `disk`.
    Whoever is the last one alive stays.
    """

    sessions: Sessions | Recorded = Weibull()
    away: float | Sessions = 600.0
    nodes: Whom = None
    silent: bool = False
    disk: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.sessions, Recorded) and not hasattr(self.sessions, "draw"):
            raise brief(TypeError(f"sessions are Weibull(), Lognormal(…), Exponential(…) or Recorded(frame), not {self.sessions!r}"))
        if not hasattr(self.away, "draw"):
            at_least(0, self.away, "`away` is a number of seconds, 0 or more, or a distribution")

    @property
    def absence(self) -> Sessions:
        return self.away if not isinstance(self.away, (int, float)) else Always(self.away)
