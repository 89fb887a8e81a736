"""What calls return, dressed for a notebook: the peer's own results, with a picture, a table and positions of nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from p2pnb.dht import lookup as decided
from p2pnb.peer import bags
from p2pnb.uid import Key, common_prefix_length, short
from p2pnb.views import cards, frames, pictures
from p2pnb.views.frames import Frame
from p2pnb.wire.contact import Contact

PositionOf = Callable[[int | None], int | None]


class Lookup:
    """A lookup that has ended. A cell that ends with it shows it over time.

    `.nearest`: the contacts that answered, nearest first; `.hops`: referrals until the nearest was known (1: it was in the
    own table); `.rpcs`: requests; `.dials`: how many of them opened a connection; `.frame()`: one row a step.
    """

    def __init__(self, lookup: decided.Lookup, position_of: PositionOf) -> None:
        self.target = Key.from_int(lookup.target)
        self.nearest: list[Contact] = lookup.nearest
        self.hops = lookup.hops
        self.rpcs = lookup.rpcs
        self.dials = lookup.dials
        self._own = lookup.own
        self._position_of = position_of
        self._rows: list[dict[str, Any]] = [
            {
                "time": event.time,
                "event": event.event,
                "uid": event.contact.uid,
                "peer": position_of(event.contact.uid),
                "hop": event.hop,
                "told_by": event.referrer,
            }
            for event in lookup.events
        ]

    def frame(self) -> Frame:
        """One row a step: `time_ms`, `event`, `peer` (position), `id`, `shared_bits`, `hop`, `told_by`, `uid`."""
        return frames.lookup(self._rows, self.target.int)

    def picture(self) -> str:
        """The lookup over time, as SVG text."""
        return pictures.lookup(self._rows, self.target.int, own=self._own)

    def __repr__(self) -> str:
        found = f"{len(self.nearest)} nearest found"
        return f"<lookup of {short(self.target)}: {found} in {self.hops} hops, {self.rpcs} requests, {self.dials} dials>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = {
            "target": self.target,
            "node": self._position_of(self._own),
            "hops": self.hops,
            "rpcs": self.rpcs,
            "nearest": [
                (self._position_of(each.uid), each.uid, common_prefix_length(each.uid or 0, self.target.int)) for each in self.nearest
            ],
        }
        return cards.mimebundle(*cards.lookup_card(summary, picture=self.picture()))


class BagResult(bags.BagResult):
    """Values of a bag, 32 bytes each, best first: a list, and a table when a cell ends with it."""

    @classmethod
    async def of(cls, result: Awaitable[bags.BagResult]) -> BagResult:
        plain = await result
        return cls(plain.kind, plain.entries)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        entries = [
            {"value": each.value, "publishers": each.publishers, "age": each.age, "listed_by": each.listed_by, "of": each.of}
            for each in self.entries
        ]
        return cards.mimebundle(*cards.bag_card({"kind": self.kind, "entries": entries}))


class Invite(str):
    """The line to paste on another machine; `str(invite)` is the line itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
