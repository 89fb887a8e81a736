"""How long something takes or lasts: distributions that draw from a `random.Random`, with their survival functions in closed form.

    cluster.churn(Weibull(), away=Lognormal(300))
    Cluster.launch(100, network="virtual", latency=Lognormal(0.05, sigma=0.4))

Wherever one of them will do, so will anything of yours with such a `draw`. All times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from p2pnb.brief import brief
from p2pnb.cluster.amounts import above, as_number, at_least


class Sessions(Protocol):
    """How long something lasts."""

    def draw(self, rng: Random) -> float: ...


Seconds = float | Callable[[Random], float] | Sessions


@dataclass(frozen=True, slots=True)
class Weibull:
    """`shape` below 1: the longer it has lasted, the longer it will. By default the sessions of Kademlia's figure 3."""

    shape: float = 0.394
    scale: float = 48.6 * 60

    def __post_init__(self) -> None:
        above(0, self, "shape", "the shape of a Weibull distribution is a number above 0")
        above(0, self, "scale", "the scale of a Weibull distribution is a number of seconds above 0")

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
        above(0, self, "median", "the median of a lognormal distribution is a number of seconds above 0")
        above(0, self, "sigma", "the sigma of a lognormal distribution is a number above 0")

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
        above(0, self, "mean", "the mean of an exponential distribution is a number of seconds above 0")

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
        at_least(0, self, "seconds", "a time is a number of seconds, 0 or more")

    def draw(self, rng: Random) -> float:  # noqa: ARG002 (nothing is left to chance)
        return self.seconds


def drawn(seconds: Any) -> bool:
    """Whether it is drawn anew each time: by a distribution, or by a function of a `random.Random`."""
    return callable(seconds) or hasattr(seconds, "draw")


def drawing(seconds: Any) -> Callable[[Random], float]:
    """The function that draws from it, which raises `ValueError` where somebody's own gives no time."""
    draw: Callable[[Random], Any] = seconds.draw if hasattr(seconds, "draw") else seconds

    def draw_checked(rng: Random) -> float:
        value = draw(rng)
        plain = as_number(value)
        if plain is None or plain < 0:
            raise ValueError(f"{getattr(seconds, '__name__', seconds)} gave {value!r}, and a time is a number of seconds, 0 or more")
        return plain

    return draw_checked


def try_out(seconds: Any, what: str) -> None:
    """Draws once, so that what cannot work is refused where it is written. Raises `TypeError` and `ValueError` that say `what` it is."""
    if isinstance(seconds, type):
        raise brief(TypeError(f"{what}, not the class {seconds.__name__}: write {seconds.__name__}(…)"))
    try:
        drawing(seconds)(Random(0))
    except Exception as error:
        raise brief(ValueError(f"{what}; this one failed: {error}")) from error


def as_latency(latency: Any) -> float | Callable[[Random], float]:
    """The latency of a wire, for the wire: a number of seconds, or what draws one. Raises `TypeError` and `ValueError`."""
    what = "a latency is a number of seconds, 0 or more, a distribution such as Lognormal(0.05), or a function of a random.Random"
    if drawn(latency):
        try_out(latency, what)
        return drawing(latency)
    plain = as_number(latency)
    if plain is None or plain < 0:
        raise brief(ValueError(f"{what}, not {latency!r}"))
    return plain
