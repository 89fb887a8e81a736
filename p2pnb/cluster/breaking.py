"""Breaking a cluster, and mending it: what machines and cables do to nodes, on purpose.

What is done at once (kill, partition, heal) returns the nodes that it was done to; what takes time (restart) is a `Call`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from p2pnb.brief import brief
from p2pnb.cluster.amounts import as_number
from p2pnb.cluster.call import Call
from p2pnb.cluster.churn import Churn, Recorded
from p2pnb.cluster.distributions import Sessions, Weibull
from p2pnb.cluster.faults import Fault
from p2pnb.cluster.inforce import Faults
from p2pnb.cluster.member import Member
from p2pnb.cluster.node import Node
from p2pnb.cluster.tables import Tables


class Breaking(Tables):
    """What of a `Cluster` breaks things."""

    def restart(self, node: Node, *, timeout: float | None = None) -> Call[Node]:
        """Starts `node` anew under its old uid; it joins through another node.

        It is at its old address, or at another port where its own was taken meanwhile (unless the launch named its ports).
        Its stores are empty, unless the cluster was launched with `store=`: then it has all that it had acknowledged.

        Example: `await cluster.restart(cluster[3])`.
        """
        member = self._member(node, "restart")

        async def restarted() -> Node:
            await self._network.restart(member)
            return node

        return self._start(restarted(), "restart", timeout=timeout)

    def kill(self, *nodes: Node, fraction: float | None = None, silent: bool = False) -> list[Node]:
        """Kills nodes at once and without warning: these, or a `fraction` of the living ones. Returns them.

        Their connections are reset; with `silent` they turn into black holes, as when a machine loses its power.

        Example: `cluster.kill(cluster[3], cluster[5])`, or `cluster.kill(fraction=0.3)`.
        """
        chosen = self._chosen(nodes, fraction, "kill")
        return self._listed(self._on_thread(lambda: self._network.kill(chosen(), silent)), ("restarted", "killed"))

    def partition(self, *nodes: Node, fraction: float | None = None) -> list[Node]:
        """Cuts these nodes, or a `fraction` of the living ones (default a half), off from all others. Returns them.

        Example: `cluster.partition(fraction=0.5)`.
        """
        chosen = self._chosen(nodes, 0.5 if not nodes and fraction is None else fraction, "partition")
        return self._listed(self._on_thread(lambda: self._network.partition(chosen())), ("cut off", "cut off, dead"))

    def heal(self) -> list[Node]:
        """Ends a partition. Returns the nodes that took part in it.

        Example: `cluster.heal()`.
        """
        return self._listed(self._on_thread(self._network.heal), ("joined again", "joined again, dead"))

    def faults(self, *faults: Fault) -> Faults:
        """Begins these faults of `p2pnb.faults`; without any: those that are on. Whoever stands in `nodes` of one is befallen.

        There are `Latency`, `Loss`, `Partition`, `SlowReaders` (of pretended wires: "memory" and "virtual"), and everywhere `Resets`,
        `Crash`, `Skew`, `DiskErrors`, `Liars` and `Churn`. `.stop()` mends them; `.frame()` is a row for each thing that happened:
        `time_s` since the launch, `fault`, `what`, `node`, `peer`. All of them begin, or none. Raises `TypeError` for what is no fault
        or no node, `ValueError` for a node of another cluster, a share that is none, or a fault of wires on real sockets.

        Example: `cluster.faults(Latency(0.05), Loss(0.1), Liars(cluster[3:6]))`.
        """
        if not faults:
            return Faults(self, self._on_thread(lambda: list(self._network.injection.on)), everything=True)
        ready = [self._with_members(fault) for fault in faults]
        return Faults(self, self._on_thread(self._network.injection.begin, ready))

    def churn(self, sessions: Sessions | Recorded = Weibull(), **options: Any) -> Faults:  # noqa: B008 (it never changes)
        """Nodes come and go from now on: `sessions` say how long they stay, a distribution of seconds or `Recorded(frame)`.

        The options are those of `Churn`: `away` (seconds, or a distribution), `nodes`, `silent`, `disk`. The result is as that of
        `faults`. Raises `TypeError` and `ValueError` for what draws no seconds, and for sessions of a node that is not there.

        Example: `cluster.churn(Weibull(), away=600)`.
        """
        return self.faults(Churn(sessions, **options))

    def _with_members(self, fault: Any) -> Fault:
        """The fault with members in the place of nodes."""
        if not isinstance(fault, Fault):
            raise brief(TypeError(f"cluster.faults takes faults, such as Latency(0.05) or Loss(0.1), not {fault!r}"))
        changed: dict[str, Any] = {}
        for each in ("nodes", "others"):
            whom = getattr(fault, each, None)
            if isinstance(whom, float):
                if not 0 <= whom <= 1:
                    raise brief(ValueError(f"{fault.name} of {whom!r} of all nodes: a share is a number of 0 to 1"))
            elif as_number(whom) is not None:  # 1 may be meant as one node, or as all of them
                raise brief(ValueError(f"{fault.name} of {whom} nodes? One node is cluster[{whom}], a share is a number of 0.0 to 1.0"))
            elif whom is not None:
                nodes = whom if isinstance(whom, (list, tuple)) else [whom]
                changed[each] = tuple(self._befallen(node, fault.name) for node in nodes)
        return replace(fault, **changed)

    def _befallen(self, node: Any, fault: str) -> Member:
        if not isinstance(node, Node):
            raise brief(TypeError(f"{fault} takes nodes, not {node!r}: write nodes={_meant(node)}, a list of them, or a share such as 0.3"))
        return self._member(node, fault)

    def _chosen(self, nodes: tuple[Node, ...], fraction: float | None, verb: str) -> Callable[[], list[Member]]:
        if fraction is not None:
            if nodes:
                raise brief(ValueError(f"{verb} takes nodes or a fraction, not both"))
            share = as_number(fraction)
            if share is None or not 0 <= share <= 1:
                raise brief(ValueError(f"a fraction is a number of 0 to 1, not {fraction!r}"))
            return lambda: self._network.choose(share)
        if not nodes:
            raise brief(ValueError(f"{verb} whom? cluster.{verb}(cluster[3]), or cluster.{verb}(fraction=0.5)"))
        members = [self._member(node, verb) for node in nodes]
        return lambda: members

    def _member(self, node: Any, verb: str) -> Member:
        if isinstance(node, list):
            raise brief(TypeError(f"{verb} takes nodes, not a list: write cluster.{verb}(*nodes)"))
        fraction = "" if verb == "restart" else f", or cluster.{verb}(fraction=0.5)"
        return self._own(node, f"{verb} takes nodes, not {node!r}: write cluster.{verb}({_meant(node)}){fraction}")


def _meant(node: Any) -> str:
    """How to write the node that somebody named by its position or its uid."""
    if isinstance(node, int) or (isinstance(node, str) and node.isdecimal() and len(node) < 5):
        return f"cluster[{int(node)}]"
    if isinstance(node, str):
        return f"cluster[{node[:8]!r}]"
    return "cluster[uid]" if isinstance(node, bytes) else "cluster[3]"
