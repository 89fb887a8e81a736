"""What a peer remembers of its own doings: an `Event` for each request it made, a `Looked` for each lookup, a `Report` of its last call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One request and what came of it, as the asking peer saw it.

    `time` is the clock's at asking, in seconds; `rtt` in seconds, None where no reply came; `outcome` the kind of the
    reply, or why there was none; `cause` the call that it served, or "upkeep". `words`: request and reply, or the text that is
    shown in the place of one, of the causes for which somebody wants them.
    """

    time: float
    node: int
    peer: int | None
    verb: str
    outcome: str
    bytes_out: int
    bytes_in: int
    rtt: float | None
    cause: str
    words: list[Any] | None = None


class Looked(NamedTuple):
    """A lookup that has ended, in short: `time` on the clock at its beginning and `duration` in seconds, `failed` of its `rpcs`.

    `verb` is what everybody was asked; `found` whether somebody had the record, None where none was looked for.
    """

    time: float
    target: int
    verb: str
    hops: int
    rpcs: int
    dials: int
    failed: int
    duration: float
    found: bool | None
    cause: str


class Renewal(NamedTuple):
    """The last renewal of a record that a peer published: `moment` on its clock, how many replicas took it, and why none did."""

    moment: float
    replicas: int
    trouble: str


@dataclass(slots=True)
class Report:
    """What became of one call of a procedure: replicas that took the record, and why something did not work.

    `own`: this peer is one of the replicas that `stored` counts.
    `spare` counts copies at peers that were thought to be among the nearest and are not: no replicas, they expire.
    """

    procedure: str
    cause: str
    stored: int = 0
    own: bool = False
    refused: int = 0
    failed: int = 0
    spare: int = 0
    wanted: int = 0
    reason: str = ""
    facts: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.procedure]
        if self.wanted:
            spare = f", and {self.spare} farther away" if self.spare else ""
            parts.append(f"{self.stored} of {self.wanted} replicas took it, {self.refused} refused, {self.failed} failed{spare}")
        if self.reason:
            parts.append(self.reason)
        parts += [f"{name} {value}" for name, value in self.facts.items()]
        return ": ".join(parts[:1]) + (" — " + "; ".join(parts[1:]) if parts[1:] else "")


def forget(_: Event) -> None:
    """The log of a peer whose requests nobody records."""
