"""Breaking a cluster, and mending it: what machines and cables do to nodes, on purpose.

What is done at once (kill, partition, heal) returns the nodes that it was done to; what takes time (restart) is a `Call`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2pnb.cluster.call import Call
from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node
from p2pnb.cluster.tables import Tables


class Breaking(Tables):
    """What of a `Cluster` breaks things."""

    def restart(self, node: Node, *, timeout: float | None = None) -> Call[Node]:
        """Starts `node` anew at its old address, under its old uid, with empty stores; it joins through another node."""
        member = self._member(node, "restart")

        async def restarted() -> Node:
            await self._network.restart(member)
            return node

        return self._start(restarted(), "restart", timeout=timeout)

    def kill(self, *nodes: Node, fraction: float | None = None, silent: bool = False) -> list[Node]:
        """Kills nodes at once and without warning: these, or a `fraction` of the living ones. Returns them.

        Their connections are reset; with `silent` they turn into black holes, as when a machine loses its power.
        """
        chosen = self._chosen(nodes, fraction, "kill")
        return self._listed(self._on_thread(lambda: self._network.kill(chosen(), silent)), ("restarted", "killed"))

    def partition(self, *nodes: Node, fraction: float | None = None) -> list[Node]:
        """Cuts these nodes, or a `fraction` of the living ones (default a half), off from all others. Returns them."""
        chosen = self._chosen(nodes, 0.5 if not nodes and fraction is None else fraction, "partition")
        return self._listed(self._on_thread(lambda: self._network.partition(chosen())), ("cut off", "cut off, dead"))

    def heal(self) -> list[Node]:
        """Ends a partition. Returns the nodes that took part in it."""
        return self._listed(self._on_thread(self._network.heal), ("joined again", "joined again, dead"))

    def _chosen(self, nodes: tuple[Node, ...], fraction: float | None, verb: str) -> Callable[[], list[Member]]:
        if fraction is not None:
            if nodes:
                raise ValueError(f"{verb} takes nodes or a fraction, not both")
            if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
                raise ValueError(f"a fraction is a number of 0 to 1, not {fraction!r}")
            return lambda: self._network.choose(fraction)
        if not nodes:
            raise ValueError(f"{verb} whom? cluster.{verb}(cluster[3]), or cluster.{verb}(fraction=0.5)")
        members = [self._member(node, verb) for node in nodes]
        return lambda: members

    def _member(self, node: Any, verb: str) -> Member:
        if isinstance(node, list):
            raise TypeError(f"{verb} takes nodes, not a list: write cluster.{verb}(*nodes)")
        if not isinstance(node, Node):
            hint = f"cluster.{verb}(cluster[{node}])" if isinstance(node, int) else f"cluster.{verb}(cluster[3])"
            fraction = "" if verb == "restart" else f", or cluster.{verb}(fraction=0.5)"
            raise TypeError(f"{verb} takes nodes, not {node!r}: write {hint}{fraction}")
        if self._nodes.get(node._member) is not node:
            raise ValueError(f"{node!r} belongs to another cluster")
        return node._member
