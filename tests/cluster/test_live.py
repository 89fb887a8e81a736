"""Live widgets of a real cluster: what they see, that they end with it, and that the thread is afterwards as it was."""

from __future__ import annotations

import gc
import operator
import weakref
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances
from live import on, on_the_thread, until

from p2pnb import Cluster, key_of
from p2pnb.cluster.faults import Loss, Partition
from p2pnb.errors import ClusterClosed
from p2pnb.views.widgets.base import VIEW

pytestmark = pytest.mark.usefixtures("nothing_is_left")

Displayed = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(autouse=True)
def displayed(monkeypatch: pytest.MonkeyPatch) -> Displayed:
    """What would be displayed, were this a kernel: bundles, and how."""
    seen: Displayed = []
    monkeypatch.setattr("p2pnb.views.widgets.base.display", lambda bundle, **how: seen.append((bundle, how)))
    return seen


def test_the_table_follows_its_node() -> None:
    async def test(cluster: Cluster) -> None:
        table = cluster[3].table(key_of(b"cats"))
        assert sum(len(row["contacts"]) for row in table.state["rows"]) == len(cluster[3].routing().query("not cached"))
        assert table.state["key_bucket"] is not None
        table._ipython_display_()
        cluster.kill(cluster[3])
        await until(lambda: table.state, lambda state: not state["alive"])
        await cluster.restart(cluster[3])
        await until(lambda: table.state, lambda state: state["alive"] and state["known"] > 0)
        table._handle_custom_msg({"key": ""}, [])
        await until(lambda: table.state, lambda state: state["key"] is None)

    on(test, network="memory")


@pytest.mark.parametrize("network", ["tcp", "memory", "virtual"])
def test_clicks_on_the_map_reach_the_cluster(network: str) -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"hello")
        view, replayed = cluster.map(key=key), []
        view.send = lambda content, buffers=None: replayed.append(content)
        view._ipython_display_()
        assert view.state["holders"] == 5

        def click(**news: Any) -> None:
            view._handle_custom_msg(news, [])

        click(do="kill", nodes=[3])
        await until(lambda: view.state, lambda state: state["alive"] == 11)
        assert not cluster[3].alive
        click(do="restart", nodes=[3])
        await until(lambda: view.state, lambda state: state["alive"] == 12)
        click(do="add", n=2)
        await until(lambda: view.ground, lambda ground: ground["n"] == 14)
        click(do="partition", fraction=0.5)
        await until(lambda: view.state, lambda state: state["cut"] == 7)
        click(do="heal")
        await until(lambda: view.state, lambda state: state["cut"] == 0)
        click(do="kill", fraction=7)
        await until(lambda: view.said, lambda said: said.startswith("a fraction is a number"))
        await next(node for node in cluster if node not in cluster.holders(key)).ref(key)
        await until(lambda: [each["replay"]["cause"] for each in replayed if "replay" in each], lambda causes: "ref" in str(causes))
        if network == "virtual":
            before = view.state["time"]
            click(do="advance", seconds=60)
            await until(lambda: view.state["time"], lambda time: time >= before + 60)
        else:
            assert view.state["time"] is None
        click(do="close")
        await until(lambda: cluster._closed, bool)

    on(test, network=network)


def test_the_map_shows_faults_and_gives_the_node_that_is_selected() -> None:
    async def test(cluster: Cluster) -> None:
        view = cluster.map()
        view._ipython_display_()
        view.select(cluster[4])
        assert view.selected is cluster[4]
        with pytest.raises(ValueError, match="there is no node 12 on this map"):
            view.select(12)
        cluster.faults(Partition(cluster[:5]), Loss(0.1))
        await until(lambda: view.state, lambda state: state["cut"] == 5)
        assert view.state["selected"] == 4
        assert len(view.state["faults"]) == 2
        view._handle_custom_msg({"do": "heal"}, [])
        await until(lambda: view.state, lambda state: state["cut"] == 0)
        assert len(view.state["faults"]) == 1, "heal ends partitions, and nothing else"
        cluster.faults().stop()

    on(test, network="memory")


def test_a_map_refuses_what_makes_no_sense() -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match="pace is a number of seconds of 0 to 60, not -1"):
            cluster.map(pace=-1)
        with pytest.raises(ValueError, match="a key as text is 64 hex digits"):
            cluster.map(key="cats")

    on(test, n=2, network="memory")


def test_fifty_displays_and_closes_leave_the_thread_as_it_was() -> None:
    async def test(cluster: Cluster) -> None:
        cluster[0].table().close()  # what is loaded once
        before, gone = (*on_the_thread(), len(_instances)), []
        for _ in range(50):
            table = cluster[0].table()
            table._ipython_display_()
            gone.append(weakref.ref(table))
            table.close()
        del table
        await until(lambda: (*on_the_thread(), len(_instances)), lambda now: all(map(operator.le, now, before)))
        gc.collect()
        assert not [ref for ref in gone if ref() is not None]

    on(test, network="memory")


def test_closing_the_cluster_closes_what_is_on_display(displayed: Displayed) -> None:
    async def test(cluster: Cluster) -> None:
        for node in cluster[:3]:
            node.table()._ipython_display_()
        await cluster.close()
        views, pictures, ends = displayed[0:6:2], displayed[1:6:2], displayed[6:]
        assert all(VIEW in bundle for bundle, _ in views)
        assert all("<svg" in bundle["text/html"] for bundle, _ in pictures)
        assert len(ends) == 6
        assert all(how["update"] and VIEW not in bundle for bundle, how in ends)
        replaced = {how["display_id"]: "<svg" in bundle["text/html"] for bundle, how in ends}
        assert replaced == {how["display_id"]: False for _, how in views} | {how["display_id"]: True for _, how in pictures}
        with pytest.raises(ClusterClosed):
            cluster[0].table()

    on(test, network="memory")
