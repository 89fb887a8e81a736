"""Determinism itself, tested: the same seed gives the same trace, in other processes, with other hashes, at any speed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import scenario

from p2pnb import Cluster, Identity
from p2pnb.cluster import virtual
from p2pnb.errors import ClusterClosed

SCRIPT = Path(scenario.__file__)
PLAIN = {"seed": 7, "latency": 0.03}


def elsewhere(seed: int, hash_seed: str) -> str:
    """What a fresh interpreter says of the same life."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run([sys.executable, str(SCRIPT), str(seed)], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def here(**options: Any) -> str:
    trace_hash, now = asyncio.run(scenario.life(**options))
    return f"{trace_hash} {now}"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    assert here(**scenario.DAY) == elsewhere(7, "0") == elsewhere(7, "12345")


@pytest.mark.slow
def test_another_seed_gives_another_trace() -> None:
    assert len({here(**scenario.DAY | {"seed": seed}) for seed in (7, 8, 9)}) == 3


@contextmanager
def busy_thread() -> Iterator[None]:
    """Another thread that takes the interpreter whenever it can."""
    over = Event()

    def spin() -> None:
        while not over.is_set():
            sum(range(1000))

    thread = Thread(target=spin)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.slow
def test_neither_the_length_of_slices_nor_other_threads_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = here(**PLAIN)
    with busy_thread():
        assert here(**PLAIN) == expected
    monkeypatch.setattr(virtual, "SLICE", 0.0)
    assert here(**PLAIN) == expected


@pytest.mark.slow
def test_keys_that_are_drawn_anew_for_every_handshake_leave_no_trace() -> None:
    """Under encryption the bytes on the wire are others each time, their sizes and times are not."""
    assert here(n=16, encryption=True, **PLAIN) == here(n=16, encryption=True, **PLAIN)


@pytest.mark.slow
def test_messages_that_are_handed_over_unwritten_leave_the_same_trace() -> None:
    """Sizes included, with latencies and losses that are drawn for each chunk."""
    assert here(n=16, codec=False, **scenario.DAY) == here(n=16, **scenario.DAY)


def test_the_hash_covers_everything_and_grows() -> None:
    async def whole() -> None:
        async with Cluster.launch(5, network="virtual", seed=1) as cluster:
            first = cluster.trace_hash
            assert first == cluster.trace_hash, "asking changes nothing"
            await cluster[0].set(b"x")
            assert cluster.trace_hash != first
        with pytest.raises(ClusterClosed):
            _ = cluster.trace_hash
        async with Cluster.launch(2, network="memory", seed=1) as cluster:
            with pytest.raises(ValueError, match='only a cluster on network="virtual"'):
                _ = cluster.trace_hash

    asyncio.run(whole())


def test_identities_that_were_given_take_the_place_of_drawn_ones() -> None:
    async def uids() -> list[Any]:
        given = [Identity.from_seed(bytes(31) + bytes([i])) for i in range(2)]
        async with Cluster.launch(4, network="virtual", seed=1, identities=given) as cluster:
            assert [node.uid for node in cluster[:2]] == [identity.uid for identity in given]
            return [node.uid for node in cluster]

    assert asyncio.run(uids()) == asyncio.run(uids())
