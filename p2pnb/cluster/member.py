"""One node as it lives on the cluster's thread: an identity, an endpoint on the network, and a peer on top of it.

Everything here runs on that thread. People hold a `Node`, which outlives the peer: a node that was killed and restarted is
the same position, uid and port with a new peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from p2pnb import spec
from p2pnb.dht.policies import Policies
from p2pnb.dht.store import Put, Store
from p2pnb.disk.part import Part
from p2pnb.disk.store import DiskStore
from p2pnb.errors import NodeDown
from p2pnb.net.carrier import Carrier, clock_of
from p2pnb.net.endpoint import Endpoint
from p2pnb.peer.identity import Identity
from p2pnb.peer.lasting import address_before
from p2pnb.peer.peer import Peer
from p2pnb.peer.report import Event

if TYPE_CHECKING:
    from p2pnb.disk.disk import Disk


@dataclass(frozen=True, slots=True)
class Settings:
    """What all nodes of a cluster have in common."""

    host: str = "127.0.0.1"
    name: str = ""
    ports: tuple[int, ...] | None = None
    replication: int = spec.REPLICATION
    k: int = spec.K
    alpha: int = spec.ALPHA
    encryption: bool = True
    codec: bool = True
    full_join: bool = False
    store: Path | None = None
    listen: bool = True
    policies: Policies | None = None


class Kept(NamedTuple):
    """What a node with a disk has after a crash: its records, and what it had published."""

    store: Store
    published: dict[Any, Put]


class SkewedClock:
    """A clock that may be ahead of the loop's, and faster or slower; it never runs backwards."""

    def __init__(self, true: Callable[[], float]) -> None:
        self._true = true
        self._since = self._shown = true()
        self.rate = 1.0

    def __call__(self) -> float:
        return self._shown + (self._true() - self._since) * self.rate

    def skew(self, ahead: float, rate: float) -> None:
        """It jumps `ahead` seconds, and runs at `rate` from now on."""
        self._shown = self() + ahead
        self._since = self._true()
        self.rate = rate


class Member:
    """A node: `position` is permanent, `peer` is None while it is down."""

    def __init__(
        self,
        position: int,
        identity: Identity,
        carrier: Carrier,
        settings: Settings,
        seed: int,
        log: Callable[[Event], None],
        words: Collection[str] = (),
        disk: Disk | None = None,
    ) -> None:
        self.position = position
        self.identity = identity
        self.uid = identity.uid
        self.ip, self.port = settings.host, 0
        self.peer: Peer | None = None
        self.endpoint: Endpoint | None = None
        self._carrier = carrier
        self._settings = settings
        self._rng = random.Random(seed)
        self._log = log
        self._words = words
        self._clock: SkewedClock | None = None  # where it is not the loop's
        self.dress: Callable[[Member], None] | None = None  # what an experiment does to each new peer
        self._disk = disk

    @property
    def alive(self) -> bool:
        return self.peer is not None

    def living(self) -> Peer:
        """The peer. Raises `NodeDown` when the node was killed."""
        if self.peer is None:
            raise NodeDown(
                f"node {self.position} was killed: ask another one, or bring it back with await cluster.restart(cluster[{self.position}])"
            )
        return self.peer

    async def start(self, kept: Kept | None = None) -> None:
        """Opens the port (the one it had before, if that is free) and makes the peer, with the records it `kept`, if any.

        Raises `OSError` that says what to do.
        """
        settings = self._settings
        if self.endpoint is not None:
            await self.endpoint.close()
        key = self.identity.static if settings.encryption else self.uid.int
        part = None if self._disk is None else await self._disk.read(self.uid)
        store = None if part is None else await self._load(part)
        self.endpoint = Endpoint(
            self._carrier,
            key,
            ip=settings.host,
            ports=self._ports(part),
            network=settings.name,
            encryption=settings.encryption,
            codec=settings.codec,
            listen=settings.listen,
        )
        await self.endpoint.open()
        self.ip, self.port = self.endpoint.ip, self.endpoint.port
        self.peer = Peer(
            self.uid,
            self.endpoint.recv,
            self.endpoint.send,
            settings.replication,
            k=settings.k,
            alpha=settings.alpha,
            network=settings.name,
            address=(self.ip, self.port),
            rng=self._rng,
            log=self._log,
            words=self._words,
            clock=self._clock,
            listens=settings.listen,
            policies=settings.policies,
            store=part,
            codec=settings.codec,
        )
        if store is not None:
            self.peer.adopt(store, self.peer.published)
        self.endpoint.inbox.deliver_to(self.peer.hear)
        if kept is not None and part is None:
            self.peer.adopt(kept.store, kept.published)
        if self.dress is not None:
            self.dress(self)

    async def _load(self, part: Part) -> Store:
        """The records in `part`, before anybody can ask for them."""
        clock = self._clock or clock_of(asyncio.get_running_loop())
        return await DiskStore.loaded(part, clock(), network=self._settings.name, rng=self._rng)

    def _ports(self, part: Part | None) -> tuple[int, ...]:
        """Where to listen: where it did before, so that those who knew it find it there; else as the launch says.

        A port that it was given by chance may be taken by the time it comes back: then it takes another one.
        """
        ports = self._settings.ports
        if ports is not None:
            return (self.port,) if self.port else ports
        before = (self._settings.host, self.port) if self.port or part is None else address_before(part)
        return (before[1], 0) if before is not None and before[1] and before[0] == self._settings.host else (0,)

    def kept(self) -> Kept:
        """What a disk would have of it now."""
        peer = self.living()
        return Kept(peer.store, peer.published)

    @property
    def rate(self) -> float:
        """How fast its clock runs."""
        return 1.0 if self._clock is None else self._clock.rate

    def skew(self, ahead: float, rate: float) -> None:
        """Sets its clock wrong: `ahead` by so many seconds, and running at `rate`."""
        if self._clock is None:
            self._clock = SkewedClock(self._carrier.loop.time)
        self._clock.skew(ahead, rate)
        if self.peer is not None:
            self.peer.use_clock(self._clock)

    def kill(self, silent: bool) -> None:
        """Ends it at once, without a word: links are reset, or, if `silent`, it turns into a black hole."""
        if self.peer is not None and self.endpoint is not None:
            self.peer.stop()
            self.peer = None
            self.endpoint.kill(silent)

    def lose_disk(self) -> None:
        """What it kept on a disk is gone, too; its key is not."""
        if self._disk is not None:
            self._disk.erase(self.uid)

    async def close(self) -> None:
        """Ends it in order. Idempotent."""
        peer, self.peer = self.peer, None
        if peer is not None:
            await peer.close()
        if self.endpoint is not None:
            with contextlib.suppress(OSError):
                await self.endpoint.close()

    def row(self) -> dict[str, Any]:
        """One row of `cluster.nodes()`."""
        row: dict[str, Any] = {"node": self.position, "alive": self.alive, "ip": self.ip, "port": self.port, "uid": self.uid.int}
        peer, endpoint = self.peer, self.endpoint
        if peer is None or endpoint is None:
            counts = (0, 0, 0, 0, 0, 0, 0, 0, 0)
        else:
            store = peer.store
            counts = (
                len(peer.table),
                endpoint.link_count,
                len(store.values),
                len(store.bags),
                len(store.namespaces),
                store.size,
                peer.answered,
                peer.requests.count,
                peer.refused_links,
            )
        names = ("contacts", "links", "values", "bags", "namespaces", "stored_bytes", "requests_in", "requests_out", "errors")
        return row | dict(zip(names, counts, strict=True))
