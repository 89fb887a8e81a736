"""A virtual cluster as a notebook uses it: time that passes only while somebody waits, and everything else as on sockets."""

from __future__ import annotations

import asyncio
import gc
import threading
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from live import on

from p2pnb import Cluster, key_of, run
from p2pnb.errors import ClusterClosed, NotFound, RequestTimeout
from p2pnb.net.virtual import Stalled


def virtually(test: Callable[[Cluster], Awaitable[None]], n: int = 12, **options: Any) -> None:
    on(test, n, network="virtual", **options)


def test_time_stands_still_between_calls_and_passes_in_them() -> None:
    async def test(cluster: Cluster) -> None:
        before = cluster.now
        assert before > 0.0
        await asyncio.sleep(0.01)
        call = cluster[3].set(b"hello")
        await asyncio.sleep(0.01)
        assert cluster.now == before, "nobody awaits it yet"
        key = await call
        assert before < cluster.now < before + 2.0
        then = cluster.now
        cluster.nodes(), cluster.events(), repr(cluster), cluster._repr_mimebundle_()
        assert cluster.now == then
        assert await cluster[9].ref(key) == b"hello"
        assert cluster.events()["time_s"].max() <= cluster.now

    virtually(test)


def test_advance_is_exact_and_upkeep_runs_in_it() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"kept alive")
        before = cluster.now
        assert await cluster.advance(7200) == cluster.now == pytest.approx(before + 7200, abs=1e-6)
        events = cluster.events()
        unasked = events[events["cause"] == "upkeep"]
        assert {"peers", "set"} <= set(unasked["verb"]), "refreshed and republished"
        assert unasked["time_s"].max() > before + 3600
        assert await cluster[7].ref(key) == b"kept alive"
        assert await cluster.advance(0) == cluster.now

    virtually(test)


def test_what_is_forgotten_after_a_day() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"for a day")
        cluster.kill(cluster[0])  # who would renew it
        await cluster.advance(12 * 3600)
        assert await cluster[5].ref(key) == b"for a day"
        await cluster.advance(13 * 3600)
        with pytest.raises(NotFound):
            await cluster[5].ref(key)

    virtually(test, n=6)


def test_timeouts_are_virtual_and_exact() -> None:
    async def test(cluster: Cluster) -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        before = cluster.now
        with pytest.raises(RequestTimeout, match=r"timeout of 1e\+06 simulated s"):
            await cluster.run(forever, timeout=1e6)
        assert cluster.now == pytest.approx(before + 1e6, abs=1e-6)

    virtually(test, n=2)


def test_a_silent_node_costs_five_virtual_seconds() -> None:
    async def test(cluster: Cluster) -> None:
        (dead,) = cluster.kill(cluster[3], silent=True)
        before = cluster.now
        assert await cluster[0].connect(dead.ip, dead.port) is False
        assert cluster.now == pytest.approx(before + 5.0, abs=0.3)

    virtually(test, n=4)


def test_time_goes_as_far_as_the_earliest_awaited_call_needs() -> None:
    async def test(cluster: Cluster) -> None:
        async def naps(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return cluster.now

        long, short = cluster.run(naps, 100.0), cluster.run(naps, 1.0)
        began = cluster.now
        done, _ = await asyncio.wait([asyncio.ensure_future(long), asyncio.ensure_future(short)], return_when="FIRST_COMPLETED")
        assert len(done) == 1
        assert cluster.now == await short == pytest.approx(began + 1.0)
        assert not long.done()
        assert await long == cluster.now == pytest.approx(began + 100.0)

    virtually(test, n=2)


def test_tasks_that_use_the_cluster_at_once_meet_the_same_times_every_time() -> None:
    async def trace() -> list[tuple[Any, ...]]:
        said: list[tuple[Any, ...]] = []
        async with Cluster.launch(12, network="virtual", seed=3, latency=lambda rng: rng.uniform(0.01, 0.09)) as cluster:

            async def worker(number: int) -> None:
                for i in range(4):
                    key = await cluster[number].set(b"%d %d" % (number, i))
                    said.append((number, i, cluster.now))
                    await asyncio.gather(*(cluster[(number + j) % 12].ref(key) for j in range(3)))
                    said.append((number, i, cluster.now))

            async with asyncio.TaskGroup() as group:
                for number in range(6):
                    group.create_task(worker(number))
            rows = cluster.events()
            said += list(rows[["time_s", "verb", "peer"]].itertuples(name=None))
        return said

    first = asyncio.run(trace())
    assert len(first) > 100
    assert repr(asyncio.run(trace())) == repr(first)


def test_scripts_threads_and_workloads() -> None:
    cluster = run(Cluster.launch(5, network="virtual", seed=1))
    key = run(cluster[2].set(b"from a script"))
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(run(cluster[4].ref(key))))
    thread.start()
    thread.join()
    assert found == [b"from a script"]

    async def workload() -> tuple[bytes, float]:
        before = cluster.now
        await cluster.advance(60)
        assert await cluster[1].ref(key) == await cluster[1].peer.ref(key)
        with pytest.raises(RuntimeError, match="write `await` instead"):
            run(cluster[1].ref(key))
        return await cluster[3].ref(key), cluster.now - before

    value, took = run(cluster.run(workload))
    assert value == b"from a script"
    assert 60 <= took < 70
    run(cluster.close())


def test_nothing_is_left_after_closing() -> None:
    async def whole() -> None:
        threads = set(threading.enumerate())
        tasks = asyncio.all_tasks()
        cluster = await Cluster.launch(6, network="virtual")

        async def forever() -> None:
            await asyncio.Event().wait()

        call = cluster.run(forever)
        stray: list[asyncio.Task[None]] = []

        async def stray_task() -> None:
            stray.append(asyncio.create_task(forever()))

        await cluster.run(stray_task)
        await cluster.close()
        with pytest.raises(ClusterClosed, match="before this call was done"):
            await call
        assert stray[0].cancelled()
        assert not asyncio.all_tasks(cluster._home.loop)
        assert asyncio.all_tasks() == tasks
        assert not set(threading.enumerate()) - threads
        await cluster.close()
        with pytest.raises(ClusterClosed):
            cluster.nodes()
        with pytest.raises(ClusterClosed):
            await cluster.advance(1)

    asyncio.run(whole())


def test_where_nothing_will_ever_happen_whoever_waits_is_told() -> None:
    async def test(cluster: Cluster) -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        cluster.kill(fraction=1.0)
        with pytest.raises(Stalled, match="what this call waits for cannot come"):
            await asyncio.wait_for(cluster.run(forever), 60)
        with pytest.raises(Stalled):
            await asyncio.to_thread(run, cluster.run(forever))
        assert await cluster.advance(5) == cluster.now, "the cluster lives on"
        await cluster.restart(cluster[0])

    virtually(test, n=3)


def test_a_wait_that_is_given_up_stops_time() -> None:
    async def test(cluster: Cluster) -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        call = cluster.run(forever)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.05)  # ends the wait, not the work
        then = cluster.now
        await asyncio.sleep(0.05)
        assert cluster.now == then
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    virtually(test, n=3)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_goes_forward_only(seconds: float) -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match="time goes forward"):
            cluster.advance(seconds)

    virtually(test, n=1)


def test_what_cannot_be_advanced() -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match=r'only network="virtual" can be advanced.*asyncio\.sleep'):
            cluster.advance(60)
        assert cluster.now > 0.0

    for network in ("tcp", "memory"):
        on(test, 2, network=network)

    async def wrong_type(cluster: Cluster) -> None:
        for seconds in ("60", None, True):
            with pytest.raises(TypeError, match="a number of seconds"):
                cluster.advance(seconds)  # type: ignore[arg-type]

    virtually(wrong_type, n=1)


def test_two_virtual_clusters_at_once() -> None:
    async def whole() -> None:
        async with Cluster.launch(4, network="virtual", seed=1) as one, Cluster.launch(4, network="virtual", seed=2) as other:
            await asyncio.gather(one.advance(100), other.advance(10))
            assert one.now > 100 > other.now

            async def across() -> bytes:
                return await other[0].ref(await other[1].set(b"over there"))

            assert await one.run(across) == b"over there"

    asyncio.run(whole())


def test_the_price_of_latency() -> None:
    async def took(**options: Any) -> float:
        async with Cluster.launch(8, network="virtual", seed=4, **options) as cluster:
            before = cluster.now
            await cluster[0].ref(await cluster[1].set(key_of(b"x")))
            return cluster.now - before

    assert asyncio.run(took(latency=0.0)) < 0.01
    assert asyncio.run(took()) > 0.2
    assert asyncio.run(took(latency=0.5)) > 2.0


@pytest.mark.parametrize("codec", [True, False])
def test_after_a_full_join_hardly_a_bucket_could_hold_more(codec: bool) -> None:
    async def test(cluster: Cluster) -> None:
        nodes, routing = cluster.nodes(), cluster.routing()
        possible = 0
        for node in cluster:
            kin = [256 - (node.uid ^ other.uid).bit_length() for other in cluster if other is not node]
            possible += sum(min(kin.count(bucket), 5) for bucket in set(kin))
        assert 0.99 * possible <= nodes.contacts.sum() <= possible
        assert not routing.failures.any()
        assert await cluster[5].ref(await cluster[3].set(b"x")) == b"x"

    virtually(test, n=50, k=5, full_join=True, codec=codec)


@pytest.mark.slow
def test_a_full_join_leaves_no_groups_that_know_only_each_other() -> None:
    """When fifty joined at a time, from the first on, this seed did: tables held .976 of whom they have room for."""

    async def test(cluster: Cluster) -> None:
        nodes, possible = cluster.nodes(), 0
        uids = sorted(node.uid.int for node in cluster)
        for uid in uids:
            for bits in range(256):
                first = (uid ^ (1 << bits)) >> bits << bits
                possible += min(bisect_left(uids, first + (1 << bits)) - bisect_left(uids, first), 20)
        assert nodes.contacts.sum() >= 0.999 * possible

    virtually(test, n=800, seed=3, k=20, full_join=True, codec=False)


def test_a_full_join_on_a_slow_network_asks_for_hardly_more_than_on_a_fast_one() -> None:
    """It takes minutes there, and upkeep would refresh what the launch has not come to yet."""

    async def requests(latency: float) -> int:
        async with Cluster.launch(60, network="virtual", seed=3, k=8, full_join=True, codec=False, latency=latency) as cluster:
            assert (cluster.now > 120.0) is (latency > 0.1)
            return int(cluster.traffic()["count"].sum())

    fast, slow = asyncio.run(requests(0.01)), asyncio.run(requests(0.5))
    assert slow < 1.3 * fast, f"{fast}, and {slow}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_of_those_who_join_in_a_crowd_hardly_any_miss_a_neighbour(seed: int) -> None:
    """Fifty at a time, from the first on, left groups that knew only each other: with seed 2, 426 of 4,000 neighbours were not known."""

    async def test(cluster: Cluster) -> None:
        uids = [node.uid.int for node in cluster]
        missing = 0
        for node in cluster:
            nearest = sorted(uids, key=node.uid.int.__xor__)[1:6]
            missing += sum(uid not in node.peer.table for uid in nearest)
        assert missing < 0.02 * 5 * len(uids)

    virtually(test, n=800, seed=seed, codec=False)


def test_a_launch_that_is_given_up_can_be_closed_and_leaves_the_collector_as_it_was() -> None:
    async def whole() -> None:
        frozen = gc.get_freeze_count()
        launch = Cluster.launch(100, network="virtual", seed=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(launch, 0.01)
        await launch._cluster.close()
        with pytest.raises(asyncio.CancelledError):
            await launch
        assert not launch._cluster.errors
        assert gc.isenabled()
        assert gc.get_freeze_count() <= frozen

    asyncio.run(whole())
