"""Draws the pictures of README.md anew: `.venv/bin/python notebooks/pictures/draw.py`."""

import asyncio
from pathlib import Path

from p2pnb import Cluster

HERE = Path(__file__).resolve().parent


async def draw() -> None:
    async with Cluster.launch(64, k=3, seed=1) as cluster:
        with cluster.watch() as watch:
            key = await cluster[3].set(b"hello")
            await cluster[5].ref(key)
        (HERE / "sequence.svg").write_text(watch.sequence().picture(), encoding="utf-8")
        (HERE / "holders.svg").write_text(cluster.holders(key).picture(), encoding="utf-8")
        await cluster[21].ref(key)  # so that the lookup is the one of the quickstart
        lookup = await cluster[21].lookup(key)
        (HERE / "lookup.svg").write_text(lookup.picture(), encoding="utf-8")
        replicas = cluster.replicas_view(key)
        cluster.kill(*cluster.holders(key)[1:3])
        replicas.refresh(beat=True)
        (HERE / "replicas.svg").write_text(replicas.picture(), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(draw())
