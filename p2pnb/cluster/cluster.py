"""The cluster: the one object that a notebook holds. It launches nodes, breaks them, shows them, and puts them away.

It runs nothing itself. What takes time becomes a `Call` on the cluster's thread; what does not (killing, tables) crosses to
that thread and comes back at once. So a cell may block, crash or be interrupted, and the network lives on.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar, overload

from p2pnb import spec
from p2pnb.cluster import cells, lan, progress
from p2pnb.cluster.background import background
from p2pnb.cluster.call import Call
from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Latency, Network
from p2pnb.cluster.node import Node
from p2pnb.cluster.options import as_addresses, as_ports, check, check_count
from p2pnb.cluster.results import Invite, Nodes
from p2pnb.cluster.tables import Tables
from p2pnb.cluster.watch import Watch
from p2pnb.errors import ClusterClosed
from p2pnb.peer.identity import Identity
from p2pnb.uid import Key, as_key, short
from p2pnb.views import cards
from p2pnb.views.trie import RECORD, trie

T = TypeVar("T")

_launches: cells.Launches[Cluster] = cells.Launches()


class Cluster(Tables):
    """A network of nodes in this process. Make it with `await Cluster.launch(20)`.

    `cluster[3]`, `cluster["3fa9"]` or `cluster[uid]` is a node, a slice a list of them; positions are permanent.
    """

    def __init__(self, network: Network, kind: str = "tcp") -> None:
        if not isinstance(network, Network):
            raise TypeError("a cluster is launched, not made: cluster = await Cluster.launch(20)")
        self._network = network
        self._kind = kind
        self._home = background()
        self._nodes: dict[Member, Node] = {}
        self._calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()
        self._watches: set[Watch] = set()
        self._closed = False
        self._errors_before = self._home.error_count
        self.k = network.settings.k

    @classmethod
    def launch(
        cls,
        n: int,
        *,
        network: str = "tcp",
        seed: int | None = None,
        replication: int = spec.REPLICATION,
        k: int = spec.K,
        alpha: int = spec.ALPHA,
        host: str = "127.0.0.1",
        name: str = "",
        ports: Iterable[int] | None = None,
        bootstrap: Collection[tuple[str, int]] = (),
        identities: Sequence[Identity] = (),
        encryption: bool = True,
        latency: Latency = 0.0,
        loss: float = 0.0,
        timeout: float | None = None,
    ) -> Launch:
        """Launches `n` nodes that have joined each other: `cluster = await Cluster.launch(20)`.

        `async with Cluster.launch(20) as cluster:` closes it at the end of the block.

        `network`: "tcp" (real encrypted sockets) or "memory" (in process; `latency` in seconds or a function of a
        `random.Random`, `loss` a share of 0 to 1, `encryption` on or off). `seed` fixes uids, keys and choices; such keys are
        predictable, so it is for loopback only. `replication`, `k`, `alpha`: as `Peer` has them. `host`: "127.0.0.1", "lan" for
        this machine's address in its local network, or an address. `name` keeps networks apart. `ports` to listen on; any
        free ones by default. `bootstrap`: addresses, (ip, port), of a network to join. `identities`: those of the
        first nodes, where they are to have the same uids as before. `timeout` in seconds.

        Relaunching from the same cell closes the cluster that the cell launched before. Raises `ValueError` and `TypeError`
        for arguments out of range, `OSError` for a port that cannot be opened, `PeerUnreachable` when nothing can be joined.
        """
        settings = Settings(lan.resolve(host), name, as_ports(ports), replication, k, alpha, encryption)
        addresses = as_addresses(bootstrap)
        check(n, network, settings, seed, latency, loss)
        made = cls(Network(network, settings, seed, latency, loss, identities), network)
        earlier = [each for each in _launches.remember(cells.this_cell(), made) if not each._closed]
        if earlier:
            print(f"closing {earlier[-1]!r}, which this cell launched before")  # noqa: T201 (said to whoever reran the cell)
        shown = progress.launching(n)
        return Launch(made._launched(n, addresses, earlier, shown.step), made, timeout, shown)

    async def _launched(
        self, n: int, bootstrap: tuple[tuple[str, int], ...], earlier: list[Cluster], step: Callable[[], None]
    ) -> Cluster:
        for each in earlier:
            await each._close()
        self._home.acquire(self, self._close)
        try:
            await self._network.grow(n, bootstrap, step)
        except BaseException:
            await self._close()
            raise
        self._home.settle()
        return self

    # --- its nodes ------------------------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, which: slice) -> list[Node]: ...
    @overload
    def __getitem__(self, which: int | bytes | str) -> Node: ...
    def __getitem__(self, which: slice | int | bytes | str) -> Node | list[Node]:
        members = self._network.members
        if isinstance(which, slice):
            return self._listed(members[which], ("in this list", "in this list, dead"))
        if isinstance(which, str) and len(which) < 2 * spec.PUBLIC_KEY:
            return self._node(self._by_prefix(which))
        if isinstance(which, (bytes, str)):
            uid = as_key(which, "a uid").int
            position = self._network.position_of(uid)
            if position is None:
                raise KeyError(f"no node of this cluster has the uid {short(uid)}")
            return self._node(members[position])
        try:
            return self._node(members[operator.index(which)])
        except TypeError:
            raise TypeError(f"a node is named by its position, its uid or the beginning of it, not {type(which).__name__}") from None
        except IndexError:
            raise IndexError(f"there is no node {which}: this cluster's are 0 to {len(members) - 1}") from None

    def _by_prefix(self, prefix: str) -> Member:
        found = [member for member in self._network.members if prefix and str(member.uid).startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        if not found:
            raise KeyError(f"no uid of this cluster begins with {prefix!r}")
        named = ", ".join(f"{member.position} ({str(member.uid)[: len(prefix) + 4]}…)" for member in found[:5])
        raise KeyError(f"{prefix!r} is ambiguous, {len(found)} uids begin with it: nodes {named}; give more digits")

    def _node(self, member: Member) -> Node:
        node = self._nodes.get(member)
        if node is None:
            node = self._nodes[member] = Node(self, member)
        return node

    def _listed(self, members: Iterable[Member], meaning: tuple[str, str], key: Key | None = None) -> Nodes:
        return Nodes(map(self._node, members), lambda: self._on_thread(self._rows), meaning, key)

    def holders(self, key: bytes | str) -> Nodes:
        """The living nodes that hold a record at `key`, nearest first: a value, a bag, or an entry at its `namespace.key(name)`."""
        wanted = as_key(key)

        def found() -> list[Member]:
            return [member for member in self._network.living if wanted.int in member.living().store.keys()]

        nearest = sorted(self._on_thread(found), key=lambda member: member.uid ^ wanted)
        return self._listed(nearest, RECORD, wanted)

    def _ipython_key_completions_(self) -> list[str]:
        return [str(member.uid)[:8] for member in self._network.members]

    def __len__(self) -> int:
        return len(self._network.members)

    def __iter__(self) -> Iterator[Node]:
        return iter(self[:])

    def random(self) -> Node:
        """A living node, drawn with the cluster's seed."""
        living = self._network.living
        if not living:
            raise ClusterClosed("every node was killed: await cluster.restart(cluster[0])")
        return self._node(self._network.rng.choice(living))

    # --- growing and joining ----------------------------------------------------------------------------------------------

    def add(self, n: int = 1, *, timeout: float | None = None) -> Call[list[Node]]:
        """`n` more nodes, joined; the result is a list of them."""
        check_count(n)

        async def grown() -> list[Node]:
            return self._listed(await self._network.grow(n, (), lambda: None), ("new", "new, dead"))

        return self._start(grown(), "add", timeout=timeout)

    def join(self, ip: str, port: int, *, timeout: float | None = None) -> Call[Key]:
        """All nodes join the network of the peer at `ip` and `port`; the result is that peer's uid.

        Raises `PeerUnreachable`, whose `reason` is "refused", "timeout" (a firewall or wifi isolation?), "not-a-peer" or "other-network".
        """
        return self._start(self._network.join(ip, port), "join", timeout=timeout)

    def invite(self) -> Invite:
        """The line to paste on another machine (for a cluster on loopback: in another notebook of this one)."""
        settings = self._network.settings
        living = self._network.living
        if not living:
            raise ClusterClosed("every node was killed: there is nobody to join")
        where = "" if settings.host.startswith("127.") else ', host="lan"'
        named = f", name={settings.name!r}" if settings.name else ""
        first = living[0]
        return Invite(f"cluster = await Cluster.launch(5{where}{named}, bootstrap=[({first.ip!r}, {first.port})])")

    def restart(self, node: Node, *, timeout: float | None = None) -> Call[Node]:
        """Starts `node` anew at its old address, under its old uid, with empty stores; it joins through another node."""
        member = self._member(node, "restart")

        async def restarted() -> Node:
            await self._network.restart(member)
            return node

        return self._start(restarted(), "restart", timeout=timeout)

    # --- breaking -------------------------------------------------------------------------------------------------------

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

    # --- watching ---------------------------------------------------------------------------------------------------------

    def watch(self) -> Watch:
        """`with cluster.watch() as watch:` collects the messages that calls made in the block caused."""
        self._check_open()
        return Watch(lambda causes: self._home.call(self._network.log.rows, causes), self._watches)

    # --- living and ending --------------------------------------------------------------------------------------------------

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, timeout: float | None = None) -> Call[T]:
        """Runs `function(*args)`, a coroutine function, on the cluster's own loop: for workloads, with `await node.peer.set(…)`."""
        coroutine = function(*args)
        return self._start(coroutine, "run", timeout=timeout)

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str, *, on: str = "cluster", timeout: float | None = None) -> Call[T]:
        """A `Call` of this cluster: watched, and ended with it."""
        try:
            self._check_open()
        except ClusterClosed:
            coroutine.close()
            raise
        call = Call(coroutine, name, on=on, timeout=timeout, home=self._home)
        self._calls.add(call)
        for watch in self._watches:
            watch._note(call)
        return call

    @property
    def errors(self) -> list[BaseException]:
        """Errors of background tasks since the launch. There should be none: notebooks end with `assert not cluster.errors`."""
        since = self._home.error_count - self._errors_before
        return self._home.errors[-since:] if since else []

    def close(self) -> Call[None]:
        """Ends every node in order; afterwards nothing listens. Closing twice is no mistake."""
        return Call(self._close(), "close", on="cluster", home=self._home)

    async def _close(self) -> None:
        if not self._closed:
            self._closed = True
            for call in list(self._calls):
                call.fail(ClusterClosed("the cluster was closed before this call was done"))
            await self._network.close()
            self._home.release(self)

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- how it shows itself ------------------------------------------------------------------------------------------------

    def _summary(self) -> dict[str, Any]:
        members = self._network.members
        alive = len(self._network.living)
        return {
            "nodes": len(members),
            "alive": alive,
            "network": self._kind,
            "name": self._network.settings.name,
            "host": self._network.settings.host,
            "encryption": self._network.settings.encryption,
            "k": self.k,
            "alpha": self._network.settings.alpha,
            "replication": self._network.settings.replication,
            "seed": self._network.seed,
            "closed": self._closed,
        }

    def __repr__(self) -> str:
        summary = self._summary()
        several = f"{summary['nodes']} node{'s' * (summary['nodes'] != 1)}"
        if self._closed:
            return f"<cluster of {several}, closed>"
        dead = summary["nodes"] - summary["alive"]
        return f"<cluster of {several} on {self._kind}{f', {dead} killed' if dead else ''}: k={self.k}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = self._summary()
        if self._closed:
            return cards.mimebundle(*cards.cluster_card(summary))
        rows, counts = self._on_thread(lambda: (self._rows(), self._counts()))
        summary |= counts
        summary["requests"] = sum(row["requests_out"] for row in rows)
        summary["complete"] = all(row["contacts"] >= summary["alive"] - 1 for row in rows if row["alive"])
        return cards.mimebundle(*cards.cluster_card(summary, picture=trie(rows)))


class Launch(Call[Cluster]):
    """A launch under way: `await` it, or `async with` it to have the cluster closed at the end of the block."""

    __slots__ = ("_cluster",)

    def __init__(self, coroutine: Coroutine[Any, Any, Cluster], cluster: Cluster, timeout: float | None, shown: progress.Progress) -> None:
        super().__init__(coroutine, "launch", on="Cluster", timeout=timeout, home=background(), progress=shown)
        self._cluster = cluster

    async def __aenter__(self) -> Cluster:
        try:
            return await self
        except BaseException:  # interrupted, say: nobody would close what goes on
            await self._cluster.close()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._cluster.close()
