"""What a cell sees that ends with a cluster, a node, a list of nodes, a watch or a result; and that nothing fails to show itself."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from live import on

from p2pnb import Author, Cluster, Key, key_of
from p2pnb.errors import ClusterClosed
from p2pnb.wire.messages import NamespaceSet


def shown(thing: Any) -> str:
    """Its plain text; the HTML must be there too."""
    bundle: dict[str, str] = thing._repr_mimebundle_()
    assert bundle["text/html"].startswith("<div")
    return bundle["text/plain"]


def test_holders_are_the_nearest_and_show_where_they_stand() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"hello")
        holders = cluster.holders(key)
        assert holders == sorted(cluster, key=lambda node: node.uid ^ key)[:5]
        assert cluster.holders(str(key)) == holders
        assert set(cluster.values().index) == {node.position for node in holders}
        assert "5 nodes" in shown(holders)
        assert f"has the record #{holders[0].position}" in shown(holders)
        assert holders.picture().count("has the record") == 6, "five marks and the legend"
        assert cluster.holders(key_of(b"nobody's")) == []
        await cluster[0].bag_publish(key_of(b"cats"), key)
        assert len(cluster.holders(key_of(b"cats"))) == 5
        cluster.kill(holders[0])
        assert cluster.holders(key) == holders[1:]

    on(test, network="memory")


def test_a_namespace_says_where_its_entry_lives() -> None:
    async def test(cluster: Cluster) -> None:
        namespace = cluster[1].namespace(Author.create())
        await namespace.set("about", key_of(b"me"))
        assert isinstance(namespace.key("about"), Key)
        assert set(cluster.holders(namespace.key("about"))) == {cluster[position] for position in cluster.namespaces().index}
        assert repr(await namespace.ref("about")) == repr(key_of(b"me")), "32 bytes show as a key"
        published = cluster[1].peer.published.values()
        assert any(isinstance(each, NamespaceSet) and each.key == key_of(b"about").int for each in published)

    on(test, network="memory")


def test_lists_of_nodes_are_lists() -> None:
    async def test(cluster: Cluster) -> None:
        assert isinstance(cluster[2:5], list)
        assert cluster[2:5] == [cluster[2], cluster[3], cluster[4]]
        assert shown(cluster[2:5]) == "3 nodes\n  in this list #2, #3, #4"
        assert "in this list #0, #1" in shown(cluster[:])
        killed = cluster.kill(cluster[2], cluster[3])
        assert shown(killed) == "2 nodes\n  killed #2, #3"
        await cluster.restart(cluster[2])
        assert shown(killed) == "2 nodes\n  restarted #2 · killed #3"
        assert shown(cluster.partition(cluster[5])) == "1 node\n  cut off #5"
        assert "cut off, dead" not in shown(cluster.heal())
        assert shown(await cluster.add(2)) == "2 nodes\n  new #12, #13"

    on(test, network="memory")


def test_the_cluster_counts_records_not_copies() -> None:
    async def test(cluster: Cluster) -> None:
        author = Author.create()
        for text in (b"one", b"two"):
            key = await cluster[0].set(text)
        await cluster[3].bag_publish(key, key)
        await cluster[3].namespace(author).set("about", key)
        text = shown(cluster)
        for words in ("12 nodes", "all alive", "memory on 127.0.0.1", "values 2", "bags 1", "namespaces 1", "up "):
            assert words in text

    on(test, network="memory")


def test_calls_say_what_they_cost() -> None:
    async def test(cluster: Cluster) -> None:
        with cluster.watch() as watch:
            assert shown(watch).startswith("Watch · 0 requests")
            key = await cluster[1].set(b"watched")
        requests = len(watch.events())
        assert f"{requests} requests" in shown(watch)
        assert "calls 1" in shown(watch)
        assert f"requests {requests}" in shown(cluster[1].last)
        assert "set · at #1 · 5 of 5 replicas took it" in shown(cluster[1].last)
        assert "took" in shown(cluster[1].last)
        assert "nothing asked yet" in shown(cluster[2].last)
        lookup = await cluster[2].lookup(key)
        assert 0 <= lookup.duration_s < 60
        assert lookup.failed == 0
        assert "took" in shown(lookup)
        with cluster.watch() as many:
            for node, word in itertools.product(cluster[:3], (b"a", b"b")):
                await node.set(word)
        assert len(many) > 20
        assert "The first 20 are listed" in shown(many)

    on(test, network="memory")


def test_values_of_a_bag_are_keys() -> None:
    async def test(cluster: Cluster) -> None:
        topic, value = key_of(b"cats"), await cluster[0].set(b"a cat")
        await cluster[0].bag_publish(topic, value)
        popular = await cluster[1].bag_popular(topic)
        assert popular == [value]
        assert list(map(repr, list(popular))) == [repr(value)]
        assert await cluster[2].ref(popular[0]) == b"a cat"
        assert popular.key == topic
        assert str(topic) in shown(popular)
        assert shown(await cluster[1].bag_recent(key_of(b"empty"))).startswith("Bag · recent · 0 values")

    on(test, network="memory")


def test_what_is_left_of_a_closed_cluster_still_shows_itself() -> None:
    async def whole() -> None:
        async with Cluster.launch(6, network="memory") as cluster:
            with cluster.watch() as watch:
                key = await cluster[0].set(b"kept")
            holders, node = cluster.holders(key), cluster[0]
        assert "closed" in shown(cluster)
        assert "set" in repr(watch)
        assert "set" in shown(watch)
        assert "dead, had the record" in shown(holders)
        assert node._repr_mimebundle_() == {"text/plain": repr(node)}
        assert repr(node).endswith(", closed>"), "nobody killed it"
        for table in (cluster.nodes, cluster.routing, cluster.values, cluster.namespaces, cluster.traffic, cluster.events):
            with pytest.raises(ClusterClosed, match="launch another"):
                table()
        with pytest.raises(ClusterClosed, match="launch another"):
            holders.picture()

    asyncio.run(whole())
