"""All members of a cluster, on the cluster's thread: starting, joining, killing, parting, ending.

`Cluster` is what people hold; it crosses to this thread and keeps its promises. This is what it crosses to.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from p2pnb.cluster.injection import Injection
from p2pnb.cluster.member import Kept, Member, Settings
from p2pnb.cluster.storing import given_identity, identity_at, open_store
from p2pnb.cluster.watch import EventLog
from p2pnb.errors import P2PError, PeerUnreachable
from p2pnb.net.carrier import Carrier
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.tcp import TcpCarrier
from p2pnb.peer.identity import Identity
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key

if TYPE_CHECKING:
    from p2pnb.disk.disk import Disk

JOIN_TRIES = 3
JOINING = 8  # nodes that join at the same time
FIRST = 128  # of a large network, join so few at a time; from then on
CROWD = 4  # one for so many that have joined: of larger crowds, some meet only each other
FILLS = 8  # parts in which those of a full join fill their far buckets
IDLE_LOOKUPS_A_SECOND = 5.0  # far buckets that all nodes together fill in the background

Latency = float | Callable[[random.Random], float]


class Network:
    """The members and what they share. `seed` None: identities from the system's randomness."""

    def __init__(
        self, kind: str, settings: Settings, seed: int | None, latency: Latency, loss: float, identities: Sequence[Identity] = ()
    ) -> None:
        self.settings = settings
        self.seed = seed
        self._identities = list(identities)
        self.rng = random.Random(seed)
        self.members: list[Member] = []
        self.positions: dict[int, int] = {}
        self.log = EventLog(self.position_of, hashed=kind == "virtual")
        self.carrier: Carrier | None = None if kind == "tcp" else MemoryNetwork(random.Random(self.rng.getrandbits(64)), latency, loss)
        self.walled: list[Member] = []
        self.cut_off: list[Member] = []
        self.injection = Injection(self)
        self.disk: Disk | None = None
        self._simulated = kind not in ("tcp", "memory")
        self._growing = asyncio.Lock()

    def position_of(self, uid: int | None) -> int | None:
        """The position of the member with this uid; None for a stranger."""
        return None if uid is None else self.positions.get(uid)

    @property
    def living(self) -> list[Member]:
        return [member for member in self.members if member.alive]

    # --- beginning ------------------------------------------------------------------------------------------------------

    async def grow(self, n: int, bootstrap: Collection[tuple[str, int]], step: Callable[[], None]) -> list[Member]:
        """`n` more members, started and joined. Raises what kept the first one from it, and leaves none of them behind.

        Who grows while somebody else does waits: positions are given once, and for good.
        """
        async with self._growing:
            return await self._grown(n, bootstrap, step)

    async def _grown(self, n: int, bootstrap: Collection[tuple[str, int]], step: Callable[[], None]) -> list[Member]:
        carrier = self.carrier = self.carrier or TcpCarrier.shared()  # the loop's own, so it is asked for on the loop
        if self.disk is None and self.settings.store is not None:
            self.disk = open_store(self.settings.store, simulated=self._simulated)
        new = []
        for position in range(len(self.members), len(self.members) + n):
            new.append(self._make(position, carrier))
            if self.disk is not None:  # its key was written and synced: whoever waits may be interrupted between two
                await asyncio.sleep(0)
        if not self.members:
            self.log.began = asyncio.get_running_loop().time()
        try:
            for member in new:
                await member.start()
            first = not self.members
            self.members.extend(new)
            self.positions.update((member.uid.int, member.position) for member in new)
            if self.settings.full_join:
                self._refresh(new, False)  # what it is about to fill
            await self._join(new, bootstrap, alone=first, step=step)
            if self.settings.full_join:
                await self._fill(new)
                self._refresh(new, True)
        except BaseException as error:
            for member in new:
                self.positions.pop(member.uid.int, None)
            self.members[:] = [member for member in self.members if member not in new]
            if isinstance(error, GeneratorExit):  # it was dropped with its whole world
                raise
            await asyncio.gather(*(member.close() for member in new))
            raise
        self._pace()
        for member in new:
            if member.peer is not None and member.peer.upkeep is not None and not self.settings.full_join:
                member.peer.upkeep.fill_far_buckets()
        self.injection.welcome(new)
        return new

    def _make(self, position: int, carrier: Carrier) -> Member:
        seeded = None if self.seed is None or position < len(self._identities) else Identity.from_seed(self.rng.randbytes(32))
        given, reason = given_identity(position, self._identities, seeded)
        identity = (given or Identity.create()) if self.disk is None else identity_at(self.disk, position, given, reason)
        seed = self.rng.getrandbits(64)
        member = Member(position, identity, carrier, self.settings, seed, self.log.append, self.log.words, self.disk)
        member.dress = self.injection.dress
        return member

    async def _join(self, new: list[Member], bootstrap: Collection[tuple[str, int]], *, alone: bool, step: Callable[[], None]) -> None:
        """Each joins through a member that has joined before it; the first one through `bootstrap`, if there is one."""
        joined = [member for member in self.living if member not in new]
        joined = [member for member in joined if member not in self.cut_off] or joined  # whoever comes now is on the other side
        waiting = deque(new)
        if alone:
            first = waiting.popleft()
            await self._begin(first.living(), bootstrap)
            joined.append(first)
            step()

        async def join_some(members: Iterator[Member]) -> None:
            for member in members:
                await self._join_through_some(member.living(), joined)
                self._recall(member.living())
                joined.append(member)
                step()

        while waiting:
            size, at_once = self._next(len(joined), len(new))
            some = iter([waiting.popleft() for _ in range(min(size, len(waiting)))])  # each takes whoever is next
            await asyncio.gather(*(join_some(some) for _ in range(at_once)))

    def _next(self, joined: int, new: int) -> tuple[int, int]:
        """How many of `new` nodes join next, and how many of them at the same time: more in simulated time, where nobody has to wait."""
        if not self._simulated:
            return new, JOINING
        return max(joined, FIRST), joined // CROWD if joined >= FIRST else JOINING

    async def _join_through_some(self, peer: Peer, joined: list[Member]) -> None:
        """Joins through one of `joined`, drawn at random; through another one where that fails: a busy machine misses a deadline."""
        for tries_left in reversed(range(JOIN_TRIES)):
            try:
                await _join_through(peer, self.rng.choice(joined[-1000:]))
                break
            except P2PError:
                if not tries_left:
                    raise

    async def _fill(self, new: list[Member]) -> None:
        """Their far buckets, some at a time: who is asked learns of whoever asks, and has the less to ask himself."""
        waiting = list(new)

        async def fill_some() -> None:
            while waiting:
                peer = waiting.pop().peer  # None: killed meanwhile
                if peer is not None:
                    await peer.fill()

        await asyncio.gather(*(fill_some() for _ in range(max(JOINING, len(new) // FILLS))))

    def _refresh(self, members: list[Member], whether: bool) -> None:
        """Has their upkeep refresh buckets, or not for the time being."""
        for member in members:
            if member.peer is not None and member.peer.upkeep is not None:
                member.peer.upkeep.refreshes = whether

    async def _begin(self, peer: Peer, bootstrap: Collection[tuple[str, int]]) -> None:
        """The first member joins the network of `bootstrap`, or, when it is not there, of those whom it knew in an earlier life."""
        try:
            if bootstrap:
                await self._enter(peer, bootstrap)
            elif await peer.recall(self.positions):
                await peer.bootstrap(far=False)
        except P2PError:
            if not bootstrap or not await peer.recall(self.positions):
                raise
            await peer.bootstrap(far=False)

    def _recall(self, peer: Peer) -> None:
        """A member looks for those whom it knew outside of this cluster, and notes whom it knows now."""
        if self.disk is not None:
            peer.spawn(peer.recall(self.positions))
            peer.lasting.met(peer.table)

    async def _enter(self, peer: Peer, addresses: Iterable[tuple[str, int]]) -> Key:
        """Joins a network of others through the first of `addresses` that answers; raises what the last one said."""
        refusal: P2PError = PeerUnreachable("no address to join at: give one as (ip, port)", "unreachable")
        for ip, port in addresses:
            try:
                met = await peer.greet(ip, port)
            except P2PError as error:
                refusal = error
                continue
            await peer.bootstrap(far=False)
            return Key.from_int(met.uid or 0)
        raise refusal

    async def join(self, ip: str, port: int) -> Key:
        """Every living member joins the network of the peer at `ip` and `port`; the first one finds out whether it can."""
        living = self.living
        if not living:
            raise PeerUnreachable("every node of this cluster was killed: await cluster.restart(cluster[0]) first", "closed")
        met = await self._enter(living[0].living(), [(ip, port)])

        async def follow(member: Member) -> None:
            if member.peer is not None:
                with contextlib.suppress(P2PError):
                    await self._enter(member.peer, [(ip, port)])

        await asyncio.gather(*(follow(member) for member in living[1:]))
        return met

    async def restart(self, member: Member, kept: Kept | None = None) -> None:
        """Starts it anew, at its old address and under its old uid, with what it `kept`, and joins it through another member."""
        member.kill(silent=False)
        await member.close()
        await member.start(kept)
        await self.rejoin(member)
        self._pace()

    async def rejoin(self, member: Member) -> None:
        """Joins a lonely `member` through another one. Raises the `P2PError` that kept it from it."""
        others = [each for each in self.living if each is not member]
        within_reach = [each for each in others if (each in self.cut_off) == (member in self.cut_off)]
        if others:
            await _join_through(member.living(), self.rng.choice(within_reach or others))
        peer = member.living()
        if peer.upkeep is not None:
            peer.upkeep.fill_far_buckets()
        self._recall(peer)

    def _pace(self) -> None:
        """Far buckets are filled slowly where many nodes share one process."""
        living = self.living
        for member in living:
            if member.peer is not None and member.peer.upkeep is not None:
                member.peer.upkeep.idle = max(1.0, len(living) / IDLE_LOOKUPS_A_SECOND)

    # --- breaking -------------------------------------------------------------------------------------------------------

    def choose(self, fraction: float) -> list[Member]:
        """A share of the living ones, drawn at random."""
        living = self.living
        return self.rng.sample(living, round(len(living) * fraction))

    def kill(self, members: Iterable[Member], silent: bool) -> list[Member]:
        doomed = [member for member in members if member.alive]
        for member in doomed:
            member.kill(silent)
        return doomed

    def partition(self, cut_off: list[Member]) -> list[Member]:
        """Parts `cut_off` from everybody else, who joins later included: nothing passes between the two sides."""
        self.heal()
        addresses = frozenset((member.ip, member.port) for member in cut_off)
        self.walled = self.living
        for member in self.walled:
            if member.endpoint is not None:
                member.endpoint.wall((lambda ip, port: (ip, port) not in addresses) if member in cut_off else addresses)
        self.cut_off = list(cut_off)
        return cut_off

    def heal(self) -> list[Member]:
        """Ends a partition; the nodes look for those whom they had given up."""
        healed, self.walled, self.cut_off = [member for member in self.walled if member.alive], [], []
        for member in healed:
            if member.endpoint is not None:
                member.endpoint.unwall()
        for member in healed:
            member.living().recheck()
        return healed

    async def close(self) -> None:
        self.injection.close()
        await asyncio.gather(*(member.close() for member in self.members))
        if self.disk is not None:
            self.disk.close()


async def _join_through(peer: Peer, through: Member) -> None:
    await peer.greet(through.ip, through.port)
    await peer.bootstrap(far=False)
