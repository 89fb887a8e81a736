"""A cluster's state as DataFrames. Rows are read on the cluster's thread, all at one moment; frames are made on the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from p2pnb import spec
from p2pnb.brief import brief
from p2pnb.cluster.base import Base
from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node
from p2pnb.cluster.results import Nodes
from p2pnb.cluster.watch import Last
from p2pnb.dht.store import KINDS, key_of_request
from p2pnb.peer.report import Report
from p2pnb.uid import Key, as_key, siphashed
from p2pnb.views import frames
from p2pnb.views.frames import Frame
from p2pnb.wire.messages import Set

T = TypeVar("T")


class Tables(Base):
    """What of a `Cluster` reads and changes nothing."""

    def _node(self, member: Member) -> Node:
        node = self._nodes.get(member)
        if node is None:
            node = self._nodes[member] = Node(self, member)
        return node

    def _own(self, node: Any, hint: str) -> Member:
        """The member behind `node`. Raises `TypeError` with this `hint` for what is no node, `ValueError` for another cluster's."""
        if not isinstance(node, Node):
            raise brief(TypeError(hint))
        if self._nodes.get(node._member) is not node:
            raise brief(ValueError(f"{node!r} belongs to another cluster"))
        return node._member

    def _listed(self, members: Iterable[Member], meaning: tuple[str, str], key: Key | None = None) -> Nodes:
        return Nodes(map(self._node, members), lambda: self._on_thread(self._rows), meaning, key)

    def nodes(self) -> Frame:
        """One row a node: `id`, `alive`, address, counts of contacts, links, records and requests, `uid`.

        Example: `cluster.nodes()["port"]`.
        """
        return frames.nodes(self._on_thread(self._rows))

    def routing(self) -> Frame:
        """The routing tables of all living nodes, one row a contact.

        Example: `cluster.routing()`.
        """
        return frames.routing(self._on_thread(self._all_contacts))

    def values(self) -> Frame:
        """One row a stored copy of a value.

        Example: `cluster.values()`.
        """
        return frames.values(self._stored("values"))

    def bag(self, key: bytes | str) -> Frame:
        """The bag of `key` as all its holders together have it: one row a value.

        Example: `cluster.bag(key_of(b"cats"))`.
        """
        topic = as_key(key).int
        return frames.bag(row for row in self._stored("bags") if row["key"] == topic)

    def where(self, key: bytes | str) -> Frame:
        """Where the record at `key` is, and where it should be: a row for each of the 20 nearest living nodes, and whoever else has it.

        `rank` counts those nearer to the key. Ranked below `replication` a node `should_hold` the record, below 20 it `may_hold` it.
        `kind`: "value", "bag" or "namespace" (whose key is `namespace.key(name)`); `age_s`: seconds since it was set or renewed,
        rounded up as a hand-over states it.

        Example: `cluster.where(key)`.
        """
        wanted = as_key(key).int
        return frames.where(self._on_thread(lambda: self._holdings(wanted)), wanted, self._network.settings.replication)

    def to_networkx(self) -> Any:
        """The network as a `networkx.DiGraph`: nodes by position, an edge to each contact in a node's table (not its caches).

        Nodes have the columns of `cluster.nodes()` as attributes, edges `bucket`, `age_s` and `rtt_ms` (None until measured).
        Raises `ImportError` where networkx is not installed.

        Example: `graph = cluster.to_networkx()`.
        """
        try:
            import networkx  # noqa: PLC0415 (only here, and nothing else needs it)
        except ImportError:
            raise ImportError("to_networkx needs networkx: run `%pip install networkx`, and call it again") from None
        nodes, contacts = self._on_thread(lambda: (self._rows(), self._all_contacts()))
        graph = networkx.DiGraph()
        graph.add_nodes_from((row["node"], {**row, "uid": frames.full_hex(row["uid"])}) for row in nodes)
        graph.add_edges_from(
            (row["node"], row["peer"], {name: None if row[name] != row[name] else row[name] for name in ("bucket", "age_s", "rtt_ms")})
            for row in contacts
            if row["peer"] is not None and not row["cached"]
        )
        return graph

    def namespaces(self) -> Frame:
        """One row a stored version of a signed entry.

        Example: `cluster.namespaces()`.
        """
        return frames.namespaces(self._stored("namespaces"))

    def traffic(self, by: str = "verb") -> Frame:
        """One row a verb: requests, failures, bytes, median and 95th percentile in ms (of the newest 50,000 requests).

        With `by="peer"` one row for each node and each peer that it ever had a link to: open links, requests and bytes each way,
        records `refused`, links that ended and why, bytes stored for it and charged to it within the hour. A stranger who never
        proved a uid is a row by his address.

        Raises `ValueError` for any other `by`. Example: `cluster.traffic()`, or `cluster.traffic(by="peer")`.
        """
        if by == "peer":
            return frames.dealings(self._on_thread(self._dealings))
        if by != "verb":
            raise brief(ValueError(f'traffic is by "verb" or by "peer", not {by!r}'))
        return frames.traffic(self._on_thread(self._network.log.rows))

    def events(self) -> Frame:
        """One row a request, with the call that caused it, or "upkeep" (the newest 50,000).

        Example: `cluster.events().query('cause == "upkeep"')`.
        """
        return frames.events(self._on_thread(self._network.log.rows))

    def _stored(self, kind: str) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = []
            for member in self._network.living:
                peer = member.living()
                rows += [{"node": member.position, **row} for row in peer.store.rows(peer.clock())[kind]]
            return rows

        return self._on_thread(read)

    def _dealings(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for member in self._network.living:
            peer, endpoint = member.living(), member.endpoint
            now = peer.clock()
            stored = peer.store.stored_for(now)
            for row in endpoint.traffic() if endpoint is not None else ():
                uid = row["uid"]
                quota = peer.store.quota.spent(uid, now) if uid is not None else 0
                sums = {"refused": peer.responder.refused.get(uid, 0), "stored": stored.get(uid, 0), "quota": quota}
                peer_position = None if uid is None else self.position_of(uid)
                rows.append({**row, **sums, "node": member.position, "peer": peer_position})
        return rows

    def _holdings(self, key: int) -> list[dict[str, Any]]:
        """A row for each living node and kind of record that it has at `key`, and one with no kind for a node that has none."""
        rows: list[dict[str, Any]] = []
        for member in self._network.living:
            peer = member.living()
            record = peer.store.record(key, peer.clock())
            ages: dict[str, float] = {}
            for request in () if record is None else record.requests:
                kind = KINDS[type(request)]
                ages[kind] = min(ages.get(kind, spec.EXPIRY), float(request.age or 0))
            rows += [
                {"node": member.position, "uid": member.uid.int, "kind": kind, "age_s": age}
                for kind, age in ages.items() or [(None, None)]
            ]
        return rows

    def _lookups(self, member: Member) -> list[dict[str, Any]]:
        if member.peer is None:
            return []
        began = self._network.log.began
        return [{**looked._asdict(), "time": looked.time - began} for looked in member.peer.lookups]

    def _published(self, member: Member) -> list[dict[str, Any]]:
        peer = member.peer
        if peer is None:
            return []
        renewals, rows, now = {} if peer.upkeep is None else peer.upkeep.renewals, [], peer.clock()
        for name, request in peer.published.items():
            key, last = key_of_request(request) if isinstance(request, Set) else request.key, renewals.get(name)
            age, replicas, trouble = (None, None, "") if last is None else (now - last.moment, last.replicas, last.trouble)
            rows.append({"kind": KINDS[type(request)], "key": key, "renewed_s": age, "replicas": replicas, "trouble": trouble})
        return rows

    def _routing_rows(self, member: Member) -> list[dict[str, Any]]:
        """The rows of one node's table; empty while it is down."""
        return self._on_thread(lambda: self._contacts(member))

    def _all_contacts(self) -> list[dict[str, Any]]:
        return [row for member in self._network.living for row in self._contacts(member)]

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
            "bags": len({siphashed(key) for store in stores for key in store.bags.keys()}),
            "namespaces": len({key for store in stores for key in store.namespaces.keys()}),
            "uptime_s": self._home.loop.time() - self._network.log.began,
        }
