"""A student's policies on a real cluster: they decide, their mistakes reach the cell that awaits, and the cluster lives on."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
import students
from live import on

from p2pnb import Cluster, key_of
from p2pnb.dht.lookup import Lookup
from p2pnb.errors import PolicyError

pytestmark = pytest.mark.usefixtures("nothing_is_left")

def launched(policies: Mapping[str, Any], test: Callable[[Cluster], Awaitable[None]]) -> None:
    on(test, 32, network="memory", encryption=False, k=3, seed=1, policies=policies)


def test_all_three_decide() -> None:
    calls = set()

    def nearest(contacts, target, n):
        calls.add("nearest")
        return students.nearest(contacts, target, n)

    class Mine(students.Right):
        def next(self, now):
            calls.add("lookup")
            return super().next(now)

    def merge(answers):
        calls.add("merge")
        return students.merge(answers)[::-1]

    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        assert await cluster[21].ref(key) == b"hello"
        assert len(cluster.holders(key)) == 5
        other = await cluster[3].set(b"other")
        for node in cluster[:3]:
            await node.bag_publish(key, key)
        await cluster[4].bag_publish(key, other)
        assert await cluster[9].bag_popular(key) == [other, key]  # backwards, as this merge has it
        lookup = await cluster[21].lookup(key)
        assert lookup.hops >= 1
        assert {"named", "asked", "replied"} <= set(lookup.frame()["event"])
        assert "<svg" in lookup.picture()

    launched({"nearest": nearest, "lookup": Mine, "merge": merge}, test)
    assert calls == {"nearest", "lookup", "merge"}


def test_p2pnbs_own_lookup_is_a_policy_like_any_other() -> None:
    async def test(cluster: Cluster) -> None:
        key = key_of(b"somewhere")
        others = [node for node in cluster if node is not cluster[5]]
        lookup = await cluster[5].lookup(key)
        assert lookup.nearest[0].uid == min(node.uid ^ key for node in others) ^ key.int

    launched({"lookup": Lookup}, test)


def test_dead_nodes_are_failures_to_a_policy() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[3].set(b"hello")
        cluster.kill(*cluster.holders(key)[:3])
        assert await cluster.random().ref(key) == b"hello"

    launched({"lookup": students.Right}, test)


@pytest.mark.parametrize(
    ("policies", "error", "line"),
    [
        ({"lookup": students.Raises}, AttributeError, "hints.nearest()"),
        ({"lookup": students.Endless}, PolicyError, "while True"),
        ({"nearest": lambda contacts, target, n: sorted(contacts, key=lambda each: each.distance)}, AttributeError, "each.distance"),
    ],
)
def test_a_mistake_reaches_the_cell_with_its_line(policies: Mapping[str, Any], error: type[Exception], line: str) -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(error) as caught:
            await cluster[21].lookup(key_of(b"x"))
        assert line in "".join(traceback.format_tb(caught.value.__traceback__))
        assert len(cluster.nodes()) == 32
        assert await cluster[3].connect(cluster[4].ip, cluster[4].port)  # it lives on

    launched(policies, test)


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ({"lookup": students.Stuck}, "asked 512 times in one lookup"),
        ({"lookup": type("Waits", (students.Right,), {"next": lambda self, now: None})}, "Waits would wait for ever"),
        ({"lookup": type("Strange", (students.Right,), {"next": lambda self, now: 7})}, "is to give a contact .* or None, not 7"),
        ({"nearest": lambda contacts, target, n: None}, "is to return a list of contacts, not None"),
        ({"nearest": lambda contacts, target, n: [target]}, "is to return some of the contacts that it was given"),
        ({"nearest": lambda contacts, target, n: contacts[:1] * 2}, "returned the same contact twice"),
    ],
)
def test_what_breaks_an_interface_is_said(policies: Mapping[str, Any], says: str) -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(PolicyError, match=says):
            await cluster[21].lookup(key_of(b"x"))

    launched(policies, test)


@pytest.mark.parametrize(
    ("merge", "says"),
    [
        (lambda answers: None, "is to return a list of values, not None"),
        (lambda answers: [b"x"], "values that the replicas listed"),
        (lambda answers: [entry.value for entries in answers for entry in entries], "the same value twice"),
    ],
)
def test_a_merge_returns_values_that_were_listed(merge, says: str) -> None:
    async def test(cluster: Cluster) -> None:
        topic = key_of(b"cats")
        await cluster[3].bag_publish(topic, topic)
        with pytest.raises(PolicyError, match=says):
            await cluster[9].bag_popular(topic)
        assert await cluster[9].bag_recent(topic) == [topic]

    launched({"merge": merge}, test)


def test_a_mistake_in_an_answer_reaches_whoever_asked() -> None:
    """Node 21 asks others, whose tables are ordered by the same policy; they go on answering."""
    own = []

    def nearest(contacts, target, n):
        own.append(len(contacts))
        if len(own) > 1:
            raise KeyError("in an answer")
        return students.nearest(contacts, target, n)

    async def test(cluster: Cluster) -> None:
        own.clear()
        with pytest.raises(KeyError, match="in an answer"):
            await cluster[21].lookup(key_of(b"x"))

    launched({"nearest": nearest}, test)


def nothing():
    return []


class NoNext:
    finished, nearest = True, ()

    def __init__(self, target, own, seeds, *, want, alpha, now): ...


@pytest.mark.parametrize(
    ("policies", "error", "says"),
    [
        ({"route": students.nearest}, ValueError, 'there is no policy \'route\': the policies are "nearest", "lookup" and "merge"'),
        ([students.nearest], TypeError, "policies are a dict"),
        ({"nearest": lambda contacts, target: contacts}, TypeError, r"cannot be called as nearest\(contacts, target, n\)"),
        ({"merge": nothing}, TypeError, r"cannot be called as merge\(answers\)"),
        ({"lookup": students.Right(0, 1, [], want=1, alpha=1, now=0.0)}, TypeError, "cannot be called"),
        ({"lookup": NoNext}, TypeError, "NoNext has no 'next' and no 'replied' and no 'failed'"),
        ({"lookup": type("Late", (students.Right,), {"next": lambda self: None})}, TypeError, r"cannot be called as next\(now\)"),
        ({"lookup": type("Method", (students.Right,), {"finished": lambda self: True})}, TypeError, "write @property above it"),
    ],
)
def test_what_lacks_something_is_refused_at_launch(policies: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Cluster.launch(4, network="memory", policies=policies)
