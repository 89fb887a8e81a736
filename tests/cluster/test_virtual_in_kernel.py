"""A virtual cluster in a real Jupyter kernel: `await` at the top level of a cell, the bridge, cells run twice, and Ctrl-C."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.kernel

PROMISED = 0.5  # seconds
GENEROUS = 5  # times that, for a machine that has much else to do
LAUNCH = "from p2pnb import *\nimport asyncio\ncluster = await Cluster.launch(8, network='virtual', seed=7)\ncluster"
CLOSE = "await cluster.close(); cluster.errors"

CELLS = {
    "await": "asyncio.get_running_loop().call_later(0.2, print, 'waiting'); await cluster.run(forever)",
    "await gather": """
        asyncio.get_running_loop().call_later(0.2, print, 'waiting')
        await asyncio.gather(cluster.run(forever), cluster.advance(1e12))
        """,
    "a workload that computes": "asyncio.get_running_loop().call_later(0.2, print, 'waiting'); await cluster.run(busy)",
    "run": "print('waiting'); run(cluster.run(forever))",
    "run in a cell that also awaits": "await asyncio.sleep(0); print('waiting'); run(cluster.advance(1e12))",
}


def test_cells_await_advance_and_look(kernel: Any) -> None:
    assert "8 nodes · all alive · virtual" in kernel.run(LAUNCH, cell="virtual").result
    assert kernel.run("key = await cluster[3].set(b'hello'); await cluster[5].ref(key)").result == "b'hello'"
    assert kernel.run("before = cluster.now; await cluster.advance(3600); round(cluster.now - before, 6)").result == "3600.0"
    assert kernel.run("await asyncio.sleep(0.05); round(cluster.now - before, 6)").result == "3600.0", "time stands still between cells"
    assert kernel.run("run(cluster[1].ref(key))").result == "b'hello'"
    nested = """
        async def look():
            return await cluster[1].ref(key), await asyncio.gather(*(node.ref(key) for node in cluster[:3]))
        run(look())
        """
    assert kernel.run(nested).result == "(b'hello', [b'hello', b'hello', b'hello'])"
    first = kernel.run("cluster.trace_hash").result
    assert "this cell launched before" in kernel.run(LAUNCH, cell="virtual").text
    assert kernel.run("cluster.trace_hash").result != first
    assert kernel.run(CLOSE).result == "[]"


def test_relaunching_as_another_kind_closes_the_earlier_one(kernel: Any) -> None:
    kernel.run(LAUNCH.replace("cluster = ", "earlier = cluster = "), cell="kinds")
    assert "this cell launched before" in kernel.run(LAUNCH.replace("virtual", "tcp"), cell="kinds").text
    assert "closed" in kernel.run("earlier").result
    kernel.run("earlier = cluster")
    assert "this cell launched before" in kernel.run(LAUNCH, cell="kinds").text
    assert "closed" in kernel.run("await earlier.close(); earlier").result
    assert kernel.run("earlier.errors + " + CLOSE.split("; ")[1]).result == "[]"
    assert kernel.run(CLOSE).result == "[]"


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_cell_is_interrupted_at_once_and_the_cluster_lives_on(kernel: Any, cell: str) -> None:
    kernel.run(LAUNCH, cell="interrupted")
    setup = """
        async def forever():
            await asyncio.Event().wait()
        async def busy():
            while True:
                await cluster[0].set(b'x')
        """
    assert not kernel.run(setup).error
    outcome = kernel.run(cell, interrupt_at="waiting")
    assert outcome.error in ("KeyboardInterrupt", "CancelledError"), outcome
    assert outcome.seconds < GENEROUS * PROMISED
    assert kernel.run("then = cluster.now; await asyncio.sleep(0.05); cluster.now == then").result == "True", "time stands still again"
    assert kernel.run("await cluster[2].ref(await cluster[1].set(b'after'))").result == "b'after'"
    assert kernel.run(CLOSE).result == "[]"


def test_progress_is_drawn_while_a_large_cluster_is_launched(kernel: Any) -> None:
    kernel.run("from p2pnb.cluster import progress; patience, progress.PATIENCE = progress.PATIENCE, 0.05")
    launched = kernel.run("cluster = await Cluster.launch(300, network='virtual')", cell="progress")
    assert not kernel.run("progress.PATIENCE = patience").error
    lines = [content["data"]["text/plain"] for content in launched.displays]
    assert any("launching 300 nodes" in line for line in lines), launched
    assert lines[-1] == ""
    assert kernel.run(CLOSE).result == "[]"
