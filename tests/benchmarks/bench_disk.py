"""What a disk costs, held against memory in the same process: acknowledged writes, the loop meanwhile, and loading.

    pytest tests/benchmarks/bench_disk.py -s

Every write goes through the store that a node's responder asks, 64 at a time, as five replicas in one process would; what
is compared is the time until each was acknowledged. A pass of the loop is what nobody else can use.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from p2pnb.dht.deferred import Deferred
from p2pnb.dht.store import Store, key_of_request
from p2pnb.disk.disk import Disk
from p2pnb.disk.store import DiskStore
from p2pnb.uid import Key
from p2pnb.wire.messages import Set

UID = Key(bytes(32))
AT_ONCE = 64
PUTS = 5_000
RECORDS = 10_000
LEAST_A_SECOND = 1_000
MOST_STALL = 0.010  # seconds that one pass of the loop may take


def values(n: int, size: int = 300) -> list[Set]:
    rng = random.Random(1)
    return [Set(rng.randbytes(size)) for _ in range(n)]


async def acknowledged(store: Store, request: Set) -> bool:
    answer = store.put(request, key_of_request(request), asyncio.get_running_loop().time(), publisher=5)
    if not isinstance(answer, Deferred):
        return answer
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    answer.then(future.set_result)
    return await future


async def puts_a_second(store: Store, requests: list[Set]) -> float:
    left = iter(requests)

    async def one_after_the_other() -> None:
        for request in left:
            assert await acknowledged(store, request)
            await asyncio.sleep(0)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return len(requests) / (time.perf_counter() - started)


def with_disk(path: Path, work: Callable[[Disk, DiskStore], Any]) -> Any:
    async def whole() -> Any:
        disk = Disk(path)
        store = DiskStore(disk.part(UID), asyncio.get_running_loop().time(), rng=random.Random(1))
        try:
            return await work(disk, store)
        finally:
            disk.close()

    return asyncio.run(whole())


def test_acknowledged_puts(tmp_path: Path) -> None:
    requests = values(PUTS)
    memory = max(asyncio.run(puts_a_second(Store(rng=random.Random(1)), requests)) for _ in range(3))

    async def work(disk: Disk, store: DiskStore) -> tuple[float, int]:
        return await puts_a_second(store, requests), disk.commits

    disk, commits = max(with_disk(tmp_path / str(i), work) for i in range(3))
    print(f"\nacknowledged puts: memory {memory:,.0f}/s, disk {disk:,.0f}/s (1 : {memory / disk:.1f}), {PUTS / commits:.0f} a commit")
    assert disk >= LEAST_A_SECOND


async def steady(store: Store) -> tuple[float, float]:
    """3,000 puts, one a millisecond: the longest pass of the loop, on the wall and of its own processor time, in seconds."""
    loop = asyncio.get_running_loop()
    answers, wall, own = [], [], []
    started = loop.time()
    for i, request in enumerate(values(3_000)):
        due = started + i / 1_000
        cpu = time.thread_time()
        answers.append(asyncio.ensure_future(acknowledged(store, request)))
        await asyncio.sleep(max(0.0, due - loop.time()))
        wall.append(loop.time() - max(due, started))
        own.append(time.thread_time() - cpu)
    assert all(await asyncio.gather(*answers))
    return max(wall), max(own)


def test_the_loop_at_a_thousand_puts_a_second(tmp_path: Path) -> None:
    """At best of five: what else the machine does meanwhile is not ours."""

    async def work(_: Disk, store: DiskStore) -> tuple[float, float]:
        return await steady(store)

    disk = [with_disk(tmp_path / str(i), work) for i in range(5)]
    memory = [asyncio.run(steady(Store(rng=random.Random(1)))) for _ in range(5)]
    shown = [f"{1_000 * min(each):.1f}" for each in (*zip(*disk, strict=True), *zip(*memory, strict=True))]
    print(f"\n1,000 puts a second, longest pass of the loop in ms, wall (own processor time): disk {shown[0]} ({shown[1]}), ", end="")
    print(f"memory {shown[2]} ({shown[3]})")
    assert min(own for _, own in disk) <= MOST_STALL
    assert min(wall for wall, _ in disk) <= MOST_STALL + min(wall for wall, _ in memory)


def test_loading(tmp_path: Path) -> None:
    async def fill(_: Disk, store: DiskStore) -> None:
        await puts_a_second(store, values(RECORDS))

    async def count(_: Disk, store: DiskStore) -> int:
        return len(store)

    with_disk(tmp_path / "store", fill)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        assert with_disk(tmp_path / "store", count) == RECORDS
        times.append(time.perf_counter() - started)
    print(f"\n{RECORDS:,} records of 300 bytes are checked and loaded in {1_000 * min(times):.0f} ms")
    assert min(times) < 2.0


async def passes_while_a_node_comes_back(path: Path) -> tuple[float, float]:
    """The longest pass of the loop meanwhile, on the wall and of its own processor time, in seconds."""
    disk, loop, over = Disk(path), asyncio.get_running_loop(), False
    wall, own = [], []

    async def others() -> None:
        while not over:
            began, cpu = loop.time(), time.thread_time()
            await asyncio.sleep(0)
            wall.append(loop.time() - began)
            own.append(time.thread_time() - cpu)

    watching = asyncio.create_task(others())
    await asyncio.sleep(0.01)
    store = await DiskStore.loaded(await disk.read(UID), loop.time(), network="", rng=random.Random(1))
    over = True
    await watching
    assert len(store) == RECORDS
    disk.close()
    return max(wall), max(own)


def test_the_loop_while_a_node_comes_back(tmp_path: Path) -> None:
    """Reading and checking happen on the disk's thread, the rest in slices; with the interval of a living cluster between threads.

    Without the collector, whose full round takes 30 ms in a process of this size, whatever it was that set it off.
    """

    async def fill(_: Disk, store: DiskStore) -> None:
        await puts_a_second(store, values(RECORDS))

    with_disk(tmp_path / "store", fill)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    gc.disable()
    try:
        wall, own = zip(*[asyncio.run(passes_while_a_node_comes_back(tmp_path / "store")) for _ in range(5)], strict=True)
    finally:
        gc.enable()
        sys.setswitchinterval(interval)
    shown = f"{1e3 * min(wall):.1f} ms, {1e3 * min(own):.1f} of its own processor time"
    print(f"\n{RECORDS:,} records come back: longest pass of the loop {shown}")
    assert min(own) <= MOST_STALL
