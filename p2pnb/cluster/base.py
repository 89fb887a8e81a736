"""What every part of a `Cluster` stands on: its members, the thread they live on, and the way across.

A cluster runs nothing itself. What takes time becomes a `Call` on the cluster's thread (`_start`); what does not, such as a
table or a kill, crosses to that thread and comes back at once (`_on_thread`). `tables.py` reads, `breaking.py` breaks,
`shown.py` displays, and `cluster.py` puts them together.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from p2pnb.brief import brief
from p2pnb.cluster.background import Background, background
from p2pnb.cluster.call import Call, new_cause
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.cluster.node import Node
from p2pnb.cluster.virtual import VirtualHome
from p2pnb.cluster.watch import Watch
from p2pnb.errors import ClusterClosed

if TYPE_CHECKING:
    from p2pnb.views.widgets.base import Stage

T = TypeVar("T")


class Base:
    """The members of a cluster, and how its parts reach them."""

    def __init__(self, network: Network, kind: str = "tcp") -> None:
        if not isinstance(network, Network):
            raise brief(TypeError("a cluster is launched, not made: cluster = await Cluster.launch(20)"))
        self._network = network
        self._kind = kind
        self._home: Background = VirtualHome() if kind == "virtual" else background()
        self._nodes: dict[Member, Node] = {}
        self._calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()
        self._watches: set[Watch] = set()
        self._staged: Stage | None = None  # widgets on display; made by the first one
        self._closed = False
        self._errors_before = self._home.error_count
        self.k = network.settings.k

    # --- its nodes ------------------------------------------------------------------------------------------------------

    def position_of(self, uid: int | None) -> int | None:
        """The position of the node with this uid (a number); None for a stranger.

        Example: `cluster.position_of(cluster[3].uid.int)`.
        """
        return self._network.position_of(uid)

    def _rows(self) -> list[dict[str, Any]]:
        """One row a node. This and `_counts` run on the cluster's thread."""
        return [member.row() for member in self._network.members]

    def _living(self) -> list[Member]:
        """Those that are alive. Raises `ClusterClosed` where there is none."""
        living = self._network.living
        if not living:
            raise ClusterClosed("every node was killed: await cluster.restart(cluster[0])")
        return living

    # --- crossing over ----------------------------------------------------------------------------------------------------

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str, *, on: str = "cluster", timeout: float | None = None) -> Call[T]:
        """A `Call` of this cluster: watched, and ended with it."""
        try:
            self._check_open()
        except ClusterClosed:
            coroutine.close()
            raise
        cause = new_cause(name)
        for watch in self._watches:
            watch._note(cause)  # before the work begins, whose first message it is to catch
        call = Call(coroutine, name, on=on, timeout=timeout, cause=cause, home=self._home)
        self._calls.add(call)
        return call

    def _check_open(self) -> None:
        if self._closed:
            raise ClusterClosed("this cluster was closed: launch another one, cluster = await Cluster.launch(20)")

    def _on_thread(self, function: Callable[..., T], *args: Any) -> T:
        self._check_open()
        return self._home.call(function, *args)

    # --- on display -------------------------------------------------------------------------------------------------------

    @property
    def _stage(self) -> Stage:
        """Where this cluster's live widgets are looked at and sent from: the process's background thread, in real time
        also where the network's time is virtual.

        Widgets are loaded when first asked for: a program that shows nothing need not wait for ipywidgets.
        """
        from p2pnb.views.widgets.base import Stage  # noqa: PLC0415

        self._check_open()
        if self._staged is None:
            self._staged = Stage(background())
        return self._staged
