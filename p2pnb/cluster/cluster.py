"""The cluster: the one object that a notebook holds. It launches nodes, names them, lets them join, and puts them away.

It runs nothing itself: what takes time becomes a `Call` on the cluster's thread, what does not crosses to that thread and
comes back at once (`base.py`). So a cell may block, crash or be interrupted, and the network lives on.
"""

from __future__ import annotations

import asyncio
import operator
import os
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from p2pnb import spec
from p2pnb.brief import brief
from p2pnb.cluster import cells, lan, progress
from p2pnb.cluster.amounts import as_number
from p2pnb.cluster.breaking import Breaking
from p2pnb.cluster.call import Call
from p2pnb.cluster.distributions import Seconds, as_latency
from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Network
from p2pnb.cluster.node import Node
from p2pnb.cluster.options import (
    VIRTUAL_LATENCY,
    as_addresses,
    as_identities,
    as_loss,
    as_policies,
    as_ports,
    as_seed,
    as_store,
    check,
    check_count,
    check_seconds,
)
from p2pnb.cluster.results import Invite, Nodes
from p2pnb.cluster.shown import Shown
from p2pnb.cluster.watch import Watch
from p2pnb.errors import ClusterClosed
from p2pnb.peer.identity import Identity
from p2pnb.uid import Key, as_key, short
from p2pnb.views.trie import RECORD

if TYPE_CHECKING:
    from p2pnb.views.widgets.map import Map

T = TypeVar("T")

_launches: cells.Launches[Cluster] = cells.Launches()


class Cluster(Breaking, Shown):
    """A network of nodes in this process. Make it with `await Cluster.launch(20)`.

    `cluster[3]`, `cluster["3fa9"]` or `cluster[uid]` is a node, a slice a list of them; positions are permanent.

    Example: `cluster = await Cluster.launch(20)`.
    """

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
        encryption: bool | None = None,
        codec: bool = True,
        full_join: bool = False,
        latency: Seconds | None = None,
        loss: float = 0.0,
        policies: Mapping[str, Any] | None = None,
        store: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
    ) -> Launch:
        """Launches `n` nodes that have joined each other: `cluster = await Cluster.launch(20)`.

        `async with Cluster.launch(20) as cluster:` closes it at the end of the block.

        `network`: "tcp" (real encrypted sockets), "memory" (in process) or "virtual" (in process and in simulated time, which
        passes only while a call is awaited: `await cluster.advance(3600)` runs an hour, and the same `seed` gives the same run).
        On the last two, `latency` one way is a number of seconds (by default 0, virtual 0.05), a distribution such as `Lognormal(0.05)`
        of `p2pnb.faults`, or a function of a `random.Random`, `loss` a share of 0 to 1, and `encryption` is on or off (by default on,
        virtual off). `seed`, an integer, fixes uids, keys and choices; such keys are predictable, so it is for loopback only.
        `codec=False` (neither on "tcp" nor with encryption) hands messages over without writing and reading their text: the same
        messages, sizes and times, in much less of yours.

        `replication`, `k`, `alpha`: as `Peer` has them. `host`: "127.0.0.1", "lan" for this machine's address in its local
        network, or an address. `name` keeps networks apart. `ports` to listen on; any free ones by default. `bootstrap`:
        addresses, (ip, port), of a network to join. `identities`: those of the first nodes, where they are to have the same
        uids as before. `full_join`: every node fills its far buckets before the launch is over; otherwise it does so little by
        little, in the background. `store`: a directory in which all that the nodes keep outlives the process, their keys included; launched
        with it again, they are the same nodes. `policies`: decisions of your own, a dict with any of "nearest", "lookup" and
        "merge" as `p2pnb.dht.policies` describes them, which decide once all nodes have joined. `timeout` in seconds (virtual
        ones, there).

        Relaunching from the same cell closes the cluster that the cell launched before. Raises `ValueError` and `TypeError`
        for arguments out of range and policies that lack something, `OSError` for a port that cannot be opened,
        `PeerUnreachable` when nothing can be joined, `StoreError` for a store that is in use, newer, or of other nodes.

        Example: `cluster = await Cluster.launch(64, k=3, seed=1)`.
        """
        virtual = network == "virtual"
        encryption = not virtual if encryption is None else encryption
        delay = as_latency((VIRTUAL_LATENCY if virtual else 0.0) if latency is None else latency)
        settings = Settings(
            lan.resolve(host),
            name,
            as_ports(ports),
            replication,
            k,
            alpha,
            encryption,
            codec,
            full_join,
            as_store(store),
            policies=as_policies(policies),
        )
        addresses = as_addresses(bootstrap)
        lost, number = as_loss(loss), as_seed(seed)
        check(n, network, settings, number, delay, lost)
        made = cls(Network(network, settings, number, delay, lost, as_identities(identities)), network)
        earlier = [each for each in _launches.remember(cells.this_cell(), made) if not each._closed]
        if earlier:
            print(f"closing {earlier[-1]!r}, which this cell launched before")  # noqa: T201 (said to whoever reran the cell)
        shown = progress.launching(n)
        return Launch(made._launched(n, addresses, _closing(earlier, made), shown.step), made, timeout, shown)

    async def _launched(
        self, n: int, bootstrap: tuple[tuple[str, int], ...], neighbours: list[Cluster], step: Callable[[], None]
    ) -> Cluster:
        for each in neighbours:
            await each._close()
        self._home.acquire(self, self._close)
        try:
            await self._network.grow(n, bootstrap, step)
        except GeneratorExit:  # it was dropped with its whole world
            raise
        except BaseException:
            await self._close()
            raise
        if self._network.settings.policies is not None:
            self._network.settings.policies.active = True
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
                raise brief(KeyError(f"no node of this cluster has the uid {short(uid)}"))
            return self._node(members[position])
        try:
            return self._node(members[operator.index(which)])
        except TypeError:
            raise brief(TypeError(f"a node is named by its position, its uid or the beginning of it, not {type(which).__name__}")) from None
        except IndexError:
            raise brief(IndexError(f"there is no node {which}: this cluster's are 0 to {len(members) - 1}")) from None

    def _by_prefix(self, prefix: str) -> Member:
        found = [member for member in self._network.members if prefix and str(member.uid).startswith(prefix.lower())]
        if len(found) == 1:
            return found[0]
        if not found:
            raise brief(KeyError(f"no uid of this cluster begins with {prefix!r}"))
        named = ", ".join(f"{member.position} ({str(member.uid)[: len(prefix) + 4]}…)" for member in found[:5])
        raise brief(KeyError(f"{prefix!r} is ambiguous, {len(found)} uids begin with it: nodes {named}; give more digits"))

    def holders(self, key: bytes | str) -> Nodes:
        """The living nodes that hold a record at `key`, nearest first: a value, a bag, or an entry at its `namespace.key(name)`.

        Example: `cluster.holders(key)`.
        """
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
        """A living node, drawn with the cluster's seed.

        Raises `ClusterClosed` when every node was killed. Example: `await cluster.random().ref(key)`.
        """
        return self._node(self._network.rng.choice(self._living()))

    # --- growing and joining ----------------------------------------------------------------------------------------------

    def add(self, n: int = 1, *, timeout: float | None = None) -> Call[list[Node]]:
        """`n` more nodes, joined; the result is a list of them.

        Example: `new = await cluster.add(3)`.
        """
        check_count(n, "add takes")

        async def grown() -> list[Node]:
            return self._listed(await self._network.grow(n, (), lambda: None), ("new", "new, dead"))

        return self._start(grown(), "add", timeout=timeout)

    def join(self, ip: str, port: int, *, timeout: float | None = None) -> Call[Key]:
        """All nodes join the network of the peer at `ip` and `port`; the result is that peer's uid.

        Raises `PeerUnreachable`, whose `reason` is "refused", "timeout" (a firewall or wifi isolation?), "not-a-peer" or "other-network".

        Example: `await cluster.join("192.168.1.5", 9000)`.
        """
        return self._start(self._network.join(ip, port), "join", timeout=timeout)

    def invite(self) -> Invite:
        """The line to paste on another machine (for a cluster on loopback: in another notebook of this one).

        Raises `ClusterClosed` when every node was killed. Example: `cluster.invite()`.
        """
        settings, first = self._network.settings, self._living()[0]
        where = "" if settings.host.startswith("127.") else ', host="lan"'
        named = f", name={settings.name!r}" if settings.name else ""
        return Invite(f"cluster = await Cluster.launch(5{where}{named}, bootstrap=[({first.ip!r}, {first.port})])")

    # --- watching ---------------------------------------------------------------------------------------------------------

    def watch(self, *, words: bool = True) -> Watch:
        """`with cluster.watch() as watch:` collects the messages that calls made in the block caused.

        With `words` their texts too, cut short, for `watch.sequence()`: those of the newest 2,000 requests.

        Example: `with cluster.watch() as watch: await cluster[3].ref(key)`.
        """
        self._check_open()
        log = self._network.log
        return Watch(lambda causes: self._home.call(log.rows, causes), self._watches, log.words if words else None, self._messages)

    def map(self, *, key: bytes | str | None = None, pace: float = 2.0) -> Map:
        """All nodes as a live picture, the binary trie of their uids: look, click, kill, restart, add, cut off, mend.

        Each call is replayed over `pace` seconds (0: not at all), since on loopback it is over in milliseconds; upkeep is faint.
        `key`: the nodes that hold its record are marked. Raises `ClusterClosed`, `ValueError`. Example: `cluster.map(key=key)`.
        """
        from p2pnb.cluster.maps import map_of  # noqa: PLC0415 (loads ipywidgets)

        seconds = as_number(pace)
        if seconds is None or not 0 <= seconds <= 60:
            raise brief(ValueError(f"pace is a number of seconds of 0 to 60, not {pace!r}"))
        return map_of(self, None if key is None else as_key(key), float(seconds))

    # --- living and ending --------------------------------------------------------------------------------------------------

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, timeout: float | None = None) -> Call[T]:
        """Runs `function(*args)`, a coroutine function, on the cluster's own loop: for workloads, with `await node.peer.set(…)`.

        Raises `TypeError` for what is no coroutine function.

        Example: `await cluster.run(workload)`.
        """
        coroutine: Any = function(*args) if callable(function) else None
        if not asyncio.iscoroutine(coroutine):
            raise brief(TypeError(f"run takes an `async def` and its arguments, as in cluster.run(workload, 5), not {function!r}"))
        return self._start(coroutine, "run", timeout=timeout)

    @property
    def now(self) -> float:
        """Seconds since the launch began, in the cluster's own time: what `time_s` in `cluster.events()` counts from."""
        return self._on_thread(self._home.loop.time) - self._network.log.began

    def advance(self, seconds: float) -> Call[float]:
        """Lets `seconds` pass on a virtual network, timers and upkeep included: `await cluster.advance(3600)`. The result is `now`.

        Nothing passes while nobody waits, and a call takes the time that it needs; this is for what happens unasked. Raises
        `ValueError` for less than 0 seconds, and on networks that live in real time.

        Example: `await cluster.advance(3600)`.
        """
        pause = check_seconds(seconds, self._kind)

        async def passed() -> float:
            await asyncio.sleep(pause)
            return self.now

        return self._start(passed(), "advance")

    @property
    def trace_hash(self) -> str:
        """The SHA-256 of every request of a virtual cluster since its launch: the same program with the same seed gives the same.

        Raises `ValueError` on networks that live in real time.

        Example: `cluster.trace_hash`.
        """
        return self._on_thread(self._network.log.digest)

    @property
    def errors(self) -> list[BaseException]:
        """Errors of background tasks since the launch. There should be none: notebooks end with `assert not cluster.errors`."""
        since = self._home.error_count - self._errors_before
        return self._home.errors[-since:] if since else []

    def close(self) -> Call[None]:
        """Ends every node in order; afterwards nothing listens. Closing twice is no mistake.

        Example: `await cluster.close()`.
        """
        return Call(self._close(), "close", on="cluster", home=self._home)

    async def _close(self) -> None:
        if not self._closed:
            if self._staged is not None:
                self._staged.close()
            self._closed = True
            for call in list(self._calls):
                call.fail(ClusterClosed("the cluster was closed before this call was done"))
            await self._network.close()
            self._home.release(self)

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _closing(earlier: list[Cluster], made: Cluster) -> list[Cluster]:
    """Closes `earlier` clusters that live elsewhere than `made` does; returns those that it has to close itself, before it begins."""
    for each in earlier:
        if each._home is not made._home:
            call = each.close()
            if each._kind == "virtual":  # it takes no time of ours
                call.wait()
    return [each for each in earlier if each._home is made._home]


class Launch(Call[Cluster]):
    """A launch under way: `await` it, or `async with` it to have the cluster closed at the end of the block."""

    __slots__ = ("_cluster",)

    def __init__(self, coroutine: Coroutine[Any, Any, Cluster], cluster: Cluster, timeout: float | None, shown: progress.Progress) -> None:
        super().__init__(coroutine, "launch", on="Cluster", timeout=timeout, home=cluster._home, progress=shown)
        self._cluster = cluster

    def _forgotten(self, lacks: str, then: str = "") -> str:  # noqa: ARG002 (whatever was to be done: a cluster wants a name)
        return f"this launch has not been awaited, so it {lacks}: write `cluster = await Cluster.launch(…)` first"

    async def __aenter__(self) -> Cluster:
        try:
            return await self
        except BaseException:  # interrupted, say: nobody would close what goes on
            await self._cluster.close()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._cluster.close()
