"""A cluster as a notebook uses it: everything through the public names, on sockets and in memory."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from live import NETWORKS, each_network, on

from p2pnb import Author, Cluster, Key, key_of, run
from p2pnb.errors import ClusterClosed, NodeDown, NotFound, PeerUnreachable, RequestTimeout


@each_network
def test_every_procedure(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        assert isinstance(key, Key)
        assert key == key_of(b"hello")
        assert cluster[3].last.stored == 5
        assert await cluster[9].ref(key) == b"hello"
        assert await cluster[9].ref(str(key)) == b"hello"
        topic = key_of(b"cats")
        await asyncio.gather(*(node.bag_publish(topic, key) for node in cluster[:3]))
        other = await cluster[0].set(b"other")
        await cluster[4].bag_publish(topic, other)
        assert await cluster[5].bag_popular(topic) == [key, other]
        assert set(await cluster[5].bag_recent(topic)) == {key, other}
        assert set(await cluster[5].bag_sample(topic)) == {key, other}
        holder = next(node for node in cluster if cluster.nodes().bags[node.position])
        for ask in (cluster[1].bag_popular_at, cluster[1].bag_recent_at, cluster[1].bag_sample_at):
            assert set(await ask(holder.uid, topic)) == {key, other}
        author = Author.create()
        pinned = await cluster[6].namespace_set(author.private_key, author.public_key, topic, key)
        await cluster[7].namespace(author).set(topic, other)
        assert await cluster[8].namespace_ref(author.public_key, topic) == other
        assert await cluster[8].namespace_ref(author.public_key, topic, pinned) == key
        keeper = next(node for node in cluster if cluster.nodes().namespaces[node.position])
        assert await cluster[1].namespace_ref_at(keeper.uid, author.public_key, topic) == other
        assert await cluster[1].connect(cluster[2].ip, cluster[2].port) is True
        await cluster[1].bootstrap()
        trace = await cluster[1].lookup(topic)
        assert trace.nearest
        assert trace.hops >= 1
        assert len(trace.frame()) >= trace.rpcs
        assert "<svg" in trace.picture()

    on(test, **options)


@each_network
def test_tables(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(bytes(1000))
        await cluster[1].bag_publish(key, key)
        author = Author.create()
        await cluster[2].namespace(author).set("x", key)
        nodes = cluster.nodes()
        assert list(nodes.index) == list(range(12))
        assert nodes.alive.all()
        assert nodes.loc[3, "port"] == cluster[3].port
        assert nodes.loc[3, "uid"] == str(cluster[3].uid)
        assert (nodes.contacts >= 5).all()
        assert nodes["values"].sum() == 5
        routing = cluster.routing()
        assert set(routing.index) == set(range(12))
        assert len(cluster[4].routing()) == (routing.index == 4).sum()
        assert routing.peer.notna().all(), "every contact is one of this cluster's nodes"
        values = cluster.values()
        assert len(values) == 5
        assert (values["key"] == str(key)).all()
        assert (values["size_bytes"] == 1000).all()
        nearest = sorted(cluster, key=lambda node: node.uid ^ key)[:5]
        assert sorted(values.index) == sorted(node.position for node in nearest), "held by the five nearest"
        bag = cluster.bag(key)
        assert len(bag) == 1
        assert bag.publishers.tolist() == [1]
        assert bag.holders.tolist() == [5]
        assert cluster.namespaces()["sequence"].tolist() == [0] * 5
        traffic = cluster.traffic()
        assert traffic.loc["set", "count"] >= 4
        assert traffic.loc["set", "failed"] == 0
        events = cluster.events()
        assert {"launch", "set"} <= {cause.split("#")[0] for cause in events["cause"]}
        for thing in (cluster, cluster[0], await cluster[0].lookup(key), await cluster[0].bag_popular(key), cluster[0].last):
            bundle = thing._repr_mimebundle_()
            assert bundle["text/html"]
            assert bundle["text/plain"]

    on(test, **options)


def test_the_seed_fixes_uids() -> None:
    async def uids(seed: int | None) -> list[Key]:
        async with Cluster.launch(4, network="memory", seed=seed) as cluster:
            return [node.uid for node in cluster]

    assert asyncio.run(uids(3)) == asyncio.run(uids(3))
    assert asyncio.run(uids(3)) != asyncio.run(uids(4))
    assert asyncio.run(uids(None)) != asyncio.run(uids(None))


@each_network
def test_values_survive_all_but_one_holder(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"survivor")
        holders = [cluster[position] for position in cluster.values().index]
        assert len(holders) == 5
        assert cluster.kill(*holders[:4]) == holders[:4]
        asker = next(node for node in cluster if node.alive and node is not holders[4])
        assert await asker.ref(key) == b"survivor"
        cluster.kill(holders[4])
        with pytest.raises(NotFound):
            await asker.ref(key)
        assert cluster.nodes().alive.sum() == 20 - 5

    on(test, n=20, **options)


@each_network
def test_silent_nodes_do_not_stall_a_lookup(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        keys = [await cluster[i].set(b"%d" % i) for i in range(20)]
        dead = cluster.kill(fraction=0.3, silent=True)
        assert len(dead) == 6
        held = set(cluster.values()["key"])
        for key in keys:
            if str(key) in held:
                assert await cluster.random().ref(key, timeout=5.0)

    on(test, n=20, **options)


@each_network
def test_kill_and_restart(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        node = cluster[3]
        uid, port = node.uid, node.port
        for silent in (False, True):
            cluster.kill(node, silent=silent)
            assert not node.alive
            with pytest.raises(NodeDown, match=r"cluster\.restart\(cluster\[3\]\)"):
                await node.set(b"x")
            with pytest.raises(NodeDown):
                _ = node.peer
            assert await cluster.restart(node) is node
            assert (node.uid, node.port, node.alive) == (uid, port, True)
            assert await cluster[5].ref(await node.set(b"back"))
        assert "3" in repr(node)

    on(test, **options)


@pytest.mark.parametrize("options", NETWORKS[:3], ids=["tcp", "memory", "plain"])
def test_a_node_that_is_killed_in_the_middle_of_a_call_says_so(options: dict[str, Any]) -> None:
    """It has lost those whom it asked, which says nothing of records and peers: no `NotFound`, and no key of what nobody keeps."""

    async def test(cluster: Cluster) -> None:
        cluster.kill(*cluster[4:], silent=True)
        for node, begin in zip(
            cluster[:4],
            (
                lambda node: node.set(b"value"),
                lambda node: node.ref(key_of(b"nothing")),
                lambda node: node.bag_popular(key_of(b"nothing")),
                lambda node: node.lookup(key_of(b"nothing")),
            ),
            strict=True,
        ):
            call = begin(node)
            await asyncio.sleep(0.05)
            assert not call.done()
            cluster.kill(node)
            with pytest.raises(NodeDown, match=f"node {node.position} was killed while it did this"):
                await call

    on(test, n=11, **options)


@pytest.mark.parametrize(
    "options", [pytest.param(NETWORKS[0], marks=pytest.mark.slow), NETWORKS[3]], ids=["tcp", "virtual"]
)  # what is behind the wall is waited for 5 s
def test_partition_and_heal(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        cut = cluster.partition(fraction=0.5)
        assert len(cut) == 8
        here = next(node for node in cluster if node not in cut)
        there = cut[0]
        mine, yours = await here.set(b"this side"), await there.set(b"that side")
        with pytest.raises((NotFound, PeerUnreachable, RequestTimeout)):
            await here.ref(yours, timeout=1)
        healed = cluster.heal()
        assert len(healed) == 16
        for _ in range(50):
            if not cluster.routing()["failures"].any():
                break
            await cluster.run(asyncio.sleep, 0.05)  # of the cluster's time
        assert await there.ref(mine) == b"this side"
        assert await here.ref(yours) == b"that side"

    on(test, n=16, **options)


@each_network
def test_growing_and_joining(options: dict[str, Any]) -> None:
    async def test(cluster: Cluster) -> None:
        new = await cluster.add(3)
        assert [node.position for node in new] == [12, 13, 14]
        assert len(cluster) == 15
        key = await new[0].set(b"from a new one")
        assert await cluster[0].ref(key) == b"from a new one"

    on(test, **options)


def test_two_clusters_become_one() -> None:
    async def test(cluster: Cluster) -> None:
        async with Cluster.launch(4, seed=6) as other:
            key = await other[0].set(b"theirs")
            met = await cluster.join(other[0].ip, other[0].port)
            assert met == other[0].uid
            assert await cluster[3].ref(key) == b"theirs"
        line = cluster.invite()
        assert re.fullmatch(r"cluster = await Cluster\.launch\(5, bootstrap=\[\('127\.0\.0\.1', \d+\)\]\)", line)
        names: dict[str, Any] = {"Cluster": Cluster}
        exec("async def paste():\n    " + line + "\n    return cluster", names)  # the invitation is meant to be pasted
        guest = await names["paste"]()
        assert await guest[2].ref(await cluster[0].set(b"ours")) == b"ours"
        await guest.close()

    on(test)


def test_closing_ends_what_is_under_way() -> None:
    async def whole() -> None:
        cluster = await Cluster.launch(3, network="memory")

        async def forever() -> None:
            await asyncio.Event().wait()

        call = cluster.run(forever)
        await cluster.close()
        with pytest.raises(ClusterClosed, match="before this call was done"):
            await call

    asyncio.run(whole())


def test_timeouts_of_calls() -> None:
    async def test(cluster: Cluster) -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        with pytest.raises(RequestTimeout, match=r"timeout of 0\.01 s"):
            await cluster.run(forever, timeout=0.01)

    on(test, n=2, network="memory")


def test_watch_sees_these_calls_only() -> None:
    async def test(cluster: Cluster) -> None:
        await cluster[0].set(b"before")
        with cluster.watch() as watch:
            key = await cluster[1].set(b"inside")
        await cluster[2].ref(key)
        events = watch.events()
        assert len(watch) == len(events) > 0
        assert set(events["verb"]) == {"peers", "set"}
        assert {cause.split("#")[0] for cause in events["cause"]} == {"set"}
        assert set(events["node"]) == {1}
        assert watch.traffic().loc["set", "count"] == (events["verb"] == "set").sum()
        assert "set" in repr(watch)
        assert set(cluster[2].last.events()["verb"]) <= {"ref"}

    on(test, network="memory")


def test_run_bridges() -> None:
    async def launched() -> Cluster:
        return await Cluster.launch(3, network="memory")

    cluster = run(Cluster.launch(3, network="memory"))
    key = run(cluster[0].set(b"no await here"))
    assert run(cluster[1].ref(key)) == b"no await here"

    async def workload(n: int) -> int:
        for i in range(n):
            await cluster[0].peer.set(b"%d" % i)
        return n

    assert run(cluster.run(workload, 3)) == 3
    run(cluster.close())
    run(run(launched()).close())


def test_nothing_of_a_node_pickles_a_secret() -> None:
    async def test(cluster: Cluster) -> None:
        identity = cluster[0]._member.identity
        with pytest.raises(TypeError):
            pickle.dumps(identity)
        for shown in (repr(identity), repr(cluster[0]), str(cluster[0]._repr_mimebundle_())):
            assert str(cluster[0].uid)[:8] in shown

    on(test, n=2)


def test_latency_and_loss_in_memory() -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        async with Cluster.launch(8, network="memory", seed=6, latency=lambda rng: rng.uniform(0.001, 0.004), loss=0.01) as cluster:
            began = loop.time()
            key = await cluster[0].set(b"slowly")
            assert loop.time() - began >= 0.002
            assert await cluster[5].ref(key) == b"slowly"
            assert (cluster.events()["rtt_ms"].dropna() >= 2.0).all()

    asyncio.run(whole())


@pytest.fixture
def listeners() -> Callable[[], set[str]]:
    """Local addresses on which this machine listens, from the kernel's own table."""

    def listening() -> set[str]:
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as rows:
                found |= {row.split()[1] for row in list(rows)[1:] if row.split()[3] == "0A"}
        return found

    return listening


def test_listening_is_on_loopback_and_ends(listeners: Callable[[], set[str]]) -> None:
    async def whole() -> None:
        before = listeners()
        cluster = await Cluster.launch(5)
        mine = {f"0100007F:{node.port:04X}" for node in cluster}
        assert mine <= listeners()
        assert all(address.split(":")[0] == "0100007F" for address in listeners() - before)
        await cluster.close()
        assert not mine & listeners()

    asyncio.run(whole())
