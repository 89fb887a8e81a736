"""What tests of whole clusters share: running one, and the networks to run it on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from p2pnb import Cluster
from p2pnb.cluster.background import background

NETWORKS: list[dict[str, Any]] = [
    {"network": "tcp"},
    {"network": "memory"},
    {"network": "memory", "encryption": False},
    {"network": "virtual"},
]
each_network = pytest.mark.parametrize("options", NETWORKS, ids=["tcp", "memory", "plain", "virtual"])


def on(test: Callable[[Cluster], Awaitable[None]], n: int = 12, **options: Any) -> None:
    """Runs `test` with a cluster, and holds that it leaves no error behind."""

    async def whole() -> None:
        async with Cluster.launch(n, **{"seed": 5, **options}) as cluster:
            await test(cluster)
        assert not cluster.errors

    asyncio.run(whole())


async def until(state: Any, wanted: Any) -> None:
    """Waits for what the stage sends; it looks every 50 ms."""
    for _ in range(400):
        if wanted(state()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(state())


def on_the_thread() -> tuple[int, int]:
    """How many timers and tasks wait on the clusters' thread."""
    loop: Any = background().loop
    return background().call(lambda: (sum(not timer.cancelled() for timer in loop._scheduled), len(asyncio.all_tasks(loop))))
