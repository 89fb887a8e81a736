"""A node that dies is gone at once, with all that it kept: no collector has to look for it.

A cluster that has settled is out of the collector's sight, so that it never stops every thread to look at it (see
`Background.settle`); what dies later must therefore leave by itself.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from p2pnb import Cluster


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("network", ["memory", "tcp"])
def test_a_killed_node_leaves_nothing_behind(network: str, store: bool, silent: bool, tmp_path: Path) -> None:
    async def test() -> None:
        async with Cluster.launch(8, network=network, seed=3, store=tmp_path if store else None) as cluster:
            for i in range(16):
                await cluster[i % 8].set(b"%d" % i)
            peer = cluster[3].peer
            left = [weakref.ref(each) for each in (peer, peer.store, peer.responder, peer.requests, peer.upkeep)]
            del peer
            gc.disable()
            try:
                cluster.kill(cluster[3], silent=silent)
                await cluster.restart(cluster[3])
                await cluster[3].set(b"and it is well")
                assert [each() for each in left] == [None] * len(left)
            finally:
                gc.enable()
            assert not cluster.errors

    asyncio.run(test())


@pytest.mark.parametrize("silent", [False, True])
def test_nor_do_its_links_when_those_that_wait_for_them_have_gone(silent: bool) -> None:
    """What is remembered of who took turns is no link. (A node's first life is out of the collector's sight: this is its second.)"""

    async def test() -> None:
        async with Cluster.launch(8, network="virtual", seed=3) as cluster:
            cluster.kill(cluster[3])
            await cluster.restart(cluster[3])
            for i in range(8):
                await cluster[i].set(bytes([i]) * 200_000)  # so large that it is read and written in turns
            endpoint = weakref.ref(cluster._network.members[3].endpoint)
            cluster.kill(cluster[3], silent=silent)
            await cluster.restart(cluster[3])
            await cluster.advance(60)
            gc.collect()
            assert endpoint() is None
            assert not cluster.errors

    asyncio.run(test())
