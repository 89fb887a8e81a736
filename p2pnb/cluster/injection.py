"""Doing faults to a network, and undoing them, on the cluster's thread. What a fault is stands in `faults.py`.

Wires are bent by one rule (`MemoryNetwork.rule`): a pure function of the faults that are on and of the two ends, so faults add
up, any of them can be ended first, and a node that joins or restarts later is met by what is wrong with everybody. What is
wrong with a node (a lie, a disk, a clock) is done to its peer, and done again when it comes back with a new one.

Everything drawn comes from one generator seeded with the network's seed, apart from all others: the same seed and the same
faults give the same run, and a fault changes nothing that does not follow from it. Each happening is one row of the log.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from p2pnb.brief import brief
from p2pnb.cluster.churn import Churn, Recorded
from p2pnb.cluster.distributions import drawing
from p2pnb.cluster.faults import Crash, DiskErrors, Fault, Latency, Liars, Loss, Partition, Resets, Skew, SlowReaders, Whom
from p2pnb.cluster.liars import BrokenDisk, Liar
from p2pnb.cluster.member import Kept, Member
from p2pnb.errors import P2PError
from p2pnb.net.carrier import Address
from p2pnb.net.memory import Condition, MemoryNetwork
from p2pnb.peer.peer import Peer

if TYPE_CHECKING:
    from p2pnb.cluster.network import Network

KEPT = 50_000  # happenings in the log
AGAIN = 5.0  # seconds until a node that came back, and reached nobody, tries again


@dataclass(eq=False, slots=True)
class Active:
    """A fault that is on: whom it befalls (None: everybody), and what it has to undo."""

    fault: Fault
    number: int
    members: list[Member] | None
    others: list[Member] | None
    down: dict[Member, Kept | None]
    tasks: set[asyncio.Task[None]]
    over: bool = False
    addresses: frozenset[Address] = frozenset()
    other_addresses: frozenset[Address] = frozenset()

    def touches(self, member: Member) -> bool:
        return self.members is None or member in self.members


class Injection:
    """The faults of one network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rng = random.Random(None if network.seed is None else f"faults {network.seed}")
        self._count = 0
        self._returning: set[asyncio.Task[None]] = set()
        self.on: list[Active] = []
        self.happened: deque[dict[str, Any]] = deque(maxlen=KEPT)

    # --- beginning and ending -------------------------------------------------------------------------------------------

    def begin(self, faults: Iterable[Fault]) -> list[Active]:
        """Does these to the network: all of them, or, where one cannot be, none. Raises `ValueError`."""
        before = self._count, self._rng.getstate()
        try:
            begun = [self._made(fault) for fault in faults]
        except ValueError:
            self._count = before[0]
            self._rng.setstate(before[1])
            raise
        for active in begun:
            self.on.append(active)
            self._note(active, "begins", active.members)
            self._do(active)
        self._bend()
        return begun

    def end(self, actives: Iterable[Active]) -> None:
        """Mends these. What they killed comes back, in the background."""
        ending = [active for active in actives if not active.over]
        for active in ending:
            active.over = True
            self.on.remove(active)
            self._note(active, "ends", active.members)
            for task in active.tasks:
                task.cancel()
        self._bend()
        for active in ending:
            self._undo(active)

    def close(self) -> None:
        """Ends what would still happen by itself. The network is closing: nothing is mended."""
        for task in [*self._returning, *(task for active in self.on for task in active.tasks)]:
            task.cancel()

    def _made(self, fault: Fault) -> Active:
        network = self._network
        if fault.wires and not isinstance(network.carrier, MemoryNetwork):
            hint = "; cluster.partition(…) cuts real cables, too" if isinstance(fault, Partition) else ""
            wanted = 'Cluster.launch(…, network="memory" or "virtual")'
            raise brief(ValueError(f"{fault.name} takes a pretended wire: {wanted}; sockets have their own{hint}"))
        self._count += 1
        members = self._chosen(fault.whom)
        others = self._chosen(fault.others) if isinstance(fault, Partition) else None
        if isinstance(fault, Churn) and isinstance(fault.sessions, Recorded):
            last = len(network.members) - 1
            unknown = [node for node in fault.sessions.of if not 0 <= node <= last]
            if unknown:
                raise brief(ValueError(f"sessions of node {unknown[0]} were recorded, and this cluster's nodes are 0 to {last}"))
        return Active(fault, self._count, members, others, {}, set())

    def _chosen(self, whom: Whom) -> list[Member] | None:
        if whom is None:
            return None
        if isinstance(whom, (int, float)):
            living = self._network.living
            return self._rng.sample(living, round(len(living) * whom))
        unknown = [member for member in whom if member not in self._network.members]
        if unknown:
            raise brief(ValueError(f"{unknown[0]!r} is no node of this network"))
        return list(whom)

    def _do(self, active: Active) -> None:
        fault = active.fault
        members = self._network.living if active.members is None else active.members
        if isinstance(fault, Crash):
            for member in members:
                self._crash(active, member, fault.silent, fault.disk)
            if fault.back_after is not None:
                self._spawn(active.tasks, self._back_later(active, fault.back_after))
        elif isinstance(fault, Churn):
            for member in self._befallen(active):
                self._churn(active, fault, member)
        elif isinstance(fault, Resets):
            self._spawn(active.tasks, self._reset(active, fault))
        elif isinstance(fault, Skew):
            for member in self._befallen(active):
                member.skew(fault.ahead, self._rate(member))
        elif isinstance(fault, (Liars, DiskErrors)):
            for member in members:
                if member.peer is not None:
                    self._corrupt(active, member.peer)

    def _befallen(self, active: Active) -> list[Member]:
        """Whom it befalls, dead or alive."""
        return self._network.members if active.members is None else active.members

    def _undo(self, active: Active) -> None:
        fault = active.fault
        if isinstance(fault, (Crash, Churn)):
            for member in list(active.down):
                self._bring_back(active, member)
        elif isinstance(fault, Partition):
            for member in self._network.living:
                member.living().recheck()
        elif isinstance(fault, (Skew, Liars, DiskErrors)):
            for member in self._befallen(active):
                if member.peer is not None:
                    self.dress(member)

    # --- wires ----------------------------------------------------------------------------------------------------------

    def _bend(self) -> None:
        carrier = self._network.carrier
        if not isinstance(carrier, MemoryNetwork):
            return
        bending = [active for active in self.on if active.fault.wires]
        for active in bending:
            active.addresses = _addresses(active.members)
            active.other_addresses = _addresses(active.others)
        carrier.rule(None if not bending else lambda source, destination: self._condition(carrier, bending, source, destination))

    def _condition(self, carrier: MemoryNetwork, bending: list[Active], source: Address, destination: Address) -> Condition:
        plain = carrier.everywhere
        wire = Condition(plain.latency, plain.loss, plain.blocked, plain.rate)
        for active in bending:
            fault, all_of_them = active.fault, active.members is None
            said, heard = all_of_them or source in active.addresses, all_of_them or destination in active.addresses
            if isinstance(fault, Partition):
                out = said and (destination in active.other_addresses if active.others is not None else not heard)
                back = heard and (source in active.other_addresses if active.others is not None else not said)
                if out or (back and not fault.one_way):
                    fault.bend(wire)
            elif isinstance(fault, SlowReaders):
                if heard:
                    fault.bend(wire)
            elif isinstance(fault, (Latency, Loss)) and (said or heard):
                fault.bend(wire)
        wire.settle()
        return wire

    async def _reset(self, active: Active, fault: Resets) -> None:
        while True:
            await asyncio.sleep(fault.every)
            for member in self._network.living:
                if member.endpoint is None:
                    continue
                for link in member.endpoint.links:
                    if not link.outbound:  # each connection once: at the end that began it
                        continue
                    other = self._network.position_of(link.uid)
                    touched = active.touches(member) or (other is not None and active.touches(self._network.members[other]))
                    if touched and self._rng.random() < fault.share:
                        self._note(active, "resets", [member], other)
                        link.cut()

    # --- machines -------------------------------------------------------------------------------------------------------

    def _crash(self, active: Active, member: Member, silent: bool, disk: bool) -> bool:
        """Kills `member`, unless it is down already, or alone in a churn. Returns whether it did."""
        if not member.alive or (isinstance(active.fault, Churn) and len(self._network.living) == 1):
            return False
        active.down[member] = member.kept() if disk else None
        self._note(active, "crashes", [member])
        self._network.kill([member], silent)
        if not disk:
            member.lose_disk()
        return True

    async def _back_later(self, active: Active, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for member in list(active.down):
            self._bring_back(active, member)

    def _bring_back(self, active: Active, member: Member) -> asyncio.Task[None]:
        """Restarts `member`, which this fault has killed. That goes on even if the fault ends meanwhile."""
        return self._spawn(self._returning, self._back(active, member, active.down.pop(member)))

    async def _back(self, active: Active, member: Member, kept: Kept | None) -> None:
        if member.alive or member not in self._network.members:  # restarted by somebody else, or given up while it was joining
            return
        self._note(active, "comes back", [member])
        joining = self._network.restart(member, kept)
        while True:
            try:
                await joining
                break
            except P2PError:  # whom it asked is gone, or it has crashed again itself
                await asyncio.sleep(AGAIN)
            if member not in self._network.living:
                break
            joining = self._network.rejoin(member)
        if member not in self._network.members:  # given up while it came back
            await member.close()

    def welcome(self, members: Iterable[Member]) -> None:
        """These have joined: where everybody comes and goes, so do they."""
        for active in self.on:
            if isinstance(active.fault, Churn) and active.members is None:
                for member in members:
                    self._churn(active, active.fault, member)

    def _churn(self, active: Active, fault: Churn, member: Member) -> None:
        sessions = fault.sessions
        if not isinstance(sessions, Recorded):
            rng = random.Random(f"{self._rng.random()} {member.position}")
            self._spawn(active.tasks, self._come_and_go(active, fault, member, drawing(sessions), rng))
        elif member.position in sessions.of:
            self._spawn(active.tasks, self._follow(active, fault, member, sessions.of[member.position]))

    async def _come_and_go(
        self, active: Active, fault: Churn, member: Member, session: Callable[[random.Random], float], rng: random.Random
    ) -> None:
        while True:
            await asyncio.sleep(session(rng))
            if self._crash(active, member, fault.silent, fault.disk):
                await asyncio.sleep(fault.absence(rng))
                await asyncio.shield(self._bring_back(active, member))

    async def _follow(self, active: Active, fault: Churn, member: Member, sessions: list[tuple[float, float]]) -> None:
        """A session ends when it was recorded to end, whether the node has joined again by then or not."""
        loop = asyncio.get_running_loop()
        began, back = loop.time(), None
        for start, end in sessions:
            if start > loop.time() - began:
                crashed = self._crash(active, member, fault.silent, fault.disk)
                await asyncio.sleep(began + start - loop.time())
                back = self._bring_back(active, member) if crashed else None
            if end == math.inf:
                return
            await asyncio.sleep(max(0.0, began + end - loop.time()))
            if back is not None and not member.alive:  # its disk is still being read
                await asyncio.wait([back])
        self._crash(active, member, fault.silent, fault.disk)

    # --- peers ----------------------------------------------------------------------------------------------------------

    def dress(self, member: Member) -> None:
        """A node has a new peer, or is to be honest again: what is wrong with it now is done to it."""
        peer = member.living()
        while isinstance(peer.responder, (Liar, BrokenDisk)):
            peer.responder = peer.responder.true
        if peer.lasting.part is not None:
            peer.lasting.part.fault = None
        for active in self.on:
            if active.touches(member):
                self._corrupt(active, peer)
        if member.rate != (rate := self._rate(member)):
            member.skew(0.0, rate)

    def _rate(self, member: Member) -> float:
        """How fast its clock runs, by all that is wrong with it."""
        return math.prod(active.fault.rate for active in self.on if isinstance(active.fault, Skew) and active.touches(member))

    def _corrupt(self, active: Active, peer: Peer) -> None:
        fault = active.fault
        if isinstance(fault, Liars):
            peer.responder = Liar(peer.responder, peer.own, peer.store, fault.told, random.Random(self._rng.random()))
        elif isinstance(fault, DiskErrors):
            rng = random.Random(self._rng.random())
            if peer.lasting.part is None:
                peer.responder = BrokenDisk(peer.responder, fault.share, rng)
            else:
                peer.lasting.part.fault = partial(_disk_error, fault.share, rng, peer.lasting.part.fault)

    # --- notes and tasks --------------------------------------------------------------------------------------------------

    def _note(self, active: Active, what: str, members: Iterable[Member] | None = None, peer: int | None = None) -> None:
        log = self._network.log
        row = {
            "time": asyncio.get_running_loop().time() - log.began,
            "number": active.number,
            "fault": active.fault.name,
            "what": what,
            "peer": peer,
        }
        for node in [None] if members is None else [member.position for member in members]:
            self.happened.append({**row, "node": node})

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task


def _addresses(members: list[Member] | None) -> frozenset[Address]:
    return frozenset((member.ip, member.port) for member in members or ())


def _disk_error(share: float, rng: random.Random, other: Callable[[], Exception | None] | None) -> Exception | None:
    """What a commit meets on a disk that fails so often, and perhaps in another way as well."""
    error = OSError(errno.EIO, os.strerror(errno.EIO)) if rng.random() < share else None
    return error or (other() if other is not None else None)
