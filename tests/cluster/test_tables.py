"""Where records are, which lookups a node made, the network as a graph, and messages in words while somebody watches."""

from __future__ import annotations

import builtins
from typing import Any

import networkx
import pytest
from live import on, until

from p2pnb import Author, Cluster, key_of
from p2pnb.cluster import watch as watching
from p2pnb.cluster.watch import EventLog
from p2pnb.peer.report import Event


def test_where_says_who_has_a_record_and_who_should() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"hello")
        frame = cluster.where(key)
        holding = frame[frame["holds"]]
        assert holding.index.tolist() == [node.position for node in cluster.holders(key)]
        assert set(holding["kind"]) == {"value"}
        assert holding["age_s"].between(0, 60).all()
        assert frame["rank"].tolist() == list(range(20))
        assert frame["should_hold"].sum() == 5
        cluster.kill(cluster[holding.index[0]])
        after = cluster.where(str(key))
        assert after[after["holds"]].index.tolist() == holding.index.tolist()[1:]
        assert after.index[0] == holding.index[1], "the dead have no rank"
        await cluster[1].bag_publish(key, key)
        namespace = cluster[1].namespace(Author.create())
        await namespace.set("about", key)
        both = cluster.where(key)
        assert set(both["kind"].dropna()) == {"value", "bag"}
        assert (cluster.where(namespace.key("about"))["kind"] == "namespace").sum() == 5
        assert not cluster.where(key_of(b"nothing"))["holds"].any()

    on(test, 24, network="memory", k=4)


def test_what_a_node_published_and_whether_it_is_renewed() -> None:
    async def test(cluster: Cluster) -> None:
        author, topic = Author.from_seed(bytes(32)), key_of(b"topic")
        assert cluster[3].published().empty
        key = await cluster[3].set(b"hello")
        await cluster[3].bag_publish(topic, key)
        await cluster[3].namespace(author).set("about", key)
        frame = cluster[3].published()
        assert frame["kind"].tolist() == ["value", "bag", "namespace"]
        assert frame["key"].tolist()[:2] == [str(key), str(topic)]
        assert frame[["renewed_s", "replicas"]].isna().all().all()
        await cluster.advance(4_000)
        frame = cluster[3].published()
        assert frame["renewed_s"].max() < 4_000
        assert frame["replicas"].tolist() == [5, 5, 5]
        assert frame["trouble"].tolist() == ["", "", ""]
        await cluster[4].namespace(author).set("about", topic)
        await cluster.advance(4_000)
        frame = cluster[3].published()
        assert frame["replicas"].tolist() == [5, 5, 5], "of the entry, the version that was written elsewhere"
        assert frame["trouble"].tolist() == ["", "", ""]
        cluster.kill(cluster[3])
        assert cluster[3].published().empty

    on(test, 12, network="virtual")


def test_a_node_remembers_its_lookups() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        lookup = await cluster[3].lookup(key)
        await cluster[9].ref(key)
        own = cluster[3].lookups()
        assert own["cause"].str.startswith("set#").sum() == 1
        row = own.iloc[-1]
        assert row["target"] == str(key)
        assert (row["hops"], row["rpcs"], row["dials"], row["failed"]) == (lookup.hops, lookup.rpcs, lookup.dials, lookup.failed)
        assert row["duration_ms"] >= 1000 * lookup.duration_s
        assert own["found"].isna().all(), "no record was looked for"
        found = cluster[9].lookups().iloc[-1]
        assert found["verb"] == "ref"
        assert found["found"]
        with pytest.raises(LookupError):
            await cluster[9].ref(key_of(b"nothing"))
        assert cluster[9].lookups()["found"].tolist()[-1] is False
        cluster.kill(cluster[9])
        assert cluster[9].lookups().empty

    on(test, network="memory", k=3)


def test_the_network_as_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster[0].set(b"hello")
        graph = cluster.to_networkx()
        assert sorted(graph) == list(range(12))
        assert graph.nodes[3]["uid"] == str(cluster[3].uid)
        routing = cluster.routing()
        assert graph.number_of_edges() == (~routing["cached"]).sum()
        assert networkx.is_weakly_connected(graph)
        one, other, about = next(iter(graph.edges(data=True)))
        assert set(about) == {"bucket", "age_s", "rtt_ms"}
        assert 256 - (cluster[one].uid ^ cluster[other].uid).bit_length() == about["bucket"]
        found = builtins.__import__

        def without(name: str, *args: Any, **options: Any) -> Any:
            if name == "networkx":
                raise ImportError(name)
            return found(name, *args, **options)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match="pip install networkx"):
            cluster.to_networkx()

    on(test, network="memory", k=3)


def test_messages_are_kept_in_words_while_somebody_watches() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster[2].set(b"unwatched")
        with cluster.watch() as watch:
            key = await cluster[1].set(b"x" * 1000)
        with cluster.watch(words=False) as silent:
            await next(node for node in cluster if node not in cluster.holders(key)).ref(key)
        kept = [row["words"] for row in watch.rows()]
        assert ["#(set #u8(120 120 120 120 120 120 120 120 … 1,000 bytes))", "#t"] in kept
        assert None not in kept
        assert all(len(said) + len(heard) < 4000 for said, heard in kept)
        assert {row["words"] is None for row in silent.rows()} == {True}
        log = cluster._network.log
        assert not log.words, "nobody watches any more"
        assert {event.cause for event in log.events if event.words is not None} == watch.causes

    on(test, network="memory")


def test_a_watch_inside_another_takes_nothing_from_it() -> None:
    async def test(cluster: Cluster) -> None:
        with cluster.watch() as outer:
            with cluster.watch(words=False), cluster.watch():
                call = cluster[1].set(b"both")
            await call
        assert outer.rows()
        assert all(row["words"] for row in outer.rows())
        assert not cluster._network.log.words

    on(test, network="memory")


def test_words_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "KEPT_IN_WORDS", 3)
    log = EventLog(lambda uid: uid)
    for number in range(10):
        log.append(Event(float(number), 1, 2, "ref", "value", 1, 1, 0.1, "ref#1", [f"#(ref {number})", "#t"]))
    assert [row["words"] for row in log.rows()] == [[]] * 7 + [[f"#(ref {number})", "#t"] for number in (7, 8, 9)]


def test_traffic_by_peer() -> None:
    """Who asked whom for how much, who was refused, what is kept for whom; the sums of both ends agree."""

    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(bytes(1_000))
        await cluster[5].ref(key)
        frame = cluster.traffic(by="peer")
        assert frame["bytes_in"].sum() == frame["bytes_out"].sum() > 5_000
        assert frame["requests_in"].sum() == frame["requests_out"].sum()
        assert set(frame["peer"]) == set(range(6))
        assert (frame.query("peer == 0")["stored_bytes"] == 1_000).sum() >= 4
        assert (frame["closed"] == 0).all()
        cluster.kill(cluster[1])
        await until(lambda: cluster.traffic(by="peer").query("peer == 1"), lambda after: (after["closed"] >= 1).all())
        assert (cluster.traffic(by="peer").query("peer == 1")["links"] == 0).all()
        with pytest.raises(ValueError, match='"verb" or by "peer"'):
            cluster.traffic(by="node")

    on(test, 6, network="memory", seed=3)
