"""A cluster's state as DataFrames. Rows are read on the cluster's thread, all at one moment; frames are made on the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from p2pnb.cluster.base import Base
from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node
from p2pnb.cluster.results import Nodes
from p2pnb.cluster.watch import Last
from p2pnb.peer.report import Report
from p2pnb.uid import Key, as_key
from p2pnb.views import frames
from p2pnb.views.frames import Frame

T = TypeVar("T")


class Tables(Base):
    """What of a `Cluster` reads and changes nothing."""

    def _node(self, member: Member) -> Node:
        node = self._nodes.get(member)
        if node is None:
            node = self._nodes[member] = Node(self, member)
        return node

    def _listed(self, members: Iterable[Member], meaning: tuple[str, str], key: Key | None = None) -> Nodes:
        return Nodes(map(self._node, members), lambda: self._on_thread(self._rows), meaning, key)

    def nodes(self) -> Frame:
        """One row a node: `id`, `alive`, address, counts of contacts, links, records and requests, `uid`."""
        return frames.nodes(self._on_thread(self._rows))

    def routing(self) -> Frame:
        """The routing tables of all living nodes, one row a contact."""
        return frames.routing(self._on_thread(lambda: [row for member in self._network.living for row in self._contacts(member)]))

    def values(self) -> Frame:
        """One row a stored copy of a value."""
        return frames.values(self._stored("values"))

    def bag(self, key: bytes | str) -> Frame:
        """The bag of `key` as all its holders together have it: one row a value."""
        topic = as_key(key).int
        return frames.bag(row for row in self._stored("bags") if row["key"] == topic)

    def namespaces(self) -> Frame:
        """One row a stored version of a signed entry."""
        return frames.namespaces(self._stored("namespaces"))

    def traffic(self) -> Frame:
        """One row a verb: requests, failures, bytes, median and 95th percentile in ms (of the newest 50,000 requests)."""
        return frames.traffic(self._on_thread(self._network.log.rows))

    def events(self) -> Frame:
        """One row a request, with the call that caused it, or "upkeep" (the newest 50,000)."""
        return frames.events(self._on_thread(self._network.log.rows))

    def _stored(self, kind: str) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            now = self._home.loop.time()
            return [
                {"node": member.position, **row} for member in self._network.living for row in member.living().store.rows(now)[kind]
            ]

        return self._on_thread(read)

    def _routing_rows(self, member: Member) -> list[dict[str, Any]]:
        """The rows of one node's table; empty while it is down."""
        return self._on_thread(lambda: self._contacts(member))

    def _contacts(self, member: Member) -> list[dict[str, Any]]:
        if member.peer is None:
            return []
        rows = member.peer.table.rows(member.peer.clock())
        return [
            {**row, "node": member.position, "peer": self.position_of(row["uid"]), "rtt": row["rtt_ms"] / 1000} for row in rows
        ]

    def _node_summary(self, member: Member) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What a node's card shows: its row and its contacts."""
        return self._on_thread(lambda: (member.row(), self._contacts(member)))

    def _last_of(self, member: Member, cause: str) -> Last:
        """The report and the messages of a node's last call."""

        def read() -> Last:
            report = Report(cause.partition("#")[0], cause)  # of a call that ended before the peer began with it, or of none
            if member.peer is not None and member.peer.last.cause == cause:
                report = member.peer.last
            return Last(member.position, report, self._network.log.rows((cause,)))

        return self._on_thread(read)

    def _counts(self) -> dict[str, Any]:
        """How many different records the living nodes hold, and for how long the cluster has been up."""
        stores = [member.living().store for member in self._network.living]
        return {
            "values": len({key for store in stores for key in store.values.keys()}),
            "bags": len({key for store in stores for key in store.bags.keys()}),
            "namespaces": len({key for store in stores for key in store.namespaces.keys()}),
            "uptime_s": self._home.loop.time() - self._network.log.began,
        }
