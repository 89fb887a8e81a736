"""What `cluster.map()` reads of a cluster, and what its buttons do to it: plain functions, for views know of no cluster."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node
from p2pnb.uid import Key
from p2pnb.views.widgets.map import Action, Map, Now, Reads

if TYPE_CHECKING:
    from p2pnb.cluster.cluster import Cluster


def map_of(cluster: Cluster, key: Key | None, pace: float) -> Map:
    """The map of `cluster`, on its stage."""
    return Map(_reads(cluster), _actions(cluster), key, pace, cluster._stage)


def _reads(cluster: Cluster) -> Reads:
    network, cross = cluster._network, cluster._on_thread
    seen = network.log.last

    def events() -> list[dict[str, Any]]:
        nonlocal seen
        new = network.log.since(seen)
        seen = network.log.last
        return new

    def time() -> float | None:
        return cluster.now if cluster._kind == "virtual" else None

    def changed() -> Hashable:
        return network.log.last, len(network.members), len(network.living), len(network.cut_off), time()

    return Reads(
        rows=lambda: cross(cluster._rows),
        now=lambda: cross(lambda: [_now(member) for member in network.members]),
        contacts=lambda position: cluster._routing_rows(network.members[position]),
        holders=lambda key: {node.position for node in cluster.holders(key)},
        cut_off=lambda: {member.position for member in network.cut_off},
        events=lambda: cross(events),
        changed=changed,
        time=time,
    )


def _now(member: Member) -> Now:
    if member.peer is None:
        return False, 0, 0
    store = member.peer.store
    return True, len(member.peer.table), len(store.values) + len(store.bags) + len(store.namespaces)


def _actions(cluster: Cluster) -> Mapping[str, Action]:
    def named(positions: Sequence[int]) -> list[Node]:
        return [cluster[position] for position in positions]

    async def restart(nodes: Sequence[int] = ()) -> None:
        for node in named(nodes) or [node for node in cluster if not node.alive]:
            await cluster.restart(node)

    return {
        "kill": lambda nodes=(), fraction=None, silent=False: cluster.kill(*named(nodes), fraction=fraction, silent=silent),
        "partition": lambda nodes=(), fraction=None: cluster.partition(*named(nodes), fraction=fraction),
        "heal": cluster.heal,
        "restart": restart,
        "add": cluster.add,
        "advance": cluster.advance,
        "close": cluster.close,
    }
