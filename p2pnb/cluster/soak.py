"""A long run under load, with nodes killed and restarted: does anything leak, fail or get lost?

Workers write and read records of all kinds on the cluster's own loop, at a steady rate, while nodes are killed (half of
them silently, as when a machine loses its power) and come back. What is written comes from a bounded set that is written
again and again, so that a network that is well keeps as much in the end as in the middle: memory, descriptors and tasks
are sampled, and their trend after a warm-up is what would leak. (What fills in the warm-up, up to its bound: the log of requests, the
lookups that each node remembers, its dealings with its peers, whom it welcomed and what was handed on within the hour, versions that it
refused, copies at nodes that were among the nearest for a while, and the codec's memory of short texts.)

In the end everything comes back, and each record whose last write was acknowledged and that a living node holds is read
through another node. `Result` has the figures, `table` shows them.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from p2pnb.brief import brief
from p2pnb.cluster.cluster import Cluster
from p2pnb.cluster.leaks import Sample, Trend, sample, shown, trend
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.errors import NodeDown, NotFound, P2PError, PeerUnreachable, StaleSequence
from p2pnb.peer.identity import Author
from p2pnb.uid import Key, key_of

VALUES, TOPICS, VOTES, AUTHORS, NAMES = 1_000, 20, 20, 10, 5  # the set that is written
WORKERS = 32
LAG = 1.0  # seconds that a worker may be late and still make up for it
SAMPLE = 10.0  # seconds between samples
KILL_EVERY = 8.0  # seconds, on average
DOWN = (4.0, 40.0)  # seconds that a killed node stays down
MOST_DOWN = 0.2  # of all nodes at a time
NODES = {"tcp": "nodes, encrypted TCP", "memory": "nodes, in memory", "virtual": "nodes, in simulated time"}
WARM_UP = 2 / 3  # of the run: caches, logs and the lookups that nodes remember fill, and fill again where a node came back
QUIET = 5.0  # seconds between the last restart and the reading of everything


@dataclass(slots=True)
class Result:
    """What a run found. `lost`: acknowledged, a living node holds it, and it could not be read; it should be empty."""

    nodes: int
    network: str = "tcp"
    seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    kills: int = 0
    silent: int = 0
    restarts: int = 0
    acknowledged: int = 0
    without_holder: int = 0
    lost: list[str] = field(default_factory=list)
    unhandled: int = 0
    errors: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def trend(self, what: str) -> Trend:
        """Of "memory" (but for what the stores keep), "pieces", "kept", "descriptors" or "tasks", after the warm-up."""
        warm = [each for each in self.samples if each.at >= self.seconds * WARM_UP]
        pick: dict[str, Callable[[Sample], float]] = {
            "memory": lambda each: each.memory - each.kept,
            "pieces": lambda each: each.pieces,
            "kept": lambda each: each.kept,
            "descriptors": lambda each: each.descriptors,
            "tasks": lambda each: each.tasks,
        }
        return trend([each.at for each in warm], [pick[what](each) for each in warm])

    @property
    def good(self) -> bool:
        """Whether nothing leaks, nothing was unhandled, and nothing was lost or wrong."""
        flat = all(self.trend(what).flat for what in ("memory", "pieces", "descriptors", "tasks"))
        return flat and not (self.unhandled or self.lost or self.wrong)

    def table(self) -> str:
        """The figures as a table in Markdown."""
        memory, pieces, kept, descriptors, tasks = map(self.trend, ("memory", "pieces", "kept", "descriptors", "tasks"))
        failed = sum(self.failures.values())
        rows = [
            (NODES[self.network], f"{self.nodes}"),
            ("time", f"{self.seconds / 60:.0f} min"),
            ("operations", f"{sum(self.operations.values()):,} ({sum(self.operations.values()) / max(self.seconds, 1):.0f}/s)"),
            ("operations that failed while nodes were dying", f"{failed:,} ({100 * failed / max(sum(self.operations.values()), 1):.2f} %)"),
            ("nodes killed (silently) and restarted", f"{self.kills} ({self.silent}), {self.restarts}"),
            ("memory, but for what the stores keep", shown(memory, 1e6, " MB")),
            ("pieces of memory in use, thousands", shown(pieces, 1e3)),
            ("kept in the stores, all replicas", shown(kept, 1e6, " MB").partition(",")[0]),
            ("descriptors", shown(descriptors)),
            ("tasks", shown(tasks)),
            ("exceptions unhandled", f"{self.unhandled}"),
            ("wrong bytes read", f"{self.wrong}"),
            ("records acknowledged", f"{self.acknowledged:,}"),
            ("of those that a living node holds: lost", f"{len(self.lost)}"),
            ("of those: no living node holds it", f"{self.without_holder}"),
        ]
        return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {figure} |" for name, figure in rows)])


class Soak:
    """One run on the nodes of `network`. `rate`: operations a second; `told` hears of the progress, once a second."""

    def __init__(self, network: Network, seconds: float, rate: float, seed: int, told: Callable[[str], None]) -> None:
        self._network = network
        self._seconds = seconds
        self._rate = rate
        self._rng = random.Random(seed)
        self._told = told
        self._authors = [Author.from_seed(self._rng.randbytes(32)) for _ in range(AUTHORS)]
        self._written: dict[Key, bytes] = {}
        self._voted: set[tuple[Key, Key]] = set()
        self._signed: dict[tuple[int, Key], int] = {}  # the highest acknowledged sequence
        self._values = [self._rng.randbytes(self._rng.choice((100, 1_000, 4_000))) for _ in range(VALUES)]
        self._unwritten = list(range(VALUES))
        self._busy: set[tuple[int, Key]] = set()
        self._down: list[Member] = []
        self.result = Result(len(network.members))

    async def run(self) -> Result:
        """Runs it to its end, with everything back and read in the end."""
        self._told("writing everything once")
        await asyncio.gather(*(self._fill() for _ in range(WORKERS)))
        started = asyncio.get_running_loop().time()
        work = [self._work() for _ in range(WORKERS)]
        tasks = [asyncio.ensure_future(each) for each in (*work, self._break(), self._watch(started))]
        try:
            await asyncio.wait(tasks, timeout=self._seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        self.result.seconds = asyncio.get_running_loop().time() - started
        self._told("everything comes back, and is read")
        for member in list(self._down):
            await self._restart(member)
        await asyncio.sleep(QUIET)
        await self._read_all()
        return self.result

    # --- load -------------------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Writes each value once, so that the stores do not fill during the run."""
        while self._unwritten:
            await self._set()

    async def _work(self) -> None:
        kinds = [self._set, self._ref, self._ref, self._ref, self._vote, self._bag, self._sign, self._signed_ref, self._lookup]
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:  # what takes long makes the next one late, and not the whole slower
            due = max(due, loop.time() - LAG) + self._rng.expovariate(self._rate / WORKERS)
            await asyncio.sleep(max(due - loop.time(), 0.0))
            kind = self._rng.choice(kinds)
            name = kind.__name__.strip("_")
            try:
                await kind()
                self.result.operations[name] += 1
            except NodeDown:
                continue  # it was killed while it did this
            except P2PError as error:
                if isinstance(error, PeerUnreachable) and error.reason == "closed":
                    continue
                self.result.operations[name] += 1
                self.result.failures[f"{name}: {type(error).__name__}"] += 1

    def _anybody(self) -> Member:
        return self._rng.choice(self._network.living)

    def _home(self, number: int) -> Member:
        """Who publishes the record of this number: always the same node, so that what nodes renew is bounded."""
        return self._network.members[number % len(self._network.members)]

    async def _set(self) -> None:
        number = self._unwritten.pop() if self._unwritten else self._rng.randrange(VALUES)
        value = self._values[number]
        self._written[await self._home(number).living().set(value)] = value

    async def _ref(self) -> None:
        if self._written:
            key = self._rng.choice(list(self._written))
            self.result.wrong += await self._anybody().living().ref(key) != self._written[key]

    async def _vote(self) -> None:
        number = self._rng.randrange(TOPICS * VOTES)
        topic, value = key_of(b"topic %d" % (number % TOPICS)), key_of(b"vote %d" % (number // TOPICS))
        await self._home(number).living().bag_publish(topic, value)
        self._voted.add((topic, value))

    async def _bag(self) -> None:
        await self._anybody().living().bag_popular(key_of(b"topic %d" % self._rng.randrange(TOPICS)))

    async def _sign(self) -> None:
        number = self._rng.randrange(AUTHORS * NAMES)
        which, name = number % AUTHORS, key_of(b"name %d" % (number // AUTHORS))
        if (which, name) in self._busy:  # one author writes one entry at a time
            return
        self._busy.add((which, name))
        try:
            author, sequence = self._authors[which], self._signed.get((which, name), -1) + 1
            peer = self._home(number).living()
            await peer.namespace_set(author.private_key, author.public_key, name, _version(sequence), sequence)
            self._signed[which, name] = sequence
        except StaleSequence:  # one that was not acknowledged had arrived
            self._signed[which, name] = self._signed.get((which, name), -1) + 1
        finally:
            self._busy.discard((which, name))

    async def _signed_ref(self) -> None:
        if self._signed:
            which, name = self._rng.choice(list(self._signed))
            least = self._signed[which, name]
            found = await self._anybody().living().namespace_version(self._authors[which].public_key, name)
            self.result.wrong += found.value != _version(found.sequence)
            if found.sequence < least:
                self.result.failures["signed_ref: an older version"] += 1

    async def _lookup(self) -> None:
        await self._anybody().living().lookup(Key(self._rng.randbytes(32)))

    # --- breaking -----------------------------------------------------------------------------------------------------------

    async def _break(self) -> None:
        back: set[asyncio.Task[None]] = set()
        try:
            while True:
                await asyncio.sleep(self._rng.expovariate(1 / KILL_EVERY))
                if len(self._down) + 1 > len(self._network.members) * MOST_DOWN:
                    continue
                victim, silent = self._anybody(), self._rng.random() < 0.5
                self._network.kill([victim], silent)
                self._down.append(victim)
                self.result.kills += 1
                self.result.silent += silent
                task = asyncio.ensure_future(self._come_back(victim))
                back.add(task)
                task.add_done_callback(back.discard)
        finally:
            for task in back:
                task.cancel()
            await asyncio.gather(*back, return_exceptions=True)

    async def _come_back(self, member: Member) -> None:
        await asyncio.sleep(self._rng.uniform(*DOWN))
        await self._restart(member)

    async def _restart(self, member: Member) -> None:
        for _ in range(5):
            try:
                await self._network.restart(member)
                break
            except P2PError:  # whom it wanted to join through was dying
                continue
            except OSError as error:
                self.result.failures[f"restart: {error}"] += 1
        self._down.remove(member)
        self.result.restarts += member.alive

    # --- watching -----------------------------------------------------------------------------------------------------------

    async def _watch(self, started: float) -> None:
        next_sample = 0.0
        while True:
            at = asyncio.get_running_loop().time() - started
            if at >= next_sample:
                next_sample += SAMPLE
                self.result.samples.append(sample(at, sum(member.living().store.size for member in self._network.living)))
            newest = self.result.samples[-1]
            done = sum(self.result.operations.values())
            self._told(
                f"{at / 60:5.1f} of {self._seconds / 60:.0f} min · {done:,} operations, {sum(self.result.failures.values())} failed · "
                f"{self.result.kills} killed · {newest.memory / 1e6:.0f} MB · {newest.descriptors:.0f} descriptors"
            )
            await asyncio.sleep(1.0)

    # --- in the end -----------------------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        """Reads what was acknowledged, each through a node that is drawn; a failure counts where a living node holds it."""
        living = [member.living().store for member in self._network.living]
        held = {key for store in living for key in store.values.keys()}
        for key, value in self._written.items():
            await self._one(f"value {key!r}", key.int in held, self._has_value(key, value))
        votes = {(key, value) for store in living for key in store.bags.keys() for value, _ in store.bags.votes(key)}
        for topic, vote in self._voted:
            await self._one(f"vote for {vote!r}", (topic.int, bytes(vote)) in votes, self._has_vote(topic, vote))
        entries = {key for store in living for key in store.namespaces.keys()}
        for (which, name), sequence in self._signed.items():
            point = point_of(self._authors[which].public_key, name.int)
            await self._one(f"entry {name!r}", point in entries, self._has_entry(which, name, sequence))

    async def _one(self, what: str, held: bool, check: Coroutine[Any, Any, bool]) -> None:
        self.result.acknowledged += 1
        try:
            found = await check
        except NotFound:
            found = False
        if not found and held:
            self.result.lost.append(what)
        elif not found:
            self.result.without_holder += 1

    async def _has_value(self, key: Key, value: bytes) -> bool:
        return await self._anybody().living().ref(key) == value

    async def _has_vote(self, topic: Key, vote: Key) -> bool:
        return bytes(vote) in set(await self._anybody().living().bag_popular(topic))

    async def _has_entry(self, which: int, name: Key, least: int) -> bool:
        found = await self._anybody().living().namespace_version(self._authors[which].public_key, name)
        return found.sequence >= least and found.value == _version(found.sequence)


def _version(sequence: int) -> bytes:
    return bytes(key_of(b"version %d" % sequence))


def on_terminal(text: str) -> None:
    """Shows the progress: one line that changes, on a terminal; elsewhere nothing."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


async def soak(
    nodes: int, minutes: float, *, rate: float = 40.0, seed: int = 1, store: str | os.PathLike[str] | None = None, network: str = "tcp"
) -> Result:
    """Launches `nodes` nodes, loads and breaks them for so many minutes, and puts them away. The result has the figures.

    `rate`: operations a second. `store`: a directory for what they keep, by default memory. `network`: as for `Cluster.launch`; on
    "virtual" an hour is over in minutes, and is the same each time. Raises `ValueError` for numbers of 0 and less, and as
    `Cluster.launch` does.

    Example: `print((await soak(50, minutes=30)).table())`.
    """
    for what, number in (("minutes", minutes), ("rate", rate)):
        if not number > 0 or number == float("inf"):
            raise brief(ValueError(f"{what} is a number above 0, not {number!r}"))
    unraisable: list[object] = []
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = threading.excepthook = unraisable.append
    try:
        async with Cluster.launch(nodes, network=network, store=store, seed=seed if network == "virtual" else None) as cluster:
            work = Soak(cluster._network, minutes * 60, rate, seed, on_terminal)
            result = await cluster.run(work.run)
        result.network = network
        result.unhandled = len(cluster.errors) + len(unraisable)
        result.errors = [repr(each) for each in (*cluster.errors, *unraisable)]
    finally:
        sys.unraisablehook, threading.excepthook = hooks
    on_terminal("")
    return result
