"""Faults as a cell uses them: on each network, what they show, and what is refused where it is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from live import on

from p2pnb import Cluster
from p2pnb.faults import Crash, DiskErrors, Latency, Liars, Loss, Partition, Resets, Skew, SlowReaders


@pytest.mark.parametrize("network", ["memory", "virtual"])
def test_faults_from_a_cell(network: str) -> None:
    async def test(cluster: Cluster) -> None:
        assert list(cluster.faults()) == []
        with cluster.faults(Latency(0.01, jitter=0.005), Loss(0.01), Liars(cluster[3:6], lies="values")) as faults:
            assert str(Latency(0.05, jitter=0.02)) == "Latency(seconds=0.05, jitter=0.02)", "what comes first is always shown"
            assert str(Skew(ahead=5)) == "Skew(ahead=5)"
            assert repr(faults) == "<faults: Latency(seconds=0.01, jitter=0.005), Loss(share=0.01), Liars(nodes=[3, 4, 5])>"
            assert len(cluster.faults()) == 3
            key = await cluster[0].set(b"hello")
            assert await cluster[7].ref(key) == b"hello"
        assert list(cluster.faults()) == []
        assert repr(faults) == "<faults: none; 3 mended>"
        frame = faults.frame()
        assert list(frame.columns) == ["time_s", "fault", "what", "node", "peer"]
        assert list(frame["fault"].unique()) == ["latency", "loss", "liars"]
        assert list(frame[frame["what"] == "begins"]["node"].dropna()) == [3, 4, 5]
        cluster.faults(Crash(cluster[2])).stop()
        assert len(cluster.faults().frame()) >= len(frame) + 3, "everything that ever happened"
        assert "Loss" in faults._repr_mimebundle_()["text/html"]
        while not cluster[2].alive:
            await cluster.run(asyncio.sleep, 0.01)
        faults.stop()

    on(test, network=network)


def test_what_cannot_be_is_refused_and_nothing_is_begun() -> None:
    async def test(cluster: Cluster) -> None:
        async with Cluster.launch(5, network="memory", seed=6) as other:
            for wrong, error, words in (
                ((Loss(0.1), Liars(other[1])), ValueError, "belongs to another cluster"),
                ((Loss(0.1), Liars(7)), ValueError, r"one node is cluster\[7\]"),
                ((Loss(0.1), "latency"), TypeError, "takes faults, such as"),
                ((Loss(0.1), Crash(["node"])), TypeError, "takes nodes, not 'node'"),
            ):
                with pytest.raises(error, match=f"(?i){words}"):
                    cluster.faults(*wrong)  # type: ignore[arg-type]
                assert list(cluster.faults()) == []

    on(test, network="memory")


@pytest.mark.parametrize("fault", [Latency(0.1), Loss(0.1), Partition(0.5), SlowReaders(0.5)])
def test_sockets_have_wires_of_their_own(fault: Any) -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match=r'takes a pretended wire: .*network="memory"'):
            cluster.faults(fault)

    on(test, 3)


def test_on_sockets_machines_crash_and_people_lie_all_the_same() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(b"hello")
        with cluster.faults(Liars(cluster[1:3], lies=("values", "contacts")), Resets(1.0, every=0.05)) as faults:
            assert await cluster[5].ref(key) == b"hello"
            crash = cluster.faults(Crash(cluster[7]))
            assert not cluster[7].alive
            while "resets" not in set(faults.frame()["what"]):
                await cluster.run(asyncio.sleep, 0.02)
        crash.stop()
        while not cluster[7].alive:
            await cluster.run(asyncio.sleep, 0.02)

    on(test)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Latency(-0.1), "0 or more"),
        (lambda: Latency(float("nan")), "0 or more"),
        (lambda: Latency(0.1, jitter=0.2), "too early"),
        (lambda: Loss(-0.1), "a share, a number of 0 to 1"),
        (lambda: Loss(1.5), "a share, a number of 0 to 1"),
        (lambda: Loss(True), "a share, a number of 0 to 1"),
        (lambda: Resets(0.1, every=0), "above 0"),
        (lambda: Partition(None), "parts some from the others"),
        (lambda: SlowReaders(0.5, bytes_a_second=-1), "0 bytes a second or more"),
        (lambda: Crash(0.5, back_after=-1), "0 or more, or None"),
        (lambda: Skew(ahead=-1), "never runs backwards"),
        (lambda: Skew(rate=0), "never runs backwards"),
        (lambda: DiskErrors(share=2), "a share, a number of 0 to 1"),
        (lambda: Liars(0.1, lies="votes"), "there are values, contacts, namespaces, bags, promises"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_where_it_is_written(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
