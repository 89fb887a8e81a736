"""Writing a record: to whom, when, who counts as a replica, and what travels ahead of the lookup's end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest
from oracle import EIGHT, SILENT, Answer, Oracle
from town import nearest, peers, simulate, some_value, town

from p2pnb import Author, spec
from p2pnb.errors import PeerUnreachable
from p2pnb.peer.replication import Replication
from p2pnb.peer.report import Report
from p2pnb.uid import Key
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import BagAdd, NamespaceSet, Request, Set, Stored

OLD_VERSION = NamespaceSet(bytes(32), 1, bytes(32), bytes(64), 1)


class Written:
    """A record written to the three nearest of eight candidates, `ahead` to some of them 0.3 s before the lookup ended."""

    def __init__(self, answer: Answer, request: Request, candidates: list[Contact] = EIGHT, ahead: Collection[int] = ()) -> None:
        async def test() -> None:
            self.oracle, self.report = Oracle(answer), Report("set", "")
            writing = Replication(self.oracle, request, self.report, 1.0)
            for each in ahead:
                writing.ahead(EIGHT[each - 1])
                writing.ahead(EIGHT[each - 1])  # once is enough
            if ahead:
                await asyncio.sleep(0.3)
            await writing.write(candidates, 3)
            self.elapsed, self.acknowledged = self.oracle.elapsed, [each.uid for each in writing.acknowledged]
            await asyncio.sleep(spec.REQUEST_TIMEOUT)

        simulate(test)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        report = self.report
        return report.stored, report.refused, report.failed, report.spare


# --- whom ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poor", "asked"),
    [
        ((0.1, Stored(False)), [(0.0, 1), (0.0, 2), (0.0, 3), (0.1, 4)]),
        ((0.1, PeerUnreachable("gone", "lost")), [(0.0, 1), (0.0, 2), (0.0, 3), (0.1, 4)]),
        ((2.0, Stored(True)), [(0.0, 1), (0.0, 2), (0.0, 3), (1.0, 4)]),
        (SILENT, [(0.0, 1), (0.0, 2), (0.0, 3), (1.0, 4)]),
    ],
    ids=["refuses", "fails", "slow", "silent"],
)
def test_writing_goes_on_to_the_next_nearest(poor: Any, asked: list[tuple[float, int]]) -> None:
    written = Written(lambda whom, _: poor if whom.uid == 2 else (0.05, Stored(True)), Set(b"x"))
    assert written.oracle.order == asked
    assert written.acknowledged[:3] == [1, 3, 4]
    assert written.report.stored >= 3


def test_a_version_that_is_refused_goes_no_further() -> None:
    written = Written(lambda whom, _: (0.1, Stored(whom.uid != 2)), OLD_VERSION)
    assert written.oracle.order == [(0.0, 1), (0.0, 2), (0.0, 3)]
    assert written.counts == (2, 1, 0, 0)
    written = Written(lambda whom, _: (0.1, Stored(False)), OLD_VERSION)
    assert len(written.oracle.asked) == 3
    assert written.counts == (0, 3, 0, 0)


def test_as_long_as_nobody_has_acknowledged_the_slow_are_waited_for() -> None:
    written = Written(lambda whom, _: (4.0, Stored(True)), Set(b"x"), candidates=EIGHT[:3])
    assert written.report.stored == 3
    written = Written(lambda whom, _: SILENT, Set(b"x"))
    assert len(written.oracle.asked) == 8
    assert written.report.failed == 8


def test_whoever_waits_for_a_replica_sleeps_until_there_is_something_to_do() -> None:
    """Somewhere among these times, the sum of a time and a patience is rounded up, and their difference down."""

    async def test() -> None:
        for start in range(200):
            await asyncio.sleep(0.137 * start)
            writing = Replication(Oracle(lambda whom, _: (4.0, Stored(True))), Set(b"x"), Report("", ""), 0.3 + start / 777)
            looks, pump = 0, writing._pump

            def noted(pump: Any = pump) -> None:
                nonlocal looks
                looks += 1
                assert looks <= 20, "it looks again and again at the same moment"
                pump()

            writing._pump = noted  # type: ignore[method-assign]
            await writing.write(EIGHT, 3)

    simulate(test)


# --- ahead of the lookup's end ------------------------------------------------------------------------------------------


def test_who_took_it_ahead_is_asked_once_and_counts_if_it_is_among_the_nearest() -> None:
    written = Written(lambda whom, _: (0.1, Stored(True)), Set(b"x"), ahead=[2, 3, 8])
    assert written.oracle.order == [(0.0, 2), (0.0, 3), (0.0, 8), (0.3, 1)]
    assert written.acknowledged == [2, 3, 1]
    assert written.counts == (3, 0, 0, 1), "the eighth has a copy, and is no replica"
    assert written.elapsed == 0.4
    written = Written(lambda whom, _: (0.1, Stored(True)), Set(b"x"), ahead=[1, 2, 3])
    assert (written.elapsed, written.counts) == (0.3, (3, 0, 0, 0)), "nothing is left to wait for"


@pytest.mark.parametrize(
    ("poor", "asked", "counts"),
    [
        ((0.1, Stored(False)), [(0.3, 4)], (3, 1, 0, 0)),
        ((0.1, PeerUnreachable("gone", "lost")), [(0.3, 4)], (3, 0, 1, 0)),
        ((2.0, Stored(True)), [(1.0, 4)], (3, 0, 0, 0)),
        ((0.9, Stored(True)), [], (3, 0, 0, 0)),
        (SILENT, [(1.0, 4)], (3, 0, 1, 0)),
    ],
    ids=["refuses", "fails", "slow", "not so slow", "silent"],
)
def test_who_did_not_take_it_ahead_gives_way_to_the_next(poor: Any, asked: list[tuple[float, int]], counts: tuple[int, ...]) -> None:
    """Its patience began when it was asked."""
    written = Written(lambda whom, _: poor if whom.uid == 2 else (0.05, Stored(True)), Set(b"x"), ahead=[1, 2, 3])
    assert written.oracle.order[3:] == asked
    assert written.counts[1:3] == counts[1:3]
    assert written.report.spare == 0


def test_one_who_was_farther_than_it_seemed_takes_the_place_of_one_who_refused() -> None:
    written = Written(lambda whom, _: (0.1, Stored(whom.uid != 1)), Set(b"x"), ahead=[1, 2, 4])
    assert written.oracle.order == [(0.0, 1), (0.0, 2), (0.0, 4), (0.3, 3)]
    assert written.counts == (2 + 1, 1, 0, 0)


@pytest.mark.parametrize("request_", [OLD_VERSION, BagAdd(1, bytes(32))], ids=["version", "vote"])
def test_what_was_refused_ahead_goes_no_further(request_: Request) -> None:
    written = Written(lambda whom, _: (0.1, Stored(whom.uid != 2)), request_, ahead=[1, 2, 3])
    assert len(written.oracle.order) == 3
    assert written.counts == (2, 1, 0, 0)


def test_a_copy_that_failed_or_was_refused_is_none() -> None:
    outcomes: dict[int | None, Any] = {6: Stored(False), 7: PeerUnreachable("gone", "lost"), 8: Stored(True)}
    written = Written(lambda whom, _: (0.1, outcomes.get(whom.uid, Stored(True))), Set(b"x"), ahead=[6, 7, 8])
    assert written.counts == (3, 0, 0, 1)


def test_a_hand_over_grows_older_while_it_waits() -> None:
    async def test() -> None:
        oracle = Oracle(lambda whom, _: (0.1, Stored(True)))
        writing = Replication(oracle, Set(b"x", 100), Report("", ""), 1.0)
        writing.ahead(EIGHT[0])
        await asyncio.sleep(1.5)
        writing.ahead(EIGHT[1])
        await asyncio.sleep(0.7)
        await writing.write(EIGHT, 4)
        assert [request for _, _, request in oracle.asked] == [Set(b"x", age) for age in (100, 102, 103, 103)]

    simulate(test)


# --- in a whole network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replication", [5, 8])
def test_the_record_travels_with_the_question(replication: int) -> None:
    """In a settled network nearly all replicas are sent it in the step in which they are asked, and hardly anybody else has it."""

    async def test() -> None:
        async with town(60, 3, replication=replication) as network:
            rng, together, spare = random.Random(4), 0, 0
            for number in range(60):
                peer = rng.choice(peers(network))
                network.log.events.clear()
                key = await peer.set(some_value(number))
                assert peer.last.stored == replication
                spare += peer.last.spare
                true = nearest(network.members, key, replication)
                assert all(key.int in member.living().store.keys() for member in true), "whoever is nearest has it"
                asked = {event.peer: event.time for event in network.log.events if event.verb == "peers"}
                sent = Counter(event.peer for event in network.log.events if event.verb == "set")
                assert set(sent.values()) == {1}
                together += sum(event.verb == "set" and event.time == asked[event.peer] for event in network.log.events)
            assert spare / 60 < 0.3, spare
            assert together / 60 > 0.6 * replication, together

    simulate(test)


def test_votes_and_entries_travel_with_it_too() -> None:
    async def test() -> None:
        async with town(40, 5) as network:
            rng, author = random.Random(6), Author(bytes(range(32)))
            for number in range(20):
                peer, topic = rng.choice(peers(network)), Key(rng.randbytes(32))
                await peer.bag_publish(topic, rng.randbytes(32))
                assert (peer.last.stored, peer.last.refused) == (5, 0)
                assert all(topic.int in member.living().store.keys() for member in nearest(network.members, topic, 5))
                await peer.namespace_set(author.private_key, author.public_key, topic, rng.randbytes(32), sequence=number)
                assert (peer.last.stored, peer.last.refused) == (5, 0)
            events = [event for event in network.log.events if event.verb in {"peers", "bag-add", "namespace-set"}]
            asked = {(event.node, event.peer, event.time) for event in events if event.verb == "peers"}
            along = Counter(event.verb for event in events if (event.node, event.peer, event.time) in asked)
            assert along["bag-add"] > 50
            assert along["namespace-set"] > 50

    simulate(test)


def test_the_next_version_of_an_entry_takes_one_lookup_and_so_does_reading() -> None:
    async def test() -> None:
        async with town(40, 7) as network:
            rng, author = random.Random(8), Author(bytes(range(32)))
            counts: Counter[str] = Counter()
            for number in range(20):
                topic, (peer, reader) = Key(rng.randbytes(32)), rng.sample(peers(network), 2)
                for _ in range(2):
                    network.log.events.clear()
                    await peer.namespace_set(author.private_key, author.public_key, topic, value := rng.randbytes(32))
                counts.update(event.verb for event in network.log.events if event.node == peer.own)
                assert peer.last.facts["sequence"] == 1, number
                network.log.events.clear()
                assert await reader.namespace_ref(author.public_key, topic) == value
                counts.update(f"{event.verb}, reading" for event in network.log.events if event.node == reader.own)
            assert {verb: round(count / 20) for verb, count in counts.items()} == {
                "peers": 5, "namespace-ref": 5, "namespace-set": 5, "peers, reading": 5, "namespace-ref, reading": 5,
            }  # fmt: skip

    simulate(test)


def test_where_buckets_are_small_nothing_goes_ahead() -> None:
    """With three in a bucket, a peer does not know its five neighbours: what it names is no survey."""

    async def test() -> None:
        async with town(40, 9, k=3) as network:
            rng = random.Random(10)
            for number in range(20):
                peer = rng.choice(peers(network))
                network.log.events.clear()
                await peer.set(some_value(number))
                assert (peer.last.stored, peer.last.spare) == (5, 0)
                questions = [event.time for event in network.log.events if event.verb == "peers"]
                assert min(event.time for event in network.log.events if event.verb == "set") > max(questions)

    simulate(test)
