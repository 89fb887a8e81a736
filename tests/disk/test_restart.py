"""A node that comes back: nobody waits for its records to be loaded, and nobody has a new allowance."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from writing import UID, Opened, run, written

from p2pnb import spec
from p2pnb.dht.store import key_of_request
from p2pnb.disk.disk import Disk
from p2pnb.disk.store import SLICE, DiskStore
from p2pnb.wire.messages import Set

GROUP, OTHER = "192.0.2.0/24", "198.51.100.0/24"


@pytest.mark.parametrize("threads", [True, False])
def test_what_is_loaded_in_slices_is_the_same(tmp_path: Path, threads: bool) -> None:
    async def test() -> None:
        before = await written(tmp_path / "store", n=3 * SLICE)
        opened = Opened.__new__(Opened)
        opened.disk = Disk(tmp_path / "store", threads=threads)
        opened.part = await opened.disk.read(UID)
        passes = 0

        async def others() -> None:
            nonlocal passes
            while True:
                passes += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(others())
        await asyncio.sleep(0)
        passes = 0
        opened.store = await DiskStore.loaded(opened.part, opened.now, network="", rng=random.Random(1))
        running.cancel()
        assert opened.records() == before
        assert passes >= len(before) // SLICE, "others work in between"
        opened.close()

    run(test)


def test_large_records_come_in_smaller_slices(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        rng = random.Random(1)
        for _ in range(20):
            assert await opened.put(Set(rng.randbytes(spec.MAX_VALUE)))
        opened.close()
        again = Opened.__new__(Opened)
        again.disk = Disk(tmp_path / "store")
        again.part = again.disk.part(UID)
        again.store = DiskStore(again.part, again.now, rng=rng, at_once=False)
        assert sum(1 for _ in again.store._load(again.now)) >= 10
        assert len(again.store) == 20
        again.close()

    run(test)


def put(store: DiskStore, size: int, number: int, now: float, group: str | None) -> bool:
    """Whether memory takes it, and the disk will have it."""
    request = Set(number.to_bytes(8, "big") + bytes(size - 8))
    return store.put(request, key_of_request(request), now, publisher=number, group=group) is not False


def test_a_network_group_has_no_new_allowance_after_a_restart(tmp_path: Path) -> None:
    """It is charged what it added within the hour, as if nothing had been; and is free again when that hour is over."""

    async def test() -> None:
        size = 200_000
        opened = Opened(tmp_path / "store")
        opened.store.quota.used = spec.STORE_BYTES // 2
        now, taken = opened.now, 0
        while put(opened.store, size, taken, now, GROUP):
            taken += 1
        assert taken == spec.PUBLISHER_BYTES_AN_HOUR // (size + 200)
        assert await opened.part.flushed()
        opened.close()
        again = Opened(tmp_path / "store")
        again.store.quota.used = spec.STORE_BYTES // 2
        assert not put(again.store, size, 1_000, again.now + 60, GROUP)
        assert put(again.store, size, 1_001, again.now + 60, OTHER)
        assert put(again.store, size, 1_002, again.now + 3_700, GROUP)
        again.close()

    run(test)


def test_while_everybody_may_store_nothing_is_written_about_groups(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        assert put(opened.store, 1_000, 1, opened.now, GROUP)
        assert await opened.part.flushed()
        opened.close()
        again = Opened(tmp_path / "store")
        assert again.store.quota.groups.chunks(GROUP) == []
        again.close()

    run(test)
