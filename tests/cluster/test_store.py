"""A cluster with a store: killed, closed or moved, its nodes come back as they were."""

from __future__ import annotations

import asyncio
import errno
import operator
import os
import random
import socket
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from live import each_network

from p2pnb import Author, Cluster, Identity, key_of
from p2pnb.cluster.faults import Crash, DiskErrors
from p2pnb.dht.responder import Responder
from p2pnb.errors import NotFound, StoreError, StoreFull


def alive(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


class Content:
    """One record of each kind, written by node 1; and whether readers find them."""

    async def write(self, cluster: Cluster) -> None:
        self.author = Author.create()
        self.keys = [await cluster[i % len(cluster)].set(b"value %d" % i) for i in range(20)]
        self.topic = key_of(b"cats")
        for node in cluster[:4]:
            await node.bag_publish(self.topic, self.keys[0])
        namespace = cluster[1].namespace(self.author)
        self.first = await namespace.set("favourite", self.keys[0])
        await namespace.set("favourite", self.keys[1])

    async def check(self, cluster: Cluster) -> None:
        for i, key in enumerate(self.keys):
            assert await cluster[-1 - i % len(cluster)].ref(key) == b"value %d" % i
        popular = await cluster[-1].bag_popular(self.topic)
        assert (list(popular), popular.entries[0].publishers) == ([self.keys[0]], 4)
        namespace = cluster[-2].namespace(self.author)
        assert await namespace.ref("favourite") == self.keys[1]
        assert await namespace.ref("favourite", self.first) == self.keys[0]


def stored(cluster: Cluster) -> list[Any]:
    return list(cluster.nodes()[["uid", "port", "values", "bags", "namespaces", "stored_bytes"]].itertuples(name=None))


def came_back(before: list[Any], after: list[Any]) -> bool:
    """Whether all have the same uids and ports and at least as many records: a neighbour may have handed over some more."""
    return all(old[:3] == new[:3] and all(map(operator.le, old[3:], new[3:])) for old, new in zip(before, after, strict=True))


@each_network
def test_launched_again_they_are_the_same_nodes_with_all_they_had(options: dict[str, Any], tmp_path: Path) -> None:
    async def test() -> None:
        content = Content()
        async with Cluster.launch(12, store=tmp_path / "store", **options) as cluster:
            await content.write(cluster)
            before = stored(cluster)
            assert f"store {tmp_path / 'store'}" in cluster._repr_mimebundle_()["text/plain"].replace("\n", " ")
        async with Cluster.launch(12, store=tmp_path / "store", **options) as again:
            assert came_back(before, stored(again))
            await content.check(again)
            author = content.author
            assert await again[1].namespace(author).set("favourite", content.keys[2])
            assert not again.errors

    alive(test)


@each_network
def test_every_node_is_killed_and_restarted_and_nothing_is_lost(options: dict[str, Any], tmp_path: Path) -> None:
    async def test() -> None:
        content = Content()
        async with Cluster.launch(8, store=tmp_path, **options) as cluster:
            await content.write(cluster)
            before = stored(cluster)
            cluster.kill(*cluster[1:])
            for node in cluster[1:]:
                await cluster.restart(node)
            cluster.kill(cluster[0])
            await cluster.restart(cluster[0])
            assert came_back(before, stored(cluster))
            await content.check(cluster)
            assert not cluster.errors

    alive(test)


def test_more_and_fewer_nodes_than_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with Cluster.launch(3, network="memory", store=tmp_path) as cluster:
            uids = [node.uid for node in cluster]
            await cluster.add(1)
            uids.append(cluster[3].uid)
        async with Cluster.launch(6, network="memory", store=tmp_path) as cluster:
            assert [node.uid for node in cluster][:4] == uids
            assert len({node.uid for node in cluster}) == 6
        async with Cluster.launch(2, network="memory", store=tmp_path) as cluster:
            assert [node.uid for node in cluster] == uids[:2]

    alive(test)


def test_whoever_comes_back_at_another_address_is_found_again(tmp_path: Path) -> None:
    """Also without `bootstrap`: those it knew in its earlier life are asked, and learn from it where it is."""

    async def test() -> None:
        async with Cluster.launch(8) as others:
            joined = [(others[0].ip, others[0].port)]
            async with Cluster.launch(1, store=tmp_path, bootstrap=joined) as cluster:
                uid, port = cluster[0].uid, cluster[0].port
                uids = [node.uid for node in (*others, *cluster)]
                value = next(value for value in map(b"%d".__mod__, range(1_000)) if min(uids, key=key_of(value).__xor__) == uid)
                key = await cluster[0].set(value)
                records = stored(cluster)[0][3:]
                assert records[0]
            async with Cluster.launch(1, ports=[_other(port)], store=tmp_path) as again:
                node = again[0]
                assert (node.uid, stored(again)[0][3:]) == (uid, records)
                assert node.port != port
                assert len(node.routing()), "it has joined those it knew"
                for other in others:
                    await other.lookup(uid)
                known = {row.port for row in others.routing().itertuples() if str(row.uid) == str(uid) and not row.cached}
                assert known == {node.port}
                assert await others[3].bag_popular_at(uid, key_of(b"nothing")) == []
                assert await others[2].ref(key) == value
            assert not others.errors

    alive(test)


def _other(port: int) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found if found != port else _other(port)


def test_a_node_whose_port_was_taken_while_it_was_down_comes_back_at_another() -> None:
    async def test() -> None:
        async with Cluster.launch(4) as cluster:
            before = cluster[1].port
            cluster.kill(cluster[1])
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", before))
                taken.listen()
                await cluster.restart(cluster[1])
                assert cluster[1].port != before
                key = await cluster[1].set(b"value")
                assert await cluster[2].ref(key) == b"value"
            assert not cluster.errors

    alive(test)


def test_pins_and_what_it_published_survive(tmp_path: Path) -> None:
    async def test() -> None:
        author = Author.create()
        async with Cluster.launch(6, network="memory", store=tmp_path) as cluster:
            key = await cluster[0].set(b"renewed")
            signature = await cluster[0].namespace(author).set("pinned", key)
            assert await cluster[5].namespace(author).ref("pinned", signature) == key
        async with Cluster.launch(6, network="memory", store=tmp_path) as cluster:
            published = list(cluster[0].peer.published.values())
            assert {type(each).__name__ for each in published} == {"Set", "NamespaceSet"}

            async def forget() -> None:
                for node in cluster:
                    for point in node.peer.store.keys():
                        node.peer.store.drop(point)

            await cluster.run(forget)
            with pytest.raises(NotFound):
                await cluster[4].namespace(author).ref("pinned", signature)
            assert await cluster[5].namespace(author).ref("pinned", signature) == key, "the reader that pinned it has it"

    alive(test)


def test_in_simulated_time_what_it_published_is_renewed_soon_after_a_restart_and_ages_go_on(tmp_path: Path) -> None:
    async def test() -> None:
        options = {"network": "virtual", "seed": 3, "store": tmp_path}
        async with Cluster.launch(8, **options) as cluster:
            key = await cluster[0].set(b"renewed")
            await cluster.advance(1_800)
            ages = cluster.values()["age_s"]
            assert ages.min() > 1_700
        async with Cluster.launch(8, **options) as cluster:
            ages = cluster.values()["age_s"]
            assert len(ages) == 5
            assert ages.between(1_700, 2_000).all(), "nothing of simulated time passes between two processes"
            await cluster.advance(600)
            assert (cluster.values()["age_s"] < 600).sum() >= 5, "its publisher has renewed it"
            assert await cluster[5].ref(key) == b"renewed"
            assert not cluster.errors

    alive(test)


# --- bad input ----------------------------------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_two_clusters_on_one_store(tmp_path: Path) -> None:
    async def test() -> None:
        async with Cluster.launch(2, network="memory", store=tmp_path) as cluster:
            with pytest.raises(StoreError, match=r"records\.db is in use .*: close that one first, or give another path"):
                await Cluster.launch(2, network="memory", store=tmp_path)
            assert await cluster[0].set(b"and the first goes on")

    alive(test)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "is the store of other nodes than `seed` makes: it was left as it is"),
        ({"identities": [Identity.from_seed(bytes(32))]}, "is the store of other nodes than `identities` names"),
        ({"name": "class-8"}, "written in the network 'class-7', not 'class-8': .*launch with name='class-7'"),
    ],
)
def test_a_store_of_others_is_refused_and_left_as_it_is(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    async def test() -> None:
        mine = {"network": "memory", "store": tmp_path, "seed": 1, "name": "class-7"}
        async with Cluster.launch(3, **mine) as cluster:
            await cluster[0].set(b"value")
        before = contents(tmp_path)
        theirs: dict[str, Any] = {**mine, "seed": None, **options}
        with pytest.raises(StoreError, match=message):
            await Cluster.launch(3, **theirs)
        after = contents(tmp_path)
        assert {name: after[name] for name in before if name.endswith(".key")} == {n: before[n] for n in before if n.endswith(".key")}
        async with Cluster.launch(3, **mine) as cluster:
            assert await cluster[2].ref(key_of(b"value")) == b"value"

    alive(test)


def test_a_disk_without_room_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("p2pnb.peer.identity._write", full)

    async def test() -> None:
        with pytest.raises(StoreError, match=r"node-0000\.key cannot be created: No space left on device; see whether"):
            await Cluster.launch(2, network="memory", store=tmp_path)

    alive(test)


def test_records_without_their_keys_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with Cluster.launch(2, network="memory", store=tmp_path) as cluster:
            await cluster[0].set(b"value")
        (tmp_path / "node-0000.key").rename(tmp_path / "node-0007.txt")
        with pytest.raises(StoreError, match=r"has records of the node .* but not its key"):
            await Cluster.launch(2, network="memory", store=tmp_path)

    alive(test)


@pytest.mark.parametrize("path", [5, "", ["a"]])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(TypeError, match="a store is a directory"):
        Cluster.launch(2, store=path)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_identities_are_their_owners_alone_and_do_not_show(tmp_path: Path) -> None:
    async def test() -> None:
        async with Cluster.launch(2, network="memory", store=tmp_path / "store") as cluster:
            shown = repr(cluster) + str(cluster._repr_mimebundle_()) + repr(cluster._network.disk) + cluster.nodes().to_string()
        for path in (tmp_path / "store").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        for path in (tmp_path / "store").glob("*.key"):
            secret = path.read_text().split()[3]
            assert secret not in shown
            assert bytes.fromhex(secret) not in (tmp_path / "store" / "records.db").read_bytes()

    alive(test)


# --- disks that fail ------------------------------------------------------------------------------------------------------


def test_disk_errors_are_met_where_the_file_is_written(tmp_path: Path) -> None:
    """Not by whoever answers: memory took it, the commit failed, and the nodes say so, and catch up when the fault is over."""

    async def test() -> None:
        async with Cluster.launch(6, network="virtual", seed=3, store=tmp_path) as cluster:
            key = await cluster[0].set(b"before")
            with cluster.faults(DiskErrors()):
                with pytest.raises(StoreFull):
                    await cluster[1].set(b"while it fails")
                assert all(type(node.peer.responder) is Responder for node in cluster)
                assert sum(node.peer.lasting.part.failures for node in cluster) >= 5
                assert await cluster[2].ref(key) == b"before"
            await cluster.advance(5)
            after = await cluster[1].set(b"after")
            cluster.kill(cluster[3])
            await cluster.restart(cluster[3])
            assert await cluster[3].ref(after) == b"after"
            with cluster.faults(DiskErrors([cluster[4]], share=0.0)):
                assert await cluster[5].set(b"a disk that never fails")
                assert cluster[5].last.stored == 5

    alive(test)


def test_full_disks_refuse_and_the_nodes_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("disk", "part"):
        monkeypatch.setattr(f"p2pnb.disk.{module}.RETRY", 0.1)  # it is real time that would pass

    async def test() -> None:
        async with Cluster.launch(6, network="memory", store=tmp_path) as cluster:
            key = await cluster[0].set(b"before")

            async def fail(error: Exception | None) -> None:
                for node in cluster:
                    node.peer.lasting.part.fault = lambda: error

            await cluster.run(fail, sqlite3.OperationalError("database or disk is full"))
            with pytest.raises(StoreFull):
                await cluster[1].set(b"while it is full")
            assert await cluster[2].ref(key) == b"before"
            await cluster.run(fail, None)
            for attempt in range(100):
                try:
                    after = await cluster[1].set(b"after %d" % attempt)
                    break
                except StoreFull:
                    await asyncio.sleep(0.05)
            assert await cluster[3].ref(after) == b"after %d" % attempt
            assert not cluster.errors

    alive(test)


def test_uids_are_kept_by_position(tmp_path: Path) -> None:
    rng = random.Random(4)
    identities = [Identity.from_seed(rng.randbytes(32)) for _ in range(3)]

    async def test() -> None:
        for _ in range(2):
            async with Cluster.launch(3, network="memory", store=tmp_path, identities=identities) as cluster:
                assert [node.uid for node in cluster] == [identity.uid for identity in identities]

    alive(test)
    assert sorted(path.name for path in tmp_path.glob("*.key")) == ["node-0000.key", "node-0001.key", "node-0002.key"]
    assert Identity.load_or_create(tmp_path / "node-0001.key") == identities[1]


@pytest.mark.parametrize("disk", [False, True])
def test_a_machine_that_crashes_with_its_disk_or_without(tmp_path: Path, disk: bool) -> None:
    async def test() -> None:
        async with Cluster.launch(6, network="virtual", seed=1, store=tmp_path) as cluster:
            key = await cluster[0].set(b"value")
            holders = cluster.holders(key)
            cluster.faults(Crash(list(holders), back_after=5.0, disk=disk))
            await cluster.advance(8.0)
            assert all(node.alive for node in holders)
            assert (set(holders) <= set(cluster.holders(key))) is disk

    alive(test)
