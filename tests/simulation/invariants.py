"""What must never be wrong, whatever fails and whoever lies: checked when something is stored, when a request ends, and after each step.

- What is kept under a key has that hash; a version that is kept is signed; the newest one of an entry never goes back.
- Only peers that were met stand in a table, each at an address where it really listens.
- Quotas hold, and the bytes counted are the bytes kept.
- Every request ends within 5 s.
- In the end there is no task, no connection, no open port.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any

from p2pnb import spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.bags import BAG_BYTES
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.signature import verify
from p2pnb.dht.store import Put, Store
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.virtual import BEGINNING
from p2pnb.peer.report import Event
from p2pnb.wire.messages import NamespaceSet, Set

HAIR = 1e-6
FEW = 3  # keepers, of five, that whoever throws a record away must leave


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
    """Watches `network`, nodes that join or come back included."""

    def __init__(self, network: Network, trace: Trace) -> None:
        self._network = network
        self._trace = trace
        self._newest: dict[tuple[int, int], int] = {}  # (a store, a point) -> the highest sequence number that it had
        self._stores: dict[int, Store] = {}  # so that no identity is used again
        self._found: list[str] = []
        self.honest = True  # whether nobody lies
        self._real: set[tuple[int, str, int]] = set()  # everybody who ever listened
        network.log.append = self._ended  # type: ignore[method-assign]
        dress = network.injection.dress

        def dressed(member: Member) -> None:
            dress(member)
            self._watch(member)

        network.injection.dress = dressed  # type: ignore[method-assign]

    # --- at every event -------------------------------------------------------------------------------------------------

    def _watch(self, member: Member) -> None:
        store = member.living().store
        self._real.add((member.uid.int, member.ip, member.port))
        if id(store) in self._stores:
            return
        self._stores[id(store)] = store
        put, drop = store.put, store.drop

        def checked_put(request: Put, key: int, now: float, **whose: Any) -> bool | Deferred[bool]:
            store.expire(now)
            if key not in store.namespaces._entries:  # an entry that has expired may begin anew
                self._newest.pop((id(store), key), None)
            taken = put(request, key, now, **whose)
            self._stored(member, store, request, key, taken)
            return taken

        def noted_drop(key: int) -> None:
            if self.honest and len(self._keepers(key)) < FEW:
                self._say(f"node {member.position} throws a record away that only nodes {self._keepers(key)} keep")
            self._newest.pop((id(store), key), None)
            drop(key)

        store.put = checked_put  # type: ignore[method-assign]
        store.drop = noted_drop  # type: ignore[method-assign]

    def _stored(self, member: Member, store: Store, request: Put, key: int, taken: bool | Deferred[bool]) -> None:
        if isinstance(request, Set) and taken is True and _sha(request.value) != key:
            self._say(f"node {member.position} took a value under a key that is not its hash")
        if taken is True and key not in store.keys():
            self._say(f"node {member.position} said that it took a record, and has not kept it")
        if isinstance(request, NamespaceSet):
            self._check_entries(member, store, key)
        if store.quota.used > store.quota.total:
            self._say(f"node {member.position} keeps {store.quota.used} bytes, more than {store.quota.total}")

    def _ended(self, event: Event) -> None:
        self._trace.note(event)
        position = self._network.position_of(event.node)
        if self.honest and event.outcome == "nonsense":
            self._say(f"node {position} took the reply to a {event.verb} for nonsense, and nobody lies")
        member = None if position is None else self._network.members[position]
        if member is None or member._clock is not None or member.peer is None:
            return  # a clock that is wrong cannot tell
        took = asyncio.get_running_loop().time() - event.time
        if took > spec_timeout() + HAIR:
            self._say(f"a {event.verb} of node {member.position} took {took:.3f} s to end")

    def _say(self, what: str) -> None:
        self._found.append(what)

    # --- after each step --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything, at every living node. Raises `Violation`."""
        now = asyncio.get_running_loop().time()
        for member in self._network.living:
            peer = member.living()
            for row in peer.table.rows(peer.clock()):
                if (row["uid"], row["ip"], row["port"]) not in self._real:
                    self._say(f"in the table of node {member.position} stands {row['ip']}:{row['port']}, who was never met there")
            for asked in peer.requests._open:
                if member._clock is None and now - asked.since > spec_timeout() + HAIR:
                    self._say(f"node {member.position} has waited {now - asked.since:.1f} s for {asked.contact}")
            self._check_store(member, peer.store, peer.clock())
        if self._found:
            raise Violation("; ".join(dict.fromkeys(self._found)))

    def _keepers(self, key: int) -> list[int]:
        return [member.position for member in self._network.living if key in member.living().store.keys()]

    def _check_store(self, member: Member, store: Store, now: float) -> None:
        store.expire(now)  # as upkeep does each minute
        for kept in (*store.values._records.values(), *store.namespaces._entries.values()):
            if now - kept.since > spec.EXPIRY:
                self._say(f"node {member.position} keeps something that is {now - kept.since:.0f} s old")
        for key, record in store.values._records.items():
            if _sha(record.value) != key:
                self._say(f"node {member.position} keeps a value under a key that is not its hash")
        for point in store.namespaces.keys():
            self._check_entries(member, store, point)
        size = sum(record.size for record in store.values._records.values())
        size += sum(entry.size for entry in store.namespaces._entries.values())
        size += sum(BAG_BYTES + sum(item.size for item in bag.items.values()) for bag in store.bags._bags.values())
        if size != store.quota.used:
            self._say(f"node {member.position} keeps {size} bytes, and counts {store.quota.used}")
        for bag in store.bags._bags.values():
            if len(bag.items) > spec.BAG_VALUES or max(bag.ballots.values(), default=0) > spec.BAG_VALUES_A_PUBLISHER:
                self._say(f"a bag of node {member.position} has more than it may")

    def _check_entries(self, member: Member, store: Store, point: int) -> None:
        entry = store.namespaces._entries.get(point)
        if entry is None:
            self._newest.pop((id(store), point), None)
            return
        sequences = [version.sequence for version in entry.versions]
        before = self._newest.get((id(store), point), -1)
        if sequences != sorted(sequences) or sequences[-1] < before or len(sequences) > spec.VERSIONS_KEPT:
            self._say(f"an entry of node {member.position} went back from version {before} to versions {sequences}")
        for version in entry.versions:
            whole = {"network": "", "key": entry.key, "sequence": version.sequence, "value": version.value}
            if point_of(entry.public_key, entry.key) != point or not verify(entry.public_key, version.signature, **whole):  # type: ignore[arg-type]
                self._say(f"node {member.position} keeps a version that nobody signed")
        self._newest[id(store), point] = sequences[-1]

    def quiet(self) -> None:
        """After a long time in which nobody did anything: nothing is under way, and nobody has two connections to the same peer."""
        for member in self._network.living:
            peer, endpoint = member.living(), member.endpoint
            assert endpoint is not None
            if len(endpoint._links) > 2 * len(self._network.members):
                raise Violation(f"node {member.position} has {len(endpoint._links)} connections to {len(self._network.members)} nodes")
            if len(peer.requests) > spec.MAX_UNANSWERED:
                raise Violation(f"node {member.position} has {len(peer.requests)} open requests, and nobody asked it anything")
        if self._found:
            raise Violation("; ".join(dict.fromkeys(self._found)))

    def closed(self) -> None:
        """The network was closed: nothing of it is left."""
        carrier = self._network.carrier
        assert isinstance(carrier, MemoryNetwork)
        links = sum(len(member.endpoint._links) for member in self._network.members if member.endpoint is not None)
        if links or carrier.listeners or carrier.stuck:
            raise Violation(f"left open: {links} connections, {len(carrier.listeners)} ports, {len(carrier.stuck)} wires")
        if self._found:
            raise Violation("; ".join(dict.fromkeys(self._found)))

    def holders(self, what: Any, value: Any) -> list[int]:
        """The positions of the living who keep what was acknowledged."""
        found = []
        for member in self._network.living:
            store = member.living().store
            if what[0] == "value":
                held = what[1].int in store.values._records
            elif what[0] == "bag":
                bag = store.bags._bags.get(what[1].int)
                held = bag is not None and value in bag.items
            else:
                entry = store.namespaces._entries.get(point_of(what[1], what[2].int))
                held = entry is not None and entry.versions[-1].sequence >= value
            if held:
                found.append(member.position)
        return found


def spec_timeout() -> float:
    """The draft's 5 seconds, and not what the code under test makes of them."""
    return 5.0


def _sha(value: bytes) -> int:
    return int.from_bytes(hashlib.sha256(value).digest(), "big")
