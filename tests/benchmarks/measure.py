"""The same work on every system, each in a process of its own: what a launch, puts, gets and a disaster cost.

    python measure.py kademlia --nodes 200

prints one JSON object of figures. A `System` is a network of n nodes in this one process; this file knows nothing else of
it, so that all are asked to do the same: values of 100 random bytes, each operation at a node drawn at random, one after
the other unless a figure says otherwise. Seconds and memory are the process's own. `apart` runs this file in a fresh
interpreter: no system inherits another one's heap, threads or event loop.

- cold puts: straight after the launch. Then comes the warm-up, ten gets a node, and after it everything called warm.
- the rehearsal: five nodes, launched, used and closed before anything is measured, so that what a process loads once is
  nobody's launch.
- a second is a wall second, and beside each such figure stands the same in CPU seconds of the process (`_cpu_`). `kademlia` and
  p2pnb keep one core busy from the first to the last moment of these; on a machine that does other work as well the CPU's seconds
  are the ones that compare. (OpenDHT has a thread a node, and more cores.)
- killed: a fraction of the nodes stops at once and is never told goodbye; gets begin in the same instant, at survivors, for
  values of which a survivor still holds a copy. They stop at the count or when the seconds are used up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

VALUE_BYTES = 100
LARGE_BYTES = 249_996
PUTS, GETS, WARM_UP, TOGETHER, IN_FLIGHT = 200, 500, 10, 3_000, 32
KILLED, KILLED_GETS, KILLED_SECONDS = 0.3, 300, 40.0
LARGE_ROUNDS, ABUSES = 5, 1_000

SYSTEMS = {"kademlia": "rivals:Kademlia", "opendht": "rivals:OpenDht", "p2pnb": "ours:P2pnb"}

Figures = dict[str, Any]
Work = Callable[..., Awaitable[Any]]


class System(Protocol):
    """One system's network in this process. Nodes are positions 0 … n-1."""

    async def launch(self, n: int) -> None:
        """From nothing to n nodes that have joined."""

    async def run(self, work: Work, *args: Any) -> Any:
        """Awaits `work(*args)` where the nodes live, so that no thread's hand-over is in the figures."""

    def live(self) -> list[int]: ...

    async def put(self, node: int, value: bytes) -> Any:
        """The key that `value` can be had under; None when the put failed."""

    async def get(self, node: int, key: Any) -> bytes | None: ...

    async def holders(self) -> dict[Any, set[int]]:
        """Which nodes hold a copy, for each key."""

    async def kill(self, fraction: float, silent: bool) -> None: ...

    async def abuse(self, node: int, rng: random.Random, count: int) -> None:
        """`count` random connections and as many random messages, or what the system's transport has of them, at `node`."""

    async def close(self) -> None: ...


def system(name: str) -> System:
    module, _, kind = SYSTEMS[name].partition(":")
    made: System = getattr(importlib.import_module(module), kind)()
    return made


# --- measures ---------------------------------------------------------------------------------------------------------


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of `values` lie, the nearest rank; NaN of nothing."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def resident_kb() -> float:
    """What this process holds in memory, in KB; NaN where /proc does not say."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1000
    except OSError:
        return float("nan")


class Stopwatch:
    """Wall seconds since it was made, and CPU seconds of this process meanwhile."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def took(self, name: str) -> Figures:
        return {f"{name}_s": time.perf_counter() - self._wall, f"{name}_cpu_s": time.process_time() - self._cpu}

    def rate(self, name: str, count: int) -> Figures:
        """How many a second, and how many a second of CPU."""
        return {f"{name}_a_s": count / (time.perf_counter() - self._wall), f"{name}_a_cpu_s": count / (time.process_time() - self._cpu)}


class Lag:
    """The longest pass of the running event loop, in wall seconds and in the loop thread's own CPU seconds.

    A callback that asks for itself again sees every pass. Wall time is what others on the loop wait; CPU time leaves out
    what the machine gave to somebody else meanwhile.
    """

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Lag:
        self.ticking = True
        self.last = time.perf_counter(), time.thread_time()
        asyncio.get_running_loop().call_soon(self.tick)
        return self

    def __exit__(self, *_: object) -> None:
        self.tick()
        self.ticking = False

    def tick(self) -> None:
        if self.ticking:
            now = time.perf_counter(), time.thread_time()
            self.wall, self.cpu = max(self.wall, now[0] - self.last[0]), max(self.cpu, now[1] - self.last[1])
            self.last = now
            asyncio.get_running_loop().call_soon(self.tick)


class Unhandled(logging.Handler):
    """Counts what nobody caught: exceptions that reach the event loop's handler, and logged tracebacks and errors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def watch(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: self.seen())
        logging.getLogger().addHandler(self)

    def seen(self) -> None:
        self.count += 1

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.seen()


def milliseconds(name: str, seconds: list[float]) -> Figures:
    return {f"{name}_p50_ms": 1e3 * percentile(seconds, 0.5), f"{name}_p95_ms": 1e3 * percentile(seconds, 0.95)}


# --- work, done where the nodes live ------------------------------------------------------------------------------------


async def puts(net: System, name: str, count: int, rng: random.Random) -> tuple[Figures, list[tuple[Any, bytes]]]:
    """Puts a second, one after the other, and (key, value) of those that succeeded."""
    values, stored, live = [rng.randbytes(VALUE_BYTES) for _ in range(count)], [], net.live()
    watch = Stopwatch()
    for value in values:
        key = await net.put(rng.choice(live), value)
        if key is not None:
            stored.append((key, value))
    return watch.rate(name, count), stored


async def gets(net: System, records: list[tuple[Any, bytes]], count: int, limit: float, rng: random.Random) -> tuple[list[float], int]:
    """Seconds that each get took, one after the other, and how many brought nothing or the wrong bytes."""
    live, took, missed = net.live(), [], 0
    ends = time.perf_counter() + limit
    while len(took) < count and (started := time.perf_counter()) < ends:
        key, value = rng.choice(records)
        missed += await net.get(rng.choice(live), key) != value
        took.append(time.perf_counter() - started)
    return took, missed


async def gets_together(
    net: System, records: list[tuple[Any, bytes]], count: int, nodes: list[int], rng: random.Random
) -> Figures:
    """Gets a second with 32 under way at any moment, and how many missed; at `nodes`, in turn."""
    turns, missed = itertools.islice(itertools.cycle(nodes), count), 0

    async def reader() -> None:
        nonlocal missed
        for node in turns:
            key, value = rng.choice(records)
            missed += await net.get(node, key) != value

    watch = Stopwatch()
    await asyncio.gather(*[reader() for _ in range(IN_FLIGHT)])
    return watch.rate("gets", count) | {"gets_together_missed": missed}


# --- the kinds of work ------------------------------------------------------------------------------------------------


async def rehearse(net: System) -> None:
    first = type(net)()
    await first.launch(5)
    await first.run(first.put, 1, b"rehearsal")
    await first.close()


async def launch(net: System, n: int) -> Figures:
    """Seconds to launch n nodes, and KB a node."""
    await rehearse(net)
    before, watch = resident_kb(), Stopwatch()
    await net.launch(n)
    return watch.took("launch") | {"rehearsed_kb": before, "launched_kb_a_node": (resident_kb() - before) / n}


async def operations(net: System, n: int, silent: bool = False) -> Figures:
    """A launch, cold puts, warm puts, gets, gets together, and a disaster."""
    rng = random.Random(n)
    figures = await launch(net, n)
    cold, records = await net.run(puts, net, "cold_puts", PUTS, rng)
    await net.run(gets_together, net, records, WARM_UP * n, net.live(), rng)
    warm, more = await net.run(puts, net, "warm_puts", PUTS, rng)
    figures |= cold | warm
    records += more
    figures["puts_failed"] = 2 * PUTS - len(records)
    took, figures["gets_missed"] = await net.run(gets, net, records, GETS, 60.0, rng)
    figures |= milliseconds("get", took)
    drawn = rng.choices(net.live(), k=TOGETHER)
    figures |= await net.run(gets_together, net, records, TOGETHER, drawn, rng)
    figures["warm_kb_a_node"] = (resident_kb() - figures["rehearsed_kb"]) / n
    return figures | await disaster(net, records, silent, rng)


async def disaster(net: System, records: list[tuple[Any, bytes]], silent: bool, rng: random.Random) -> Figures:
    """What gets cost in the instant after a part of the nodes stopped, and how many failed that a survivor could answer."""
    holders = await net.holders()
    copies = [len(holders.get(key, ())) for key, _ in records]
    await net.kill(KILLED, silent)
    live = set(net.live())
    left = [(key, value) for key, value in records if holders.get(key, set()) & live]
    took, lost = await net.run(gets, net, left, KILLED_GETS, KILLED_SECONDS, rng)
    return milliseconds("killed_get", took) | {
        "copies": sum(copies) / len(copies),
        "killed_gets": len(took),
        "killed_lost": lost,
        "no_copy_left": len(records) - len(left),
    }


async def silence(net: System, n: int) -> Figures:
    """As `operations`, but the killed nodes fall silent and close no connection."""
    return await operations(net, n, silent=True)


async def large(net: System, n: int) -> Figures:
    """Values of 249,996 bytes, each put at one node and read at another: copies, seconds, and how long a pass of the loop took."""
    rng = random.Random(n)
    await net.launch(n)
    lags, took, keys = [], [], []

    async def travel(value: bytes) -> bool:
        with Lag() as lag:
            keys.append(await net.put(rng.randrange(n), value))
            arrived = keys[-1] is not None and await net.get(rng.randrange(n), keys[-1]) == value
        lags.append(lag)
        return arrived

    try:
        for _ in range(LARGE_ROUNDS):
            started = time.perf_counter()
            arrived = await asyncio.wait_for(net.run(travel, rng.randbytes(LARGE_BYTES)), 30)
            took.append(time.perf_counter() - started)
            if not arrived:
                return {"large_arrived": False, "large_error": "not taken" if keys[-1] is None else "not found"}
    except Exception as error:  # whatever a system does instead is its answer
        return {"large_arrived": False, "large_error": f"{type(error).__name__}: {error}"[:100]}
    holders = await net.holders()
    return {
        "large_arrived": True,
        "large_s": percentile(took, 0.5),
        "large_copies": min(len(holders.get(key, ())) for key in keys),
        "large_lag_wall_ms": 1e3 * min(lag.wall for lag in lags),  # the best round: where the machine left it alone
        "large_lag_cpu_ms": 1e3 * percentile([lag.cpu for lag in lags], 0.5),
    }


async def abuse(net: System, n: int) -> Figures:
    """Unhandled exceptions under random connections and messages, and whether the node still serves afterwards."""
    rng, unhandled = random.Random(n), Unhandled()
    await net.launch(n)
    await net.run(unhandled.watch)
    await net.abuse(1, rng, ABUSES)
    gc.collect()  # tasks say "exception was never retrieved" when they go
    key = await net.run(net.put, 1, b"still here")
    serves = [key is not None and await net.run(net.get, node, key) == b"still here" for node in range(n)]
    return {"unhandled": unhandled.count, "still_serves": all(serves)}


WORKS = {"launch": launch, "operations": operations, "silence": silence, "large": large, "abuse": abuse}


# --- a process of its own ---------------------------------------------------------------------------------------------


def apart(name: str, nodes: int, work: str = "operations", limit: float = 300.0) -> Figures:
    """The figures of `work` on the system `name`, measured in a fresh interpreter.

    Raises `RuntimeError` when that fails, `subprocess.TimeoutExpired` when it takes longer than `limit` seconds.
    """
    command = [sys.executable, __file__, name, "--nodes", str(nodes), "--work", work]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=limit)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {done.returncode}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--work", choices=WORKS, default="operations")
    chosen = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # counted, where that is the work; never printed

    async def measured() -> None:
        print(json.dumps(await WORKS[chosen.work](system(chosen.system), chosen.nodes)), flush=True)
        os._exit(0)  # some systems leave threads behind that never end, and call back to the last

    asyncio.run(measured())


if __name__ == "__main__":
    main()
