"""What of a cluster is watched as a live picture: the replicas of a record, a bag, a signed entry, a lookup made step by step.

Each is a widget of `views.widgets`, given functions that read the cluster. They read the few nodes nearest to a key, not all.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from p2pnb import spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node, as_name
from p2pnb.cluster.tables import Tables
from p2pnb.cluster.watch import Watch
from p2pnb.dht.namespaces import point_of
from p2pnb.peer.identity import Author, as_public_key
from p2pnb.uid import Key, as_key, short
from p2pnb.wire.messages import Bag

if TYPE_CHECKING:
    from p2pnb.views.widgets.sight import Answers, BagView, Messages, NamespaceView, Replicas
    from p2pnb.views.widgets.steps import Stepper

NEAR = 40  # living nodes around a key that are looked at
COLUMNS = 9  # nodes that the view of an entry has room for


class Sights(Tables):
    """The live pictures of a `Cluster`. Each ends with `close()`, or with the cluster, and leaves its picture."""

    def replicas_view(self, key: bytes | str) -> Replicas:
        """Who holds the record at `key`, who should, and who may, live; the slider goes back through everything that happened.

        A record is a value, a bag, or an entry (at its `namespace.key(name)`). Raises `ClusterClosed`.

        Example: `cluster.replicas_view(key)`, then `cluster.kill(*cluster.holders(key)[:2])`.
        """
        from p2pnb.views.widgets.sight import Replicas  # noqa: PLC0415

        wanted = as_key(key)
        known: set[Member] = set()  # who held it once is looked at wherever it stands

        def read() -> Any:
            near = {*known, *_nearest(self._network.members, wanted, 2 * NEAR), *self._near(wanted)}
            peers = {member: member.peer for member in near if member.peer is not None}
            holders = {member for member, peer in peers.items() if peer.store.record(wanted.int, peer.clock())}
            known.clear()
            known.update(holders)
            uids = {member.position: member.uid.int for member in near}
            alive = [member.position for member in near if member.alive]
            return self._home.loop.time() - self._network.log.began, uids, alive, [member.position for member in holders]

        return Replicas(wanted, lambda: self._on_thread(read), self._network.settings.replication, self._stage)

    def bag_view(self, key: bytes | str) -> BagView:
        """The bag of `key`, live: a bar for each value, a square for each publisher, and which of its replicas list it.

        Tabs order it as `bag_popular`, `bag_recent` and `bag_sample` would. Example: `cluster.bag_view(key_of(b"cats"))`. Raises
        `ClusterClosed`.
        """
        from p2pnb.views.widgets.sight import BagView  # noqa: PLC0415

        wanted = as_key(key)

        def read() -> Answers:
            peers = [member.living() for member in self._near(wanted)[: spec.MERGE_PEERS]]
            popular = [peer.store.bags.popular(wanted.int, peer.clock()) for peer in peers]
            recent = [peer.store.bags.recent(wanted.int, peer.clock()) for peer in peers]
            return {
                "popular": [Bag(entries) for entries in popular if entries is not None],
                "recent": [Bag(entries) for entries in recent if entries is not None],
            }

        return BagView(wanted, lambda: self._on_thread(read), self._stage)

    def namespace_view(self, owner: Any, name: bytes | str) -> NamespaceView:
        """One entry of a namespace, live: its versions at the nodes nearest to it, and those that were refused, crossed out.

        `owner` is an `Author` or a public key, `name` as `Namespace` has it. Example: `cluster.namespace_view(author, "about")`.
        Raises `TypeError` and `ValueError` for what is neither, `ClusterClosed`.
        """
        from p2pnb.views.widgets.sight import NamespaceView  # noqa: PLC0415

        public = owner.public_key if isinstance(owner, Author) else as_public_key(owner)
        entry = as_name(name)
        point = Key.from_int(point_of(public, entry.int))

        def read() -> Any:
            near = self._near(point)
            having = {member: member.living().store.namespaces for member in near}
            now = {member: member.living().clock() for member in near}
            nodes = [
                member
                for rank, member in enumerate(near)
                if rank < self._network.settings.replication or having[member].get(public, entry.int, now[member]) is not None
            ][:COLUMNS]
            rows = [
                {"node": member.position, "sequence": each.sequence, "value": each.value, "signature": each.signature, "age_s": each.age}
                for member in nodes
                for each in having[member].requests(point.int, now[member])
            ]
            refused = [
                {"node": member.position, **row}
                for member in nodes
                for row in having[member].refused(public, entry.int, now[member])
            ]
            return [{"node": member.position, "uid": member.uid.int} for member in nodes], rows, refused

        called = f"“{name}”" if isinstance(name, str) else short(entry)
        return NamespaceView(f"Entry {called} of {short(public)}", lambda: self._on_thread(read), self._stage)

    def lookup_stepper(self, target: bytes | str, node: Node | None = None) -> Stepper:
        """A lookup of `target` that waits: each press of *step* asks one peer, or takes one reply. It asks the live network.

        `node` looks it up; by default one that is far from the target, so that there is something to see.

        Raises `ClusterClosed`, `NodeDown`, and `TypeError` or `ValueError` for what is no node of this cluster.

        Example: `cluster.lookup_stepper(key, node=cluster[3])`.
        """
        from p2pnb.cluster.walk import Walk  # noqa: PLC0415
        from p2pnb.views.widgets.steps import Stepper  # noqa: PLC0415

        wanted = as_key(target, "the target of a lookup")
        if node is None:
            member = max(self._living(), key=lambda each: each.uid ^ wanted)
        else:
            member = self._own(node, f"a lookup is stepped by a node, such as node=cluster[3], not by {node!r}")
        walk = self._on_thread(lambda: Walk(member.living(), wanted, self.position_of))
        return Stepper(walk, lambda: self._start(walk.step(), "lookup_stepper"), self.position_of, self._stage)

    def _messages(self, watch: Watch, most: int) -> Messages:
        """The widget of `watch.sequence()`; of a closed cluster it is a picture that changes no more."""
        from p2pnb.views.widgets.sight import Messages  # noqa: PLC0415

        log = self._network.log

        def read() -> Any:
            return watch.rows(), {member.position: member.uid.int for member in self._network.members}

        return Messages(read, lambda: (log.count, len(watch.causes)), most, None if self._closed else self._stage)

    def _near(self, key: Key) -> list[Member]:
        """The living nodes nearest to `key`, nearest first."""
        return _nearest(self._network.living, key, NEAR)


def _nearest(members: Iterable[Member], key: Key, n: int) -> list[Member]:
    point = key.int
    return heapq.nsmallest(n, members, key=lambda member: member.uid.int ^ point)
