"""Faults as data: what may be wrong with wires, machines and people, each a small frozen record that a cell can read aloud.

    faults = cluster.faults(Latency(0.05, jitter=0.02), Loss(0.1), Liars(cluster[3:6], lies="values"))
    cluster.faults()                # what is wrong at the moment
    faults.frame()                  # what happened, when, and to whom
    faults.stop()                   # all of it is mended

A fault says what is wrong and with whom, and does nothing: `injection.py` does it to a network. `nodes` is a node, a list of
nodes, a share (0.3: that many of the living, drawn with the cluster's seed when the fault begins), or None for all. Every
number is checked where it is written. Seconds and bytes everywhere.

Wires can only be bent where they are pretended: `Latency`, `Loss`, `Partition` and `SlowReaders` need `network="memory"` or
`"virtual"`. What is wrong with machines and people is so on real sockets, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from p2pnb.brief import brief
from p2pnb.cluster.amounts import above, at_least, share, yes_or_no
from p2pnb.cluster.distributions import Seconds, as_latency, drawing, drawn
from p2pnb.net.memory import Condition

Whom = Any  # a Node, several, a share of 0 to 1, or None for all of them

MOST_NAMED = 8  # nodes that are named where a fault is shown
LIES = ("values", "contacts", "namespaces", "bags", "promises")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What all faults have in common: whom they befall."""

    wires: ClassVar[bool] = False  # whether it bends a wire, which takes a pretended one

    @property
    def name(self) -> str:
        """As in the frames: "latency", "slow readers"."""
        return re.sub("(?<=[a-z])(?=[A-Z])", " ", type(self).__name__).lower()

    @property
    def whom(self) -> Whom:
        return getattr(self, "nodes", None)

    def __str__(self) -> str:
        """As one would write it: what comes first, and of the rest what is not so by default."""
        values = {each: getattr(self, each.name) for each in fields(self)}
        shown = [
            f"{each.name}={_shown(value)}"
            for place, (each, value) in enumerate(values.items())
            if value != each.default or (place == 0 and value is not None)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Latency(Fault):
    """Everything to and from `nodes` takes `seconds` one way, up to `jitter` seconds more or less (uniform).

    `seconds` may be a distribution, such as `Lognormal(0.05)`, or a function `seconds(rng)`, drawn anew each time. Where several
    latencies meet, the newest one holds. `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all.
    Raises `ValueError` for less than 0 s, and for what draws no such number.
    """

    seconds: Seconds = 0.05
    jitter: float = 0.0
    nodes: Whom = None
    wires: ClassVar[bool] = True

    def __post_init__(self) -> None:
        steady = as_latency(self.seconds)
        at_least(0, self, "jitter", "jitter is a number of seconds, 0 or more")
        if callable(steady):
            if self.jitter:
                raise brief(ValueError("what is drawn anew each time has its own jitter: leave out one of the two"))
            return
        object.__setattr__(self, "seconds", steady)
        if self.jitter > steady:
            raise brief(ValueError(f"with {steady:g} s of latency, {self.jitter:g} s of jitter would let something arrive too early"))

    def bend(self, wire: Condition) -> None:
        """Applies it to one direction of one wire."""
        seconds: Any = self.seconds
        if drawn(seconds):
            wire.latency = drawing(seconds)
        elif not self.jitter:
            wire.latency = seconds
        else:
            least, most = seconds - self.jitter, seconds + self.jitter
            wire.latency = lambda rng: rng.uniform(least, most)


@dataclass(frozen=True, slots=True)
class Loss(Fault):
    """A `share` of what is sent to and from `nodes` is lost, and sent again later: 0.2 s, then 0.4 s, as TCP does on Linux.

    `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all. Several losses add up: of two halves, a
    quarter arrives at once. Raises `ValueError` for a share outside of 0 to 1.
    """

    share: float = 0.1
    nodes: Whom = None
    wires: ClassVar[bool] = True

    def __post_init__(self) -> None:
        share(self, "share", "a loss")

    def bend(self, wire: Condition) -> None:
        wire.loss = 1 - (1 - wire.loss) * (1 - self.share)


@dataclass(frozen=True, slots=True)
class Partition(Fault):
    """Between `nodes` and the `others` (default: all others) nothing passes. `one_way`: what `nodes` say is lost, but they hear.

    `nodes`, `others`: a node, a list of them, or a share of the living (0.0 to 1.0). Who joins later is one of the others. Raises
    `ValueError` for no nodes.
    """

    nodes: Whom = 0.5
    others: Whom = None
    one_way: bool = False
    wires: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.nodes is None:
            raise brief(ValueError("a partition parts some from the others: Partition(cluster[:5]), or Partition(0.5)"))
        yes_or_no(self, "one_way")

    def bend(self, wire: Condition) -> None:
        wire.blocked = True


@dataclass(frozen=True, slots=True)
class SlowReaders(Fault):
    """`nodes` take no more than `bytes_a_second` from each connection. 0: nothing at all.

    `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all. Raises `ValueError` for less than 0.
    """

    nodes: Whom = 0.1
    bytes_a_second: float = 1_000.0
    wires: ClassVar[bool] = True

    def __post_init__(self) -> None:
        at_least(0, self, "bytes_a_second", "a reader takes 0 bytes a second or more")

    def bend(self, wire: Condition) -> None:
        wire.rate = min(wire.rate, max(self.bytes_a_second, 1e-9))


@dataclass(frozen=True, slots=True)
class Resets(Fault):
    """Every `every` seconds a `share` of the open connections of `nodes` is reset, each drawn by itself.

    `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all. Raises `ValueError` for a share outside of
    0 to 1, and for 0 s and less.
    """

    share: float = 0.1
    every: float = 10.0
    nodes: Whom = None

    def __post_init__(self) -> None:
        share(self, "share", "what is reset")
        above(0, self, "every", "`every` is a number of seconds above 0")


@dataclass(frozen=True, slots=True)
class Crash(Fault):
    """`nodes` die at once, and come back `back_after` seconds later (None: never). `silent`: as a black hole, without a reset.

    With `disk` they come back with the records that they kept, as from a disk; without one, with nothing but their identity.
    `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all. Raises `ValueError` for less than 0 s.
    """

    nodes: Whom = 0.5
    back_after: float | None = None
    silent: bool = False
    disk: bool = False

    def __post_init__(self) -> None:
        if self.back_after is not None:
            at_least(0, self, "back_after", "`back_after` is a number of seconds, 0 or more, or None")
        yes_or_no(self, "silent", "disk")


@dataclass(frozen=True, slots=True)
class Skew(Fault):
    """The clocks of `nodes` jump `ahead` seconds, and then run at `rate` (2.0: twice as fast). They never run backwards.

    Stopping it sets the rate right; what they are ahead, they stay ahead. Rates of several skews are multiplied. `nodes`: a node, a
    list of them, a share of the living (0.0 to 1.0), or None for all. Raises `ValueError` for less than 0 s, and a rate of 0 or less.
    """

    nodes: Whom = None
    ahead: float = 0.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, self, "ahead", "a clock never runs backwards: `ahead` is a number of seconds, 0 or more")
        above(0, self, "rate", "a clock never runs backwards: its `rate` is a number above 0")


@dataclass(frozen=True, slots=True)
class DiskErrors(Fault):
    """Disks of `nodes` fail: what they are given to keep is answered #f, and they live.

    In a cluster with `store=`, a `share` of the nodes' commits meets an input/output error where the file is written. All that was in such
    a commit is refused, and all that comes within a second of it; then it is tried again. Nodes without a store have no disk: they answer
    #f to a `share` of the requests to keep something, as if they had one. `nodes`: a node, a list of them, a share of the living
    (0.0 to 1.0), or None for all. Raises `ValueError` for a share outside of 0 to 1.
    """

    nodes: Whom = None
    share: float = 1.0

    def __post_init__(self) -> None:
        share(self, "share", "what fails")


@dataclass(frozen=True, slots=True)
class Liars(Fault):
    """`nodes` lie to everybody who asks. `lies`, one or several of:

    - "values": another value than the one that was asked for;
    - "contacts": 20 peers that do not exist, each nearer than the last;
    - "namespaces": the oldest version of an entry that they ever saw;
    - "bags": a hundred inventions that a million publishers are said to have voted for;
    - "promises": that a record was stored, which they throw away.

    `nodes`: a node, a list of them, a share of the living (0.0 to 1.0), or None for all. Raises `ValueError` for any other lie.
    """

    nodes: Whom = 0.1
    lies: str | tuple[str, ...] = "values"

    def __post_init__(self) -> None:
        if not isinstance(self.lies, (str, tuple, list)) or not self.lies:
            raise brief(ValueError(f"`lies` is one or several of {', '.join(LIES)}, not {self.lies!r}"))
        for lie in self.told:
            if lie not in LIES:
                raise brief(ValueError(f"{lie!r} is no lie that is known here: there are {', '.join(LIES)}"))

    @property
    def told(self) -> tuple[str, ...]:
        return (self.lies,) if isinstance(self.lies, str) else tuple(self.lies)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value and hasattr(value[0], "position"):
        named = [str(each.position) for each in value[:MOST_NAMED]]
        return f"[{', '.join(named)}{', …' * (len(value) > MOST_NAMED)}]"
    if hasattr(value, "position"):
        return f"[{value.position}]"
    return value.__name__ if hasattr(value, "__name__") else str(value)
