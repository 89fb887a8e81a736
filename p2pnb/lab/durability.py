"""What becomes of records when nodes die, cables are cut and connections break: measured on real peers in simulated time, beside theory.

| fault | theory | what must hold |
| --- | --- | --- |
| `holders_die`: all of a record's holders but one | 1 | every record is found |
| `half_crash`: half of all nodes at once, no repair | 1 - C(N/2, R) / C(N, R) | theory - .01 |
| `churn`: each hour a share p is replaced by empty nodes | p^R lost an hour | at most twice that is lost |
| `rolling_restart`: every node in turn | 1 | every record is found, without disks and with |
| `partition`: two halves for ten minutes, which both write | 1 | after an hour, everything is found by everybody |
| `unsteady`: 10 % of connections are reset every 10 s, round trips take up to 4 s | - | .99 of operations succeed |

`table(seeds=50)` measures all of it. Each experiment is a function of a seed and gives trials and how many of them went well,
so that they add up. `python -m p2pnb.lab.durability` prints the table; with `--seeds 50 --jobs 2` it is a run for the night.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import pandas as pd

from p2pnb.brief import brief
from p2pnb.cluster.faults import Latency, Resets
from p2pnb.cluster.member import Member, Settings
from p2pnb.cluster.network import Network
from p2pnb.dht.namespaces import point_of
from p2pnb.errors import NotFound, P2PError
from p2pnb.lab.town import simulated
from p2pnb.peer.identity import Author
from p2pnb.peer.peer import Peer
from p2pnb.spec import REPLICATION
from p2pnb.uid import Key, key_of

HOUR = 3_600.0
CHURN = 0.5  # of the nodes, each hour
SOON = 30.0  # seconds in which a newcomer has joined and been given its records


class Trials(NamedTuple):
    """How many there were, and how many went well."""

    trials: int
    good: int


@asynccontextmanager
async def _network(n: int, seed: int) -> AsyncIterator[Network]:
    network = Network("virtual", Settings(encryption=False), seed, 0.05, 0.0)
    await network.grow(n, [], lambda: None)
    try:
        yield network
    finally:
        await network.close()


def _somebody(network: Network, among: list[Member] | None = None) -> Peer:
    return network.rng.choice(among or network.living).living()


async def _write(network: Network, count: int, among: list[Member] | None = None) -> list[Key]:
    """`count` values, each set by somebody who then forgets that it was theirs: what is measured is not renewal by publishers."""
    keys = []
    for _ in range(count):
        peer = _somebody(network, among)
        keys.append(await peer.set(network.rng.randbytes(40)))
        peer.published.clear()
    return keys


async def _found(network: Network, keys: list[Key], reader: Callable[[], Peer] | None = None) -> Trials:
    """How many of `keys` somebody finds who does not have them."""
    good = 0
    for key in keys:
        peer = reader() if reader is not None else _somebody(network)
        try:
            await peer.ref(key)
            good += 1
        except NotFound:
            pass
    return Trials(len(keys), good)


def _holders(network: Network, key: int) -> list[Member]:
    return [member for member in network.living if key in member.living().store.keys()]


# --- the experiments: each of one seed -----------------------------------------------------------------------------------


async def holders_die(seed: int, n: int = 24) -> Trials:
    """A value, a bag and an entry; for each in turn, all of its holders but one turn into black holes at once."""
    async with _network(n, seed) as network:
        topic, author = key_of(b"topic"), Author.from_seed(network.rng.randbytes(32))
        good = 0
        for kind in range(3):
            writer = _somebody(network)
            (value,) = await _write(network, 1)
            if kind == 1:
                await writer.bag_publish(topic, value)
            elif kind == 2:
                await writer.namespace_set(author.private_key, author.public_key, topic, value)
            point = (value.int, topic.int, point_of(author.public_key, topic.int))[kind]
            held = _holders(network, point)
            network.rng.shuffle(held)
            network.kill(held[1:], silent=True)
            reader = _somebody(network)
            if kind == 0:
                found = key_of(await reader.ref(value)) == value
            elif kind == 1:
                found = value in await reader.bag_popular(topic)
            else:
                found = await reader.namespace_ref(author.public_key, topic) == value
            good += found
        return Trials(3, good)


async def half_crash(seed: int, n: int = 40, records: int = 30) -> Trials:
    """Half of all nodes die at once, and nobody has time to repair anything."""
    async with _network(n, seed) as network:
        keys = await _write(network, records)
        network.kill(network.choose(0.5), silent=False)
        return await _found(network, keys)


async def churn(seed: int, n: int = 24, records: int = 20, hours: int = 4, share: float = CHURN) -> Trials:
    """Each hour a share of the nodes loses everything and comes back empty. A trial is a record and an hour that begins with it there."""
    async with _network(n, seed) as network:
        keys = await _write(network, records)
        trials = good = 0
        for _ in range(hours):
            doomed = [member for member in network.living if network.rng.random() < share]
            network.kill(doomed, silent=False)
            for member in doomed:
                await _back(network, member)
            await asyncio.sleep(HOUR)
            here = [key for key in keys if _holders(network, key.int)]
            trials, good, keys = trials + len(keys), good + len(here), here
        return Trials(trials, good)


async def _back(network: Network, member: Member, **kept: Any) -> None:
    """Restarts it, and tries until it has joined: whom it asks may be dead, too."""
    joining = network.restart(member, **kept)
    for _ in range(20):
        try:
            await joining
            return
        except P2PError:
            joining = network.rejoin(member)
    raise RuntimeError(f"node {member.position} finds nobody to join")


async def rolling_restart(seed: int, n: int = 15, records: int = 15, disk: bool = False) -> Trials:
    """Every node is restarted in turn, half a minute after the one before; with a disk it keeps its records, without one nothing."""
    async with _network(n, seed) as network:
        keys = await _write(network, records)
        for member in list(network.members):
            kept = member.kept() if disk else None
            network.kill([member], silent=False)
            await _back(network, member, kept=kept)
            await asyncio.sleep(SOON)
        return await _found(network, keys)


async def partition(seed: int, n: int = 20, records: int = 8) -> Trials:
    """Two halves, cut off for ten minutes, write values and versions of one entry; an hour after, everybody looks for all of it."""
    async with _network(n, seed) as network:
        author, name = Author.from_seed(network.rng.randbytes(32)), key_of(b"news")
        await _somebody(network).namespace_set(author.private_key, author.public_key, name, key_of(b"0"))
        sides = [network.partition(network.choose(0.5))]
        sides.append([member for member in network.living if member not in sides[0]])
        keys: list[Key] = []
        for side, members in enumerate(sides):
            keys += await _write(network, records, members)
            for version in range(side + 1):
                writer = _somebody(network, members)
                await writer.namespace_set(author.private_key, author.public_key, name, key_of(b"%d of %d" % (version, side)))
        await asyncio.sleep(600)
        network.heal()
        await asyncio.sleep(1.2 * HOUR)
        trials = good = 0
        for member in network.living:
            found = await _found(network, keys, member.living)
            newest = await member.living().namespace_version(author.public_key, name)
            trials, good = trials + found.trials + 1, good + found.good + (newest.sequence == 2)
        return Trials(trials, good)


async def unsteady(seed: int, n: int = 20, operations: int = 40) -> Trials:
    """Every 10 s a tenth of all connections is reset, and a round trip takes 0 to 4 s. Values are set, and read again by others."""
    async with _network(n, seed) as network:
        await asyncio.sleep(60)
        network.injection.begin([Latency(1.0, jitter=1.0), Resets(0.1, every=10.0)])
        good = 0
        keys: list[Key] = []
        for each in range(operations):
            try:
                if each % 2 == 0 or not keys:
                    keys += await _write(network, 1)
                else:
                    await _somebody(network).ref(network.rng.choice(keys))
                good += 1
            except P2PError:
                pass
        return Trials(operations, good)


# --- theory and the table ----------------------------------------------------------------------------------------------------


def survival_of_a_crash(n: int, crashed: int, replication: int = REPLICATION) -> float:
    """The probability that not all replicas of a record are among the `crashed` of `n` nodes: 1 - C(crashed, R) / C(n, R)."""
    return 1 - math.comb(crashed, replication) / math.comb(n, replication)


class Row(NamedTuple):
    """An experiment, its theory, and what must hold at least."""

    name: str
    run: Callable[[int], Coroutine[Any, Any, Trials]]
    theory: float
    bar: float


HALF = survival_of_a_crash(40, 20)
LOST = CHURN**REPLICATION
ROWS = (
    Row("replication - 1 holders die", holders_die, 1.0, 1.0),
    Row("half of 40 nodes crash", half_crash, HALF, HALF - 0.01),
    Row("churn of one half an hour, with repair", churn, 1 - LOST, 1 - 2 * LOST),
    Row("rolling restart, no disks", rolling_restart, 1.0, 1.0),
    Row("rolling restart, disks", partial(rolling_restart, disk=True), 1.0, 1.0),
    Row("partition of 10 minutes, an hour later", partition, 1.0, 1.0),
    Row("a tenth of connections reset, slow", unsteady, math.nan, 0.99),
)


def measure(which: int, seed: int) -> Trials:
    """Row `which` of the table, with one seed."""
    return simulated(ROWS[which].run, seed)


def table(seeds: int = 50, *, first: int = 0, jobs: int = 1, rows: range = range(len(ROWS))) -> pd.DataFrame:
    """One row an experiment: `theory`, `bar` (what must hold), `measured`, its 99 % interval `low` to `high`, `trials`, `seeds`.

    The experiments are run with `seeds` seeds from `first` on, in `jobs` processes; `rows` are their numbers in `ROWS`. All columns but
    the last two are shares. Raises `ValueError` for less than one seed or process.

    Example: `table(seeds=2, rows=range(3))`.
    """
    for what, number in (("seeds", seeds), ("jobs", jobs)):
        if type(number) is not int or number < 1:
            raise brief(ValueError(f"{what} is an integer of 1 or more, not {number!r}"))
    found = []
    for which in rows:
        outcomes = _all(which, range(first, first + seeds), jobs)
        trials, good = sum(each.trials for each in outcomes), sum(each.good for each in outcomes)
        low, high = interval(good, trials)
        row = ROWS[which]
        found.append((row.name, row.theory, row.bar, good / trials, low, high, trials, seeds))
    columns = ["fault", "theory", "bar", "measured", "low", "high", "trials", "seeds"]
    return pd.DataFrame(found, columns=columns).set_index("fault")


def _all(which: int, seeds: range, jobs: int) -> list[Trials]:
    if jobs == 1:
        return [measure(which, seed) for seed in seeds]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(measure, which), seeds))


def interval(good: int, trials: int, z: float = 2.576) -> tuple[float, float]:
    """Wilson's interval for a share; `z` 2.576 is 99 %."""
    share, square = good / trials, z * z / trials
    middle, spread = share + square / 2, z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return (middle - spread) / (1 + square), (middle + spread) / (1 + square)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m p2pnb.lab.durability", description="What becomes of records, beside theory.")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0): others than before are a test of their own")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    asked = parser.parse_args()
    if min(asked.seeds, asked.jobs) < 1:
        parser.error("--seeds and --jobs are 1 or more")
    print(table(asked.seeds, first=asked.first, jobs=asked.jobs).round(4).to_string())  # noqa: T201 (a command prints)


if __name__ == "__main__":
    main()
