"""Faults, each seen to do to a live network in simulated time what it says, and to stop doing it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from town import now, peers, simulate, some_value, town

from p2pnb import Author, key_of
from p2pnb.cluster.injection import Active
from p2pnb.cluster.network import Network
from p2pnb.errors import P2PError, StoreFull
from p2pnb.faults import Crash, DiskErrors, Latency, Liars, Loss, Partition, Resets, Skew, SlowReaders
from p2pnb.spec import REQUEST_TIMEOUT
from p2pnb.wire.messages import Iam, NamespaceRef, Set


def begin(network: Network, *faults: Any) -> list[Active]:
    return network.injection.begin(faults)


async def seconds_to_ask(network: Network, a: int, b: int) -> float:
    """How long an `iam` from node a to node b and its `welcome` take, on a connection that is there."""
    one, other = network.members[a], network.members[b]
    contact = await one.living().greet(other.ip, other.port)
    began = now()
    await one.living().requests.reply(contact, Iam(one.living().own))
    return now() - began


def what(network: Network) -> list[tuple[str, str, int | None]]:
    return [(row["fault"], row["what"], row["node"]) for row in network.injection.happened]


# --- wires ------------------------------------------------------------------------------------------------------------------


def test_latency_and_its_jitter() -> None:
    async def test() -> None:
        async with town(6, 1) as network:
            assert await seconds_to_ask(network, 0, 1) == pytest.approx(0.04)
            slow = begin(network, Latency(0.3, nodes=network.members[:1]))
            assert await seconds_to_ask(network, 0, 1) == pytest.approx(0.6)
            assert await seconds_to_ask(network, 2, 1) == pytest.approx(0.04)
            varied = begin(network, Latency(0.5, jitter=0.5))
            times = [await seconds_to_ask(network, 2, 3) for _ in range(20)]
            assert 0 < min(times) < 0.7
            assert 1.3 < max(times) < 2.0
            network.injection.end(varied)
            network.injection.end(slow)
            assert await seconds_to_ask(network, 0, 1) == pytest.approx(0.04)

    simulate(test)


def test_losses_add_up_and_cost_time() -> None:
    async def test() -> None:
        async with town(6, 2) as network:
            both = begin(network, Loss(0.5), Loss(0.5, nodes=network.members[:2]))
            carrier: Any = network.carrier
            address = [(member.ip, member.port) for member in network.members]
            assert carrier.wire((address[0], address[5])).loss == 0.75
            assert carrier.wire((address[4], address[5])).loss == 0.5
            network.injection.end(both)
            assert carrier.wire((address[0], address[5])).loss == 0.0
            begin(network, Loss(0.2))
            times = [await seconds_to_ask(network, 4, 5) for _ in range(20)]
            assert min(times) == pytest.approx(0.04)
            assert sum(times) / 20 > 0.1

    simulate(test)


@pytest.mark.parametrize("one_way", [False, True])
def test_a_partition_holds_for_who_joins_later_and_may_be_one_way(one_way: bool) -> None:
    async def test() -> None:
        async with town(8, 3) as network:
            cut = network.members[:3]
            active = begin(network, Partition(cut, one_way=one_way))
            network.kill(cut, silent=False)  # so that the newcomer joins through one of the others
            (late,) = await network.grow(1, [], lambda: None)
            for member in cut:
                await member.start()
            for one, other in ((cut[0], late), (late, cut[0])):
                with pytest.raises(P2PError):
                    await one.living().greet(other.ip, other.port)
            assert await seconds_to_ask(network, 4, 5) == pytest.approx(0.04)
            assert await seconds_to_ask(network, 0, 1) == pytest.approx(0.04)
            network.injection.end(active)
            assert await seconds_to_ask(network, 0, late.position) == pytest.approx(0.04)

    simulate(test)


def test_who_cannot_be_heard_still_hears() -> None:
    """One way: the request of the mute end never arrives; that of the other end does, and its reply does not."""

    async def test() -> None:
        async with town(6, 4) as network:
            mute, other = network.members[:2]
            contacts = {each: await one.living().greet(each.ip, each.port) for one, each in ((mute, other), (other, mute))}
            begin(network, Partition([mute], one_way=True))
            for one, to in ((other, mute), (mute, other)):
                with pytest.raises(P2PError):
                    await one.living().requests.reply(contacts[to], Set(b"heard"))
            assert len(mute.living().store) == 1
            assert len(other.living().store) == 0

    simulate(test)


def test_slow_readers_take_so_many_bytes_a_second() -> None:
    async def test() -> None:
        async with town(6, 5) as network:
            await seconds_to_ask(network, 0, 1)
            begin(network, SlowReaders(network.members[1:2], bytes_a_second=100.0))
            assert await seconds_to_ask(network, 0, 1) > 0.8  # 88 bytes and more
            assert await seconds_to_ask(network, 0, 2) == pytest.approx(0.04)

    simulate(test)


def test_resets_take_a_share_of_the_connections_each_time() -> None:
    async def test() -> None:
        async with town(12, 6) as network:
            connections = sum(link.outbound for member in network.members if member.endpoint for link in member.endpoint.links)
            active = begin(network, Resets(0.25, every=5.0))
            await asyncio.sleep(5.1)
            reset = [row for row in network.injection.happened if row["what"] == "resets"]
            assert 0.1 * connections < len(reset) < 0.4 * connections
            assert all(row["peer"] is not None for row in reset)
            network.injection.end(active)
            count = len(network.injection.happened)
            await asyncio.sleep(20)
            assert len(network.injection.happened) == count

    simulate(test)


# --- machines ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", [False, True])
def test_a_crash_with_a_disk_keeps_what_was_there_and_without_one_nothing(disk: bool) -> None:
    async def test() -> None:
        async with town(5, 7) as network:
            key = await peers(network)[0].set(some_value(7))
            begin(network, Crash(network.members, back_after=60.0, disk=disk))
            assert network.living == []
            await asyncio.sleep(75)
            assert len(network.living) == 5
            held = [member for member in network.living if key.int in member.living().store.keys()]
            assert len(held) == (5 if disk else 0)
            assert bool(peers(network)[0].published) is disk
            assert [event for _, event, _ in what(network)] == ["begins"] * 5 + ["crashes"] * 5 + ["comes back"] * 5

    simulate(test)


def test_who_crashes_while_joining_is_given_up_and_does_not_come_back() -> None:
    async def test() -> None:
        async with town(5, 15) as network:
            joining = asyncio.ensure_future(network.grow(1, [], lambda: None))
            await asyncio.sleep(0.05)
            begin(network, Crash(network.members[5:], back_after=10.0))
            with pytest.raises(P2PError):
                await joining
            await asyncio.sleep(30)
        carrier: Any = network.carrier
        assert not carrier.listeners, "it has come back, and nobody knows of it"

    simulate(test)


def test_who_is_given_up_while_it_comes_back_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its joining, which the crash interrupted, fails only then."""

    async def test() -> None:
        async with town(6, 15) as network:
            member, restart = network.members[5], network.restart
            active = begin(network, Crash([member]))

            async def meanwhile(which: Any, kept: Any = None) -> None:
                await restart(which, kept)
                network.members.remove(which)

            monkeypatch.setattr(network, "restart", meanwhile)
            network.injection.end(active)
            await asyncio.sleep(30)
            assert not member.alive
        carrier: Any = network.carrier
        assert not carrier.listeners

    simulate(test)


def test_ending_a_crash_brings_back_who_is_down_and_they_join() -> None:
    async def test() -> None:
        async with town(10, 8) as network:
            active = begin(network, Crash(0.5, silent=True))
            assert len(network.living) == 5
            await asyncio.sleep(600)
            assert len(network.living) == 5
            network.injection.end(active)
            await asyncio.sleep(30)
            assert len(network.living) == 10
            assert all(len(peer.table) >= 5 for peer in peers(network))

    simulate(test)


def test_a_clock_that_is_ahead_forgets_earlier_and_never_runs_backwards() -> None:
    async def test() -> None:
        async with town(5, 9) as network:
            early, other = network.members[:2]
            key = await peers(network)[2].set(some_value(9))
            peers(network)[2].published.clear()
            active = begin(network, Skew([early], ahead=20 * 3600.0, rate=1.5))
            assert early.living().clock() - now() == pytest.approx(20 * 3600.0)
            await asyncio.sleep(3600)
            assert early.living().clock() - now() == pytest.approx(20 * 3600.0 + 1800)
            await asyncio.sleep(3600)
            before = early.living().clock()
            network.injection.end(active)
            assert early.living().clock() == before
            assert key.int in other.living().store.keys()
            await network.restart(early)
            assert early.living().clock() >= before, "a restart sets no clock"
            assert early.living().requests.clock() >= before

    simulate(test)


def test_a_disk_that_cannot_write_answers_no_and_the_node_lives() -> None:
    async def test() -> None:
        async with town(5, 10) as network:
            active = begin(network, DiskErrors())
            with pytest.raises(StoreFull):
                await peers(network)[0].set(some_value(10))
            network.injection.end(active)
            await peers(network)[0].set(some_value(10))
            begin(network, DiskErrors(network.members[:2]))
            await peers(network)[4].set(some_value(11))
            assert peers(network)[4].last.stored == 3

    simulate(test)


# --- people -----------------------------------------------------------------------------------------------------------------


def test_a_liar_goes_back_to_versions_that_it_kept_before_it_lied() -> None:
    async def test() -> None:
        async with town(6, 12) as network:
            author, name = Author.from_seed(bytes(32)), key_of(b"name")
            for text in (b"old", b"newer", b"newest"):
                await peers(network)[0].namespace_set(author.private_key, author.public_key, name, key_of(text))
            liar = network.members[1]
            reader, question = peers(network)[2], NamespaceRef(author.public_key, name.int, None)
            contact = await reader.greet(liar.ip, liar.port)
            (active,) = begin(network, Liars([liar], lies="namespaces"))
            for text in (b"more", b"and more"):
                answer: Any = await reader.requests.reply(contact, question)
                assert answer.value == key_of(b"old")
                await peers(network)[0].namespace_set(author.private_key, author.public_key, name, key_of(text))
            network.injection.end([active])
            answer = await reader.requests.reply(contact, question)
            assert answer.value == key_of(b"and more")
            assert await reader.namespace_ref(author.public_key, name) == key_of(b"and more")

    simulate(test)


def test_two_liars_of_five_change_no_answer() -> None:
    async def test() -> None:
        async with town(12, 11) as network:
            topic, author = key_of(b"topic"), Author.from_seed(bytes(32))
            writer, reader = peers(network)[0], peers(network)[1]
            first = await writer.set(some_value(1))
            await writer.bag_publish(topic, first)
            everybody = begin(network, *[Liars(network.members, lies="namespaces")])
            await writer.namespace_set(author.private_key, author.public_key, topic, first)
            await writer.namespace_set(author.private_key, author.public_key, topic, topic)
            holder = next(member for member in network.members if len(member.living().store.namespaces) and member.position > 1)
            replies = await reader.ask_at(holder.uid, NamespaceRef(author.public_key, topic.int))
            assert replies.sequence == 0, "everybody tells of the first version they saw"  # type: ignore[union-attr]
            network.injection.end(everybody)
            begin(network, Liars(network.members[2:4], lies=("values", "contacts", "bags")))
            assert await reader.ref(first) == some_value(1)
            assert (await reader.bag_popular(topic))[0] == first
            assert await reader.namespace_ref(author.public_key, topic) == topic

    simulate(test)


@pytest.mark.parametrize("lie", ["values", "contacts", "bags", "promises"])
def test_everybody_lies_until_they_are_honest_again_and_a_restart_helps_nobody(lie: str) -> None:
    async def test() -> None:
        async with town(6, 12) as network:
            topic = key_of(b"topic")
            writer, reader = peers(network)[:2]
            value = some_value(2)
            active = begin(network, Liars(network.members[2:], lies=lie))
            await network.restart(network.members[2])
            key = await writer.set(value)
            await writer.bag_publish(topic, key)
            liar = network.members[2]
            if lie == "promises":
                assert all(len(member.living().store) == 0 for member in network.members[2:])
            elif lie == "bags":
                assert key not in await reader.bag_popular_at(liar.uid, topic)
            elif lie == "contacts":
                assert (await reader.lookup(topic)).nearest
                assert len(reader.table) <= 5, "nobody who does not exist"
            else:
                assert any(key.int in member.living().store.keys() for member in network.members[2:]), "a liar stores what it denies"
            network.injection.end(active)
            assert await reader.ref(await writer.set(value)) == value
            await writer.bag_publish(topic, key)
            assert key in await reader.bag_popular(topic)

    simulate(test)


# --- all at once -----------------------------------------------------------------------------------------------------------


def test_every_request_still_ends_in_time_whatever_is_wrong_with_the_wires() -> None:
    async def test() -> None:
        async with town(10, 13) as network:
            begin(network, Latency(2.0, jitter=2.0), Loss(0.3), Resets(0.2), Partition(0.3, one_way=True), SlowReaders(0.2, 50.0))
            ended: list[float] = []
            log = network.log.append

            def noted(event: Any) -> None:
                ended.append(now() - event.time)
                log(event)

            for peer in peers(network):
                peer.requests._log = noted
            for peer in peers(network):
                with pytest.raises(P2PError):
                    await peer.ref(key_of(b"nowhere"))
            assert max(ended) <= REQUEST_TIMEOUT + 1e-6

    simulate(test)


def test_who_joins_while_others_do_gets_a_position_of_its_own() -> None:
    """Also where one of them cannot join after all."""

    async def test() -> None:
        async with town(5, 14) as network:
            partition = begin(network, Partition(network.members[:4]))
            joining = [asyncio.ensure_future(network.grow(2, [], lambda: None)) for _ in range(6)]
            joined = [each for each in await asyncio.gather(*joining, return_exceptions=True) if isinstance(each, list)]
            assert 0 < len(joined) < 6
            assert [member.position for member in network.members] == list(range(5 + 2 * len(joined)))
            assert all(network.position_of(member.uid.int) == member.position for member in network.members)
            network.injection.end(partition)

    simulate(test)
