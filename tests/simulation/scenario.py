"""One simulated run, drawn from a seed: a cluster, a workload of every public procedure, and faults; all of it checked as it goes.

A run has two parts. In the storm, thirty steps follow each other: somebody calls a procedure, a fault begins or ends, nodes
crash, come back or join, time passes. Several things are under way at once. In the calm, in mode "liveness", everything is
mended: then there must be progress within 60 seconds, and after more than an hour of upkeep whatever was acknowledged and has
a living, honest holder must be found. Mode "safety" has a wilder storm, with liars, and no calm: nothing may ever be wrong, but
nothing need succeed.

Time is virtual, chance is one generator. The same seed gives the same run, to the last message: `Trace.digest` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

from p2pnb import Author, key_of, spec
from p2pnb.cluster.churn import Churn
from p2pnb.cluster.distributions import Exponential
from p2pnb.cluster.injection import Active
from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.errors import NotFound, P2PError
from p2pnb.faults import Crash, DiskErrors, Fault, Latency, Liars, Loss, Partition, Resets, Skew, SlowReaders
from p2pnb.net.places import Places
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key
from tests.simulation.invariants import Invariants, Trace, Violation
from tests.simulation.keeping import Item
from tests.simulation.noted import WatchedLoop

MODES = ("safety", "liveness")
PROGRESS = 60.0  # virtual seconds within which something succeeds once everything is mended
QUIET = 4_500.0  # virtual seconds until upkeep has mended what can be mended
LAST = 10.0  # virtual seconds until nothing is left of what was closed
ENDLESS = 600.0  # virtual seconds that no procedure takes, whatever is broken
STEPS = 30
DISKS = 0.25  # of the runs have a disk under their nodes
RESTARTS = 0.4  # of the faults of such a run are restarts with all that was written
NARROW = 0.25  # of the runs have records refused, and given away, by whoever knows 7 that are nearer, and not 20
CROWDS = 0.25  # of the runs have too few descriptors for all links
FULL = 0.4  # of the runs that need not succeed have nodes with little room
ROOM, ALLOWANCE = 3_500, 900  # bytes that such a node keeps, and takes of one publisher an hour
TIES = 0.3  # of the versions that are set have the number of one that is there


class Run:
    """The run of `seed` in `mode`. `go()` raises `Violation`; `trace` tells what happened."""

    def __init__(self, seed: int, mode: str) -> None:
        self.seed, self.mode = seed, mode
        self.rng = random.Random(f"simulation {mode} {seed}")
        self.more = random.Random(f"simulation {mode} {seed}, its machines")  # another generator, so that each can change alone
        self.path: Path | None = None  # of the disk, if there is one
        self.trace = Trace()
        self.authors = [Author.from_seed(self.rng.randbytes(32)) for _ in range(2)]
        self.topics = [key_of(b"topic %d" % each) for each in range(3)]
        self.values: dict[Key, bytes] = {}  # everything that was ever to be stored
        self.acknowledged: dict[Any, Any] = {}  # ("value", key), ("bag", topic, value), ("entry", author, topic): what
        self.signed: dict[Any, set[bytes]] = {}  # what an author ever signed under a name
        self.published: dict[tuple[Key, Key], set[int]] = {}  # who ever was to list a value in a bag
        self.faults: list[Active] = []
        self.working: set[asyncio.Task[None]] = set()

    def go(self) -> None:
        unhandled: list[dict[str, Any]] = []

        async def whole() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: unhandled.append(context))
            await self._whole()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if left:
                raise Violation(f"tasks are left: {sorted(each.get_coro().__qualname__ for each in left)}")  # type: ignore[union-attr]

        with asyncio.Runner(loop_factory=WatchedLoop) as runner:
            try:
                runner.run(whole())
            except asyncio.CancelledError:  # something was found wrong
                self.invariants.verdict()
                raise
            finally:
                for context in unhandled[:3]:
                    self.trace.say(f"unhandled: {context['message']}: {context.get('exception')!r}")
        if unhandled:
            raise Violation(f"{len(unhandled)} unhandled: {unhandled[0]['message']}: {unhandled[0].get('exception')!r}")

    async def _whole(self) -> None:
        with contextlib.ExitStack() as stack:
            if self.more.random() < DISKS:
                self.path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p2pnb-simulation-")))
            if self.more.random() < NARROW:
                stack.enter_context(mock.patch.object(spec, "ACCEPTORS", 7))
            await self._run()

    async def _run(self) -> None:
        rng = self.rng
        n = min(10 + int(rng.expovariate(1 / 6)), 60)
        settings = Settings(encryption=False, k=rng.choice((2, 5, 20, 20)), store=self.path)
        latency = rng.choice((0.0, 0.02, 0.05))
        self.network = Network("virtual", settings, rng.getrandbits(32), latency, 0.0)
        self.trace.say(f"{n} nodes, k={settings.k}, latency {latency:g} s{', on disks' * (self.path is not None)}, {spec.ACCEPTORS} accept")
        if self.more.random() < CROWDS:
            places = n * self.more.choice((3, 5, 8))
            assert self.network.carrier is not None
            self.network.carrier.places = Places(places)
            self.trace.say(f"places for {places} ends of links")
        self.invariants = Invariants(self.network, self.trace)
        if self.mode == "safety" and self.more.random() < FULL:
            self.invariants.watch.room = ROOM, ALLOWANCE
            self.trace.say(f"room for {ROOM} bytes")
        await self.network.grow(n, [], lambda: None)
        try:
            for _ in range(STEPS):
                await self._step()
                self.invariants.check()
            if self.mode == "liveness":
                await self._calm()
        finally:
            for task in self.working:
                task.cancel()
            await asyncio.gather(*self.working, return_exceptions=True)
            await self.network.close()
        await asyncio.sleep(LAST)  # what is closing has closed
        self.invariants.closed()

    # --- the storm --------------------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        chance = self.rng.random()
        if chance < 0.60:
            work = self._call(self.rng.choice(self.network.living))
            if self.rng.random() < 0.5:
                await work
            else:
                self._spawn(work)
        elif chance < 0.72:
            self._begin(self._some_fault())
        elif chance < 0.80 and self.faults:
            self._end(self.faults.pop(self.rng.randrange(len(self.faults))))
        elif chance < 0.84:
            self._spawn(self._join())
        elif chance < 0.98:
            await self._pass(self.rng.expovariate(1 / 20))
        else:
            await self._pass(self.rng.uniform(600, 4_000))

    async def _pass(self, seconds: float) -> None:
        self.trace.say(f"{seconds:.1f} s pass")
        await asyncio.sleep(seconds)

    async def _join(self) -> None:
        try:
            (member,) = await self.network.grow(1, [], lambda: None)
        except P2PError as error:
            self.trace.say(f"nobody joins: {error!r:.80}")
        else:
            self.trace.say(f"node {member.position} joins")

    def _some_fault(self) -> Fault:
        rng, wild = self.rng, self.mode == "safety"
        some = rng.sample(self.network.members, rng.randint(1, max(1, len(self.network.members) // 3)))
        faults: list[Callable[[], Fault]] = [
            lambda: Latency(*rng.choice(((0.2, 0.2), (0.5, 0.4), (1.0, 1.0))), nodes=rng.choice((None, some))),
            lambda: Loss(rng.choice((0.05, 0.2, 0.4)), nodes=rng.choice((None, some))),
            lambda: Resets(rng.choice((0.1, 0.5)), every=rng.choice((2.0, 10.0))),
            lambda: Partition(some, one_way=rng.random() < 0.5),
            lambda: SlowReaders(some, rng.choice((0.0, 50.0, 2_000.0))),
            lambda: Crash(some, back_after=rng.choice((None, 0.0, 20.0, 600.0)), silent=rng.random() < 0.5, disk=rng.random() < 0.5),
            lambda: Skew(some, ahead=rng.choice((0.0, 3.0, 1_800.0, 86_400.0, 86_400.0)), rate=rng.choice((1.0, 0.99, 0.9, 1.5))),
            lambda: DiskErrors(some, rng.choice((0.3, 1.0))),
            lambda: Churn(Exponential(120.0), away=rng.choice((0.0, 30.0)), nodes=some, disk=rng.random() < 0.5),
        ]
        if self.path is not None and self.more.random() < RESTARTS:
            return Crash(some, back_after=rng.choice((0.0, 20.0, 600.0)), silent=rng.random() < 0.5, disk=True)
        if wild:
            faults += [lambda: Liars(some, lies=tuple(rng.sample(("values", "contacts", "namespaces", "bags", "promises"), 2)))] * 2
        return rng.choice(faults)()

    def _begin(self, fault: Fault) -> None:
        if isinstance(fault, (Crash, Churn)) and len(self.network.living) < 8:
            return
        self.trace.say(f"begins: {fault}")
        if isinstance(fault, Liars):
            self.invariants.watch.honest = False
        self.faults += self.network.injection.begin([fault])

    def _end(self, active: Active) -> None:
        self.trace.say(f"ends: {active.fault}")
        self.network.injection.end([active])

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    # --- the workload -----------------------------------------------------------------------------------------------------

    async def _call(self, member: Member) -> None:
        """One procedure, drawn; what it acknowledges is noted, what it answers is checked."""
        procedures = (
            self._set, self._ref, self._set, self._ref, self._publish, self._bag, self._bag_at, self._entry_set, self._entry_ref,
            self._entry_set, self._entry_ref_at, self._lookup, self._connect, self._bootstrap,
        )  # fmt: skip
        procedure = self.rng.choice(procedures)
        name = f"node {member.position} {procedure.__name__[1:]}"
        peer = member.peer
        if peer is None:
            return
        self.trace.say(name)
        try:
            async with asyncio.timeout(ENDLESS):
                said = await procedure(member, peer)
        except P2PError as error:
            said = f"{type(error).__name__}: {error!s:.60}"
        except TimeoutError:
            raise Violation(f"{name} has not come to an end") from None
        except asyncio.CancelledError:
            if not peer.closed:
                raise
            said = "cancelled"
        self.trace.say(f"{name} -> {said}")

    def _topic(self) -> Key:
        return self.rng.choice(self.topics)

    def _value(self) -> Key:
        return self.rng.choice(list(self.values)) if self.values else key_of(b"nowhere")

    async def _set(self, member: Member, peer: Peer) -> str:
        value = self.rng.randbytes(self.rng.choice((1, 40, 400, 4_000)))
        self.values[key_of(value)] = value
        key = await peer.set(value)
        self.acknowledged["value", key] = value
        self._promised(member, peer, ("value", key.int))
        return f"{key!r} at {peer.last.stored}"

    def _promised(self, member: Member, peer: Peer, item: Item) -> None:
        """A node has published something, which it renews for as long as it lives, or its disk: if that could be written to."""
        part = peer.lasting.part
        if member.peer is peer and not (part is not None and part.refuses):
            self.invariants.watch.promised.setdefault(member.position, set()).add(item)

    async def _ref(self, _: Member, peer: Peer) -> str:
        key = self._value()
        value = await peer.ref(key)
        if hashlib.sha256(value).digest() != key:
            raise Violation(f"ref of {key!r} gave something else: {value[:20]!r}")
        return f"{key!r}"

    async def _publish(self, member: Member, peer: Peer) -> str:
        topic, value = self._topic(), self._value()
        self.published.setdefault((topic, value), set()).add(peer.own)
        await peer.bag_publish(topic, value)
        self.acknowledged["bag", topic, value] = value
        self._promised(member, peer, ("bag", topic.int, value))
        return f"{value!r} in {topic!r} at {peer.last.stored}"

    async def _bag(self, _: Member, peer: Peer) -> str:
        read = self.rng.choice((peer.bag_popular, peer.bag_recent, peer.bag_sample))
        topic = self._topic()
        found = await read(topic)
        for entry in found.entries if self.invariants.watch.honest else ():
            voters = self.published.get((topic, Key(entry.value)), set())
            if not voters:
                raise Violation("a bag was read that lists a value that nobody published there, and nobody lies")
            if entry.publishers > len(voters):
                raise Violation(f"a bag was read that counts {entry.publishers} publishers of a value that {len(voters)} published")
        if len(set(found)) != len(found):
            raise Violation("a bag was read that lists a value twice")
        return f"{len(found)} values"

    async def _bag_at(self, _: Member, peer: Peer) -> str:
        read = self.rng.choice((peer.bag_popular_at, peer.bag_recent_at, peer.bag_sample_at))
        return f"{len(await read(self.rng.choice(self.network.members).uid, self._topic()))} values"

    async def _entry_set(self, member: Member, peer: Peer) -> str:
        author, topic, value = self.rng.choice(self.authors), self._topic(), self._value()
        known = [each for each in self.acknowledged if each[0] == "entry"]
        tie = bool(known) and self.more.random() < TIES
        if tie:
            _, public_key, topic = self.more.choice(known)
            author = next(each for each in self.authors if each.public_key == public_key)
        before = self.acknowledged.get(("entry", author.public_key, topic))
        sequence = before if tie else None
        self.signed.setdefault((author.public_key, topic), set()).add(value)
        for promised in self.invariants.watch.promised.values():  # who wrote an older version renews it no more, once this is found
            promised.discard(("entry", point_of(author.public_key, topic.int)))
        await peer.namespace_set(author.private_key, author.public_key, topic, value, sequence)
        if sequence is None:
            sequence = int(str(peer.last.facts.get("sequence", 0)))
        self.acknowledged["entry", author.public_key, topic] = max(before or 0, sequence)
        self._promised(member, peer, ("entry", point_of(author.public_key, topic.int)))
        return f"version {sequence} at {peer.last.stored}"

    def _check_signed(self, public_key: bytes, topic: Key, value: bytes) -> str:
        if value not in self.signed.get((public_key, topic), ()):
            raise Violation(f"an entry was read that its author never signed: {value[:8].hex()}")
        return value[:4].hex()

    async def _entry_ref(self, _: Member, peer: Peer) -> str:
        author, topic = self.rng.choice(self.authors), self._topic()
        return self._check_signed(author.public_key, topic, await peer.namespace_ref(author.public_key, topic))

    async def _entry_ref_at(self, _: Member, peer: Peer) -> str:
        author, topic = self.rng.choice(self.authors), self._topic()
        whom = self.rng.choice(self.network.members).uid
        return self._check_signed(author.public_key, topic, await peer.namespace_ref_at(whom, author.public_key, topic))

    async def _lookup(self, _: Member, peer: Peer) -> str:
        found = await peer.lookup(Key(self.rng.randbytes(32)))
        uids = [each.uid for each in found.nearest]
        if uids != sorted(set(uids), key=lambda uid: (uid or 0) ^ found.target):
            raise Violation("a lookup's nearest are not in order, or one stands there twice")
        return f"{len(uids)} nearest in {found.hops} hops"

    async def _connect(self, _: Member, peer: Peer) -> str:
        other = self.rng.choice(self.network.members)
        return str(await peer.connect(other.ip, other.port))

    async def _bootstrap(self, _: Member, peer: Peer) -> str:
        await peer.bootstrap(far=self.rng.random() < 0.3)
        return f"{len(peer.table)} contacts"

    # --- the calm ---------------------------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Everything is mended; then something succeeds, and later all that was acknowledged and has a holder is found."""
        for active in self.faults:
            self._end(active)
        self.faults.clear()
        await self._progress()
        self.invariants.check()
        began = asyncio.get_running_loop().time()
        await self._pass(QUIET)
        self.invariants.check()
        self.invariants.renewed(began)
        await self.invariants.quiet()
        for what, value in list(self.acknowledged.items()):
            await self._must_be_found(what, value)

    async def _progress(self) -> None:
        """Within 60 s a value can be stored and read again, by nodes that were there all the time and by those that came back."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PROGRESS
        error: Exception | None = None
        while loop.time() < until:
            try:
                writer, reader = self.rng.sample(self.network.living, 2)
                async with asyncio.timeout_at(until):
                    key = await writer.living().set(self.rng.randbytes(40))
                    await reader.living().ref(key)
            except (P2PError, TimeoutError, ValueError) as why:
                error = why
                await asyncio.sleep(1.0)
            else:
                self.trace.say("there is progress")
                return
        raise Violation(f"no progress within {PROGRESS:g} s after everything was mended: {error!r}")

    async def _must_be_found(self, what: Any, value: Any) -> None:
        holders = self.invariants.holders(what, value)
        if not holders:
            return
        readers = self.rng.sample(self.network.living, 2)
        for reader in readers:
            try:
                found = await self._read(reader.living(), what)
            except NotFound as error:
                found = error
            if what[0] == "entry":
                good = isinstance(found, int) and found >= value
            else:
                good = not isinstance(found, NotFound) and (value in found if what[0] == "bag" else found == value)
            if not good:
                raise Violation(f"{what[0]} {what[1]!r} is held by {holders}, and node {reader.position} finds {found!r:.200}")

    async def _read(self, peer: Peer, what: Any) -> Any:
        if what[0] == "value":
            return await peer.ref(what[1])
        if what[0] == "bag":
            return await peer.bag_popular(what[1])
        return (await peer.namespace_version(what[1], what[2])).sequence
