"""What must never be wrong, whatever fails and whoever lies: checked after every event (`watching.py`), and all of it after each step.

- What is kept under a key has that hash; a version that is kept is signed; the newest one of an entry never goes back.
- Only peers that were met stand in a table, each at an address where it really listens.
- Quotas hold, and the bytes counted are the bytes kept.
- Every request ends within 5 s, and is ended by the reply to it.
- What was published is renewed, and what was written to a disk is there after a restart.
- When things are quiet, a node has one link to a peer, and nothing is under way; in the end there is no task, no link, no open port.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any

from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.net.ends import MemoryTransport
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.moments import Moments
from p2pnb.net.virtual import BEGINNING
from p2pnb.peer.report import Event
from p2pnb.uid import siphashed
from tests.simulation.noted import WatchedLoop
from tests.simulation.watching import Life, Watch

REST = 60.0  # seconds within which everybody has a moment in which he does nothing


class Violation(AssertionError):
    """An invariant does not hold."""


class Trace:
    """What happened, in lines, and a digest of every request of every node."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.requests = 0
        self._now = BEGINNING
        self._hash = hashlib.sha256()

    def say(self, what: str) -> None:
        with contextlib.suppress(RuntimeError):  # when all is over, there is no loop any more
            self._now = asyncio.get_running_loop().time()
        line = f"{self._now - BEGINNING:10.3f}  {what}"
        self.lines.append(line)
        self._hash.update(line.encode())

    def note(self, event: Event) -> None:
        self.requests += 1
        self._hash.update(repr(event).encode())

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


class Invariants:
    """Watches `network`, nodes that join or come back included. A violation ends `main`, the task of the run, at once."""

    def __init__(self, network: Network, trace: Trace) -> None:
        self._network = network
        self._trace = trace
        self._main = asyncio.current_task()
        self.found: dict[str, int] = {}  # what is wrong, and the number of the event that did it
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WatchedLoop)
        self.watch = Watch(network, loop, self._say)
        network.log.append = self._ended  # type: ignore[method-assign]
        dress = network.injection.dress

        def dressed(member: Member) -> None:
            self.watch.watch(member)
            dress(member)

        network.injection.dress = dressed  # type: ignore[method-assign]

    def _say(self, what: str) -> None:
        if what not in self.found:
            self.found[what] = self.watch.events
            self._trace.say(f"WRONG, by event {self.watch.events}: {what}")
            assert self._main is not None
            self._main.cancel()

    def _ended(self, event: Event) -> None:
        self._trace.note(event)
        if self.watch.honest and event.outcome == "nonsense":
            self._say(f"node {self._network.position_of(event.node)} took the reply to a {event.verb} for nonsense, and nobody lies")

    # --- after each step --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything, at every living node. Raises `Violation`."""
        for member in self._network.living:
            life = self.watch.lives[member.position]
            life.keeping.sweep(life.peer.clock())
            for row in life.peer.table.rows(life.peer.clock()):
                if (row["uid"], row["ip"], row["port"]) not in self.watch.real:
                    self._say(f"in the table of node {member.position} stands {row['ip']}:{row['port']}, who was never met there")
        self.watch.sweep()
        self.verdict()

    def verdict(self) -> None:
        """Raises `Violation` if anything was found."""
        if self.found:
            raise Violation("; ".join(self.found))

    # --- when it is quiet -------------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """After a long time in which nobody did anything: each node has a moment in which nothing is under way."""
        busy = {member.position: "" for member in self._network.living}
        until = asyncio.get_running_loop().time() + REST
        while busy and asyncio.get_running_loop().time() < until:
            for position in list(busy):
                busy[position] = self._under_way(self.watch.lives[position])
                if not busy[position]:
                    del busy[position]
            await asyncio.sleep(1.0)
        for position, what in busy.items():
            self._say(f"node {position} is never quiet: {what}")
        self.verdict()

    def _under_way(self, life: Life) -> str:
        """What a node has that it does not have when nothing is to be done; empty if there is nothing."""
        peer, endpoint = life.peer, life.endpoint
        requests = peer.requests
        counted = {
            "tasks": len(peer._tasks) - 1,  # the one that receives
            "open requests": len(requests),
            "tasks that send": len(requests._tasks),
            "unanswered requests": len(requests._unanswered) + len(requests._waiting),
            "dials": len(endpoint._dials) + len(requests._dialling),
            "closed links": sum(link.closed for link in requests._links.values()),
            "replies": len(peer._replies._queues),
            "checks": len(peer._signs.checking),
            "links too many": len(endpoint._links) - len({link.uid for link in endpoint._links}),
            "links to nobody": sum(link.uid not in self._network.positions for link in endpoint._links),
            "messages": len(endpoint.inbox),
        }
        return ", ".join(f"{count} {what}" for what, count in counted.items() if count)

    def renewed(self, since: float) -> None:
        """Whoever lived all the time `since` then has renewed what he published. Raises `Violation`."""
        for member in self._network.living:
            if self.watch.lives[member.position].began <= since:
                for item in self.watch.promised.get(member.position, ()):
                    if self.watch.renewed.get((member.position, item), 0.0) < since:
                        self._say(f"node {member.position} has not renewed a {item[0]} that it published")
        self.verdict()

    # --- in the end -------------------------------------------------------------------------------------------------------

    def closed(self) -> None:
        """The network was closed: nothing of it is left."""
        carrier = self._network.carrier
        assert isinstance(carrier, MemoryNetwork)
        links = sum(len(member.endpoint._links) for member in self._network.members if member.endpoint is not None)
        places = 0 if carrier.places is None else len(carrier.places)
        waiting = [handle._callback for _, _, handle in self.watch.loop._timers if not handle._cancelled]
        wires = (MemoryTransport, MemoryNetwork, Moments)  # which may be slow: what is on them is nobody's
        timers = [each for each in waiting if not isinstance(getattr(each, "__self__", None), wires)]
        if links or carrier.listeners or carrier.stuck or places:
            self._say(f"left open: {links} connections, {len(carrier.listeners)} ports, {len(carrier.stuck)} wires, {places} places")
        if timers:
            self._say(f"left: {len(timers)} timers, {timers[0]!r:.120}")
        self.verdict()

    def holders(self, what: Any, value: Any) -> list[int]:
        """The positions of the living who keep what was acknowledged."""
        found = []
        for member in self._network.living:
            store = member.living().store
            if what[0] == "value":
                held = what[1].int in store.values._records
            elif what[0] == "bag":
                bag = store.bags._bags.get(siphashed(what[1].int))
                held = bag is not None and value in bag.items
            else:
                entry = store.namespaces._entries.get(point_of(what[1], what[2].int))
                held = entry is not None and entry.versions[-1].sequence >= value
            if held:
                found.append(member.position)
        return found
