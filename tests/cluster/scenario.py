"""A virtual cluster's life in one go, and the hash of its trace: `python scenario.py 7` is run in several processes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from p2pnb import Author, Cluster, key_of

DAY = {"seed": 7, "latency": lambda rng: rng.uniform(0.01, 0.2), "loss": 0.02}


async def life(n: int = 20, **options: Any) -> tuple[str, float]:
    """Everything that a cluster can do, several things at once; returns the hash of the trace and the time at its end."""
    async with Cluster.launch(n, network="virtual", **options) as cluster:
        keys = await asyncio.gather(*(node.set(b"value %d" % node.position) for node in cluster[:6]))
        topic, author = key_of(b"cats"), Author.from_seed(bytes(32))
        await asyncio.gather(*(node.bag_publish(topic, keys[0]) for node in cluster[3:9]))
        await cluster[4].namespace(author).set("about", keys[1])

        async def reader(position: int) -> None:
            for key in keys:
                await cluster[position].ref(key)
            await cluster[position].bag_popular(topic)
            await cluster[position].bag_sample(topic)
            await cluster[position].namespace(author).ref("about")

        async with asyncio.TaskGroup() as group:
            for position in range(7, 12):
                group.create_task(reader(position))
        cluster.kill(fraction=0.2)
        cluster.kill(*[node for node in cluster if node.alive][:2], silent=True)
        await asyncio.gather(*(cluster.random().ref(key) for key in keys), return_exceptions=True)
        cluster.partition(fraction=0.4)
        await asyncio.gather(*(cluster.random().set(b"in parts %d" % i) for i in range(4)))
        cluster.heal()
        await cluster.add(3)
        await cluster.restart(next(node for node in cluster if not node.alive))
        await cluster.advance(3700)
        await cluster.random().bootstrap()
        assert not cluster.errors, cluster.errors
        return cluster.trace_hash, cluster.now


if __name__ == "__main__":
    sys.stdout.write(" ".join(map(str, asyncio.run(life(**DAY | {"seed": int(sys.argv[1])})))))
