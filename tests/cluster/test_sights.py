"""Live pictures of a real cluster: they follow what happens in it, and a lookup is stepped against it."""

from __future__ import annotations

import gc
import operator
import weakref
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances
from live import on, on_the_thread, until

from p2pnb import Author, Cluster, key_of
from p2pnb.cluster.watch import Watch
from p2pnb.errors import ClusterClosed, NodeDown
from p2pnb.uid import common_prefix_length
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import NamespaceSet, Stored

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture(autouse=True)
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be displayed, were this a kernel."""
    seen: list[Any] = []
    monkeypatch.setattr("p2pnb.views.widgets.base.display", lambda bundle, **how: seen.append(bundle))
    return seen


def test_messages_appear_while_somebody_watches(displayed: list[Any]) -> None:
    async def test(cluster: Cluster) -> None:
        with cluster.watch() as watch:
            view = watch.sequence()
            view._ipython_display_()
            assert view.state["status"] == "0 requests"
            await cluster[3].set(b"hello")
            await until(lambda: view.state, lambda state: state["status"] == f"{len(watch)} requests")
            assert "#(set #u8(104 101 108 108 111))" in view.state["svg"]
        await cluster.close()
        assert any("#u8(104" in bundle["text/html"] for bundle in displayed[2:]), "the still has the words too"
        assert watch.sequence().state["status"].endswith("requests"), "what it has seen can be shown afterwards"

    on(test, network="memory")


def test_replicas_are_seen_to_die_and_to_be_replaced() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        view = cluster.replicas_view(str(key))
        view._ipython_display_()
        holders = cluster.holders(key)
        for node in holders:
            assert f"#{node.position} · {str(node.uid)[:4]} · has the record" in view.state["svg"]
        cluster.kill(*holders[:2])
        await until(lambda: view.state, lambda state: "died" in state["steps"]["words"])
        assert view.state["svg"].count("dead, had the record") >= 2
        newcomer = next(node for node in cluster if node.alive and node not in cluster.holders(key))
        await newcomer.set(b"hello")
        await until(lambda: view.state, lambda state: "took it" in state["steps"]["words"])
        view._handle_custom_msg({"at": 0}, [])
        await until(lambda: view.state, lambda state: state["steps"]["at"] == 0)
        assert "5 replicas, 5 of the 5 nearest" in view.state["svg"]

    on(test, 24, network="memory", k=4)


def test_a_bag_fills() -> None:
    async def test(cluster: Cluster) -> None:
        topic = key_of(b"cats")
        view = cluster.bag_view(topic)
        view._ipython_display_()
        assert view.state["status"] == "0 values at 0 replicas"
        for node in cluster[:4]:
            await node.bag_publish(topic, key_of(b"a cat"))
        await cluster[5].bag_publish(topic, key_of(b"a dog"))
        await until(lambda: view.state, lambda state: state["status"] == "2 values at 5 replicas")
        popular = await cluster[7].bag_popular(topic)
        assert [each.publishers for each in popular.entries] == [4, 1]
        await until(lambda: view.state, lambda state: state["svg"].count(" · 4 publishers") == 4)

    on(test, network="memory")


def test_an_entry_is_written_and_a_forgery_crossed_out() -> None:
    async def test(cluster: Cluster) -> None:
        author = Author.create()
        namespace = cluster[5].namespace(author)
        view = cluster.namespace_view(author, "about")
        view._ipython_display_()
        assert view.state["status"] == "nobody has it"
        await namespace.set("about", key_of(b"one"))
        await namespace.set("about", key_of(b"two"))
        await until(lambda: view.state, lambda state: state["status"] == "version 1 at 5 of 5 nodes")
        holder = cluster.holders(namespace.key("about"))[0]
        stranger = next(node for node in cluster if node is not holder)

        async def forge() -> Any:
            request = NamespaceSet(author.public_key, key_of(b"about").int, bytes(32), bytes(64), 9)
            return await stranger.peer.requests.reply(contact(holder.ip, holder.port, holder.uid.int), request)

        assert await cluster.run(forge) == Stored(False)
        await until(lambda: view.state, lambda state: state["status"].endswith("1 refused"))
        assert "refused by 1: its signature does not hold" in view.state["svg"]
        assert author.private_key.hex() not in view.state["svg"]
        assert cluster.namespace_view(author.public_key.hex(), key_of(b"about")).state["status"] == view.state["status"]
        with pytest.raises(TypeError, match="public key"):
            cluster.namespace_view(7, "about")

    on(test, network="memory")


def test_a_lookup_is_stepped_against_the_network() -> None:
    async def test(cluster: Cluster) -> None:
        target = key_of(b"somewhere")
        plain = await cluster[9].lookup(target)
        stepper = cluster.lookup_stepper(target, node=cluster[9])
        stepper._ipython_display_()
        before = len(cluster.events())
        assert [cells[4] for cells in stepper.state["table"]["rows"]].count("in flight") == 0
        stepper._handle_custom_msg({"at": 1}, [])
        await until(lambda: stepper.state, lambda state: state["steps"]["at"] == 1)
        assert [cells[4] for cells in stepper.state["table"]["rows"]].count("in flight") == 1
        assert stepper.state["steps"]["words"].endswith("is asked")
        while stepper.state["steps"]["more"]:
            await stepper.step()
            stepper.refresh()
        assert "Finished" in stepper.state["steps"]["words"]
        assert len(cluster.events()) - before >= stepper._walk._lookup.rpcs, "everybody was really asked"
        assert stepper._walk._lookup.nearest == plain.nearest
        answered = [cells for cells in stepper.state["table"]["rows"] if cells[4] == "answered"]
        assert len(answered) >= len(plain.nearest)
        assert answered[0][2] == common_prefix_length(plain.nearest[0].uid or 0, target.int)
        with cluster.watch() as watch:
            await cluster.lookup_stepper(target, node=cluster[2]).step()
        assert watch.causes == {next(iter(watch.causes))}

    on(test, 40, network="memory", k=3)


def test_a_silent_peer_loses_its_slot_and_one_that_is_down_is_refuted() -> None:
    async def test(cluster: Cluster) -> None:
        dead, silent = cluster[12], cluster[13]
        cluster.kill(dead)
        cluster.kill(silent, silent=True)
        for target, word in ((dead.uid, "refuted"), (silent.uid, "slow")):
            stepper = cluster.lookup_stepper(target)
            while not stepper._walk.finished:
                await stepper.step()
            seen = [row["event"] for row in stepper._walk.rows() if row["uid"] == target.int]
            assert seen in ([], ["named", "asked", word]), "not everybody still speaks of it"

    on(test, 30, network="virtual", k=3)


def test_a_lookup_that_has_ended_is_replayed_without_the_cluster() -> None:
    async def test(cluster: Cluster) -> None:
        lookup = await cluster[9].lookup(cluster[1].uid)
        await cluster.close()
        replay = lookup.animate()
        assert len(replay.state["run"]["events"]) > 1
        assert f"{lookup.rpcs} requests" in replay.state["run"]["summary"]
        took = f"{1000 * lookup.duration_s:.1f} ms"
        assert replay.state["status"].startswith(took), "the head and the foot tell the same time"
        assert replay.state["run"]["summary"].startswith(took)
        for view in (cluster.replicas_view, cluster.bag_view, cluster.lookup_stepper):
            with pytest.raises(ClusterClosed):
                view(key_of(b"x"))

    on(test, network="memory", k=3)


def test_whom_nobody_can_ask() -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(TypeError, match=r"such as node=cluster\[3\], not by 1"):
            cluster.lookup_stepper(key_of(b"x"), node=1)  # type: ignore[arg-type]
        async with Cluster.launch(1, network="memory") as others:
            with pytest.raises(ValueError, match="belongs to another cluster"):
                cluster.lookup_stepper(key_of(b"x"), node=others[0])
        stepper = cluster.lookup_stepper(key_of(b"x"), node=cluster[1])
        cluster.kill(cluster[1])
        with pytest.raises(NodeDown, match="another stepper"):
            await stepper.step()
        with pytest.raises(NodeDown):
            cluster.lookup_stepper(key_of(b"x"), node=cluster[1])
        cluster.kill(*cluster[:])
        with pytest.raises(ClusterClosed, match="restart"):
            cluster.lookup_stepper(key_of(b"x"))

    on(test, 3, network="memory")


def test_displays_and_closes_leave_the_thread_as_it_was() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        lookup = await cluster[9].lookup(key)

        def views(watch: Watch) -> list[Any]:
            author = Author.create()
            made = [cluster.replicas_view(key), cluster.bag_view(key), cluster.namespace_view(author, "about"), watch.sequence()]
            return [*made, cluster.lookup_stepper(key), lookup.animate()]

        with cluster.watch() as watch:
            for view in views(watch):  # what is loaded once
                view.close()
            before, gone = (*on_the_thread(), len(_instances)), []
            for _ in range(10):
                for view in views(watch):
                    view._ipython_display_()
                    gone.append(weakref.ref(view))
                    view.close()
            del view
            await until(lambda: (*on_the_thread(), len(_instances)), lambda now: all(map(operator.le, now, before)))
        gc.collect()
        assert not [ref for ref in gone if ref() is not None]

    on(test, network="memory", k=3)
