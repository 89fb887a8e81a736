"""What `cluster.map()` reads of a cluster, and what its buttons do to it: plain functions, for views know of no cluster."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p2pnb.cluster.faults import Partition
from p2pnb.cluster.injection import Active
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
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
    seen = network.log.count

    def events() -> list[dict[str, Any]]:
        nonlocal seen
        new = network.log.since(seen)
        seen = network.log.count
        return new

    def time() -> float | None:
        return cluster.now if cluster._kind == "virtual" else None

    def changed() -> Hashable:
        return network.log.count, len(network.members), len(network.living), len(network.cut_off), len(network.injection.on), time()

    return Reads(
        rows=lambda: cross(cluster._rows),
        now=lambda: cross(lambda: [_now(member) for member in network.members]),
        contacts=lambda position: cluster._routing_rows(network.members[position]),
        holders=lambda key: {node.position for node in cluster.holders(key)},
        cut_off=lambda: {member.position for member in cross(_cut_off, network)},
        events=lambda: cross(events),
        changed=changed,
        faults=lambda: cross(lambda: [active.fault.name for active in network.injection.on]),
        node=lambda position: cluster[position],
        time=time,
    )


def _now(member: Member) -> Now:
    if member.peer is None:
        return False, 0, 0
    return True, len(member.peer.table), len(member.peer.store)


def _partitions(network: Network) -> list[Active]:
    return [active for active in network.injection.on if isinstance(active.fault, Partition)]


def _cut_off(network: Network) -> list[Member]:
    """By `cluster.partition`, and by faults."""
    return [*network.cut_off, *(member for active in _partitions(network) for member in active.members or ())]


def _actions(cluster: Cluster) -> Mapping[str, Action]:
    network = cluster._network

    def named(positions: Sequence[int]) -> list[Node]:
        return [cluster[position] for position in positions]

    async def restart(nodes: Sequence[int] = ()) -> None:
        for node in named(nodes) or [node for node in cluster if not node.alive]:
            await cluster.restart(node)

    def heal() -> None:
        cluster.heal()
        cluster._on_thread(lambda: network.injection.end(_partitions(network)))

    return {
        "kill": lambda nodes=(), fraction=None, silent=False: cluster.kill(*named(nodes), fraction=fraction, silent=silent),
        "partition": lambda nodes=(), fraction=None: cluster.partition(*named(nodes), fraction=fraction),
        "heal": heal,
        "restart": restart,
        "add": cluster.add,
        "advance": cluster.advance,
        "close": cluster.close,
    }
