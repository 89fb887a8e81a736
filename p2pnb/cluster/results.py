"""What calls return, dressed for a notebook: the peer's own results, with a picture, a table and positions of nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from p2pnb.brief import Done
from p2pnb.dht import lookup as decided
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.errors import ClusterClosed
from p2pnb.peer import bags
from p2pnb.uid import Key, as_key, common_prefix_length, short
from p2pnb.views import cards, frames, pictures
from p2pnb.views.frames import Frame
from p2pnb.views.trie import RECORD, trie
from p2pnb.wire.contact import Contact
from p2pnb.words import counted

if TYPE_CHECKING:
    from p2pnb.cluster.node import Node
    from p2pnb.dht.candidate import Event
    from p2pnb.views.widgets.steps import Replay

PositionOf = Callable[[int | None], int | None]


def lookup_rows(events: Iterable[Event], position_of: PositionOf) -> list[dict[str, Any]]:
    """The rows of `frames.lookup`, with the `address` of each contact."""
    return [
        {
            "time": event.time,
            "event": event.event,
            "uid": event.contact.uid,
            "peer": position_of(event.contact.uid),
            "hop": event.hop,
            "told_by": event.referrer,
            "address": event.contact.address,
        }
        for event in events
    ]


class Lookup:
    """A lookup that has ended. A cell that ends with it shows it over time.

    `.nearest`: the contacts that answered, nearest first; `.hops`: referrals until the nearest was known (1: it was in the
    own table); `.rpcs`: requests; `.dials`: how many of them opened a connection; `.failed`: how many had no good answer;
    `.duration_s`: seconds; `.frame()`: one row a step.

    Example: `trace = await node.lookup(key)`.
    """

    def __init__(self, lookup: decided.Lookup | PolicyLookup, position_of: PositionOf) -> None:
        self.target = Key.from_int(lookup.target)
        self.nearest: list[Contact] = lookup.nearest
        self.hops = lookup.hops
        self.rpcs = lookup.rpcs
        self.dials = lookup.dials
        self._own = lookup.own
        self._position_of = position_of
        self._rows = lookup_rows(lookup.events, position_of)
        times = [row["time"] for row in self._rows]
        self.duration_s: float = max(times) - min(times) if times else 0.0
        self.failed = sum(row["event"] in {"failed", "refuted"} for row in self._rows)

    def frame(self) -> Frame:
        """One row a step: `time_ms`, `event`, `peer` (position), `id`, `shared_bits`, `hop`, `teller` (position), `told_by` (uid), `uid`.

        Example: `trace.frame()`.
        """
        return frames.lookup(self._rows, self.target.int)

    def picture(self) -> str:
        """The lookup over time, as SVG text.

        Example: `open("lookup.svg", "w").write(trace.picture())`.
        """
        return pictures.lookup(self._rows, self.target.int, own=self._own)

    def animate(self) -> Replay:
        """The lookup as it went, slowed down: play, pause, step or scrub. It needs no kernel any more.

        Example: `(await node.lookup(key)).animate()`.
        """
        from p2pnb.views.widgets.steps import Replay  # noqa: PLC0415

        return Replay(self._rows, self.target, self._own, f"{self.duration_s * 1000:.1f} ms: {self._found()}")

    def _found(self) -> str:
        effort = f"{counted(self.hops, 'hop')}, {counted(self.rpcs, 'request')}, {counted(self.dials, 'dial')}"
        return f"{len(self.nearest)} nearest found in {effort}"

    def __repr__(self) -> str:
        return f"<lookup of {short(self.target)}: {self._found()}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = {
            "target": self.target,
            "node": self._position_of(self._own),
            "hops": self.hops,
            "rpcs": self.rpcs,
            "failed": self.failed or None,
            "duration_s": self.duration_s,
            "nearest": [
                (self._position_of(each.uid), each.uid, common_prefix_length(each.uid or 0, self.target.int)) for each in self.nearest
            ],
        }
        return cards.mimebundle(*cards.lookup_card(summary, picture=self.picture()))


class BagResult(bags.BagResult):
    """Values of a bag, best first: a list of 32-byte `Key`s, and a picture with publishers when a cell ends with it.

    `.entries` has for each value its publishers, the age of its newest vote in seconds, and how many replicas list it.

    Example: `popular = await node.bag_popular(key_of(b"cats"))`.
    """

    @classmethod
    async def of(cls, result: Awaitable[bags.BagResult], key: bytes | str) -> BagResult:
        """A peer's own result, dressed for a notebook. Example: `await BagResult.of(node.peer.bag_popular(key), key)`."""
        plain = await result
        made = cls(plain.kind, plain.entries)
        made[:] = map(Key, plain)
        made.key = as_key(key)
        return made

    key: Key

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return cards.mimebundle(*cards.bag_card({"kind": self.kind, "key": self.key, "entries": map(asdict, self.entries)}))


class Nodes(list["Node"], Done):
    """Some nodes of a cluster: a list, and a picture of where they stand among all others when a cell ends with it.

    `rows` gives the rows of all nodes; `meaning` is what these are to the rest, alive and dead; `key` is marked, too.

    Example: `cluster.holders(key)`.
    """

    def __init__(
        self, nodes: Iterable[Node], rows: Callable[[], list[dict[str, Any]]], meaning: tuple[str, str] = RECORD, key: Key | None = None
    ) -> None:
        super().__init__(nodes)
        self.key = key
        self._rows = rows
        self._meaning = meaning

    def picture(self) -> str:
        """All nodes of the cluster by uid, with these marked, as SVG text. Raises `ClusterClosed`.

        Example: `cluster.holders(key).picture()`.
        """
        held = {node.position for node in self}
        return trie(self._rows(), holders=held, meaning=self._meaning, key=None if self.key is None else self.key.int)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = {"nodes": [(node.position, node.alive) for node in self], "meaning": self._meaning, "key": self.key}
        try:
            picture = self.picture()
        except ClusterClosed:
            picture = ""
        return cards.mimebundle(*cards.nodes_card(summary, picture=picture))


class Invite(str):
    """The line to paste on another machine; `str(invite)` is the line itself.

    Example: `print(cluster.invite())`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
