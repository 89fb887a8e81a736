"""The long run: what it counts as a leak, and that a whole one comes to its end with nothing lost."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import random
import sys
from dataclasses import replace

import pytest

from p2pnb import Cluster, key_of
from p2pnb.__main__ import main
from p2pnb.cluster import soak, watch
from p2pnb.cluster.leaks import Sample, trend
from p2pnb.cluster.member import Settings
from p2pnb.cluster.network import Network
from p2pnb.cluster.soak import Result, Soak
from p2pnb.dht import namespaces
from p2pnb.net.virtual import VirtualLoop
from p2pnb.peer import core

HOUR = 3_600.0


def samples(growth: float, noise: float, n: int = 240) -> list[float]:
    """A level of 100 that grows by `growth` an hour, sampled each 5 s."""
    rng = random.Random(1)
    return [100 + growth * i * 5 / HOUR + rng.gauss(0, noise) for i in range(n)]


@pytest.mark.parametrize(
    ("growth", "noise", "flat"),
    [(0, 0, True), (0, 10, True), (2, 1, True), (-50, 1, True), (20, 1, False), (100, 20, False), (20, 60, True)],
)
def test_growth_is_told_from_noise(growth: float, noise: float, flat: bool) -> None:
    found = trend([i * 5.0 for i in range(240)], samples(growth, noise))
    assert found.flat is flat, found
    assert found.low <= found.slope <= found.high
    assert abs(found.slope - growth) <= 3 * (found.high - found.low) + 1e-6


@pytest.mark.parametrize("n", [0, 1, 11])
def test_a_short_run_has_no_trend(n: int) -> None:
    found = trend([i * 5.0 for i in range(n)], [100.0] * n)
    assert found.slope != found.slope
    assert found.flat
    assert "| descriptors | not measured |" in result(samples=[]).table()
    assert "100, too short for a trend" in result(samples=[Sample(1_500.0, 2e8, 1e6, 1e7, 100.0, 50.0)]).table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "-1"], "minutes is a number above 0, not -1.0"),
        (["--minutes", "nan"], "minutes is a number above 0, not nan"),
        (["--rate", "0"], "rate is a number above 0, not 0.0"),
        (["--nodes", "0"], "a cluster has 1 node or more, not 0"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", *arguments]) == 1
    assert capsys.readouterr().err == f"p2pnb: {message}\n"


def result(**change: object) -> Result:
    steady = [Sample(i * 5.0, 2e8, 1e6, 1e7, 100.0, 50.0) for i in range(360)]
    found = Result(50, seconds=1_800.0, samples=steady, acknowledged=10)
    for name, value in change.items():
        setattr(found, name, value)
    return found


def test_what_is_good() -> None:
    assert result().good
    assert not result(lost=["value"]).good
    assert not result(unhandled=1).good
    assert not result(wrong=1).good
    for what in ("memory", "pieces", "descriptors", "tasks"):
        each = [replace(sample, **{what: getattr(sample, what) * (1 + i / 1_000)}) for i, sample in enumerate(result().samples)]
        assert not result(samples=each).good, what
    leaking = [replace(sample, memory=sample.memory + i * 1e6) for i, sample in enumerate(result().samples)]
    assert "GROWING" in result(samples=leaking).table()
    assert "190 MB, +0.0 ± 0.0 MB an hour, flat" in result().table()


@pytest.mark.slow
@pytest.mark.parametrize("forget", [False, True])
def test_a_run_in_simulated_time(forget: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten nodes for a minute; with `forget`, a node hides one of its records, and that is found."""

    async def test() -> None:
        async with Cluster.launch(10, network="virtual", seed=4) as cluster:
            told: list[str] = []
            work = Soak(cluster._network, 60.0, 20.0, 1, told.append)
            if forget:
                hidden = key_of(work._values[0])
                monkeypatch.setattr(Soak, "_has_value", lambda self, key, value: _is_not(key, hidden))
            found = await cluster.run(work.run)
            assert not cluster.errors
            assert found.lost == ([f"value {hidden!r}"] if forget else [])
            assert found.wrong == 0
            assert found.kills > 1
            assert found.restarts == found.kills
            assert all(node.alive for node in cluster)
            assert set(found.operations) == {"set", "ref", "vote", "bag", "sign", "signed_ref", "lookup"}
            assert found.acknowledged > 1_000
            assert 60 <= found.seconds < 61
            assert "1.0 of 1 min" in told[-2]

    asyncio.run(test())


async def _is_not(key: bytes, hidden: bytes) -> bool:
    return key != hidden


@pytest.mark.slow
def test_records_outlive_nodes_that_die_every_few_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of thirty nodes loses all that it holds some six times, and comes back: holders that are new themselves must not be counted on.

    (Where they are, twenty of 450 records are gone after forty minutes.)
    """
    monkeypatch.setattr(soak, "VALUES", 300)
    monkeypatch.setattr(soak, "KILL_EVERY", 12.0)

    async def test() -> None:
        async with Cluster.launch(30, network="virtual", seed=3, codec=False, latency=0.02) as cluster:
            work = Soak(cluster._network, 2_400.0, 2.0, 3, lambda _: None)
            found = await cluster.run(work.run)
            assert found.kills > 150
            assert found.acknowledged > 400
            assert not found.lost
            assert found.without_holder <= 2, "all five may die at the same time, once in a long while"
            assert not cluster.errors

    asyncio.run(test())


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, True])
def test_equal_loads_leave_equally_much(kills: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same load five times over, on ten nodes: once the books are full, there is not one thing more for it.

    Without kills, nodes live through all of it, and what they kept too much would show; with kills, what is left of dead ones would.
    """
    for where, name, number in (
        *[(soak, "VALUES", 60), (soak, "TOPICS", 4), (soak, "VOTES", 4), (soak, "AUTHORS", 3), (soak, "NAMES", 3)],
        *[(soak, "KILL_EVERY", 20.0 if kills else 1e9), (watch, "KEPT", 300), (core, "KEPT_LOOKUPS", 16), (namespaces, "KEPT_REFUSALS", 4)],
        (soak, "SAMPLE", 1e9),
    ):
        monkeypatch.setattr(where, name, number)

    async def test() -> None:
        network = Network("virtual", Settings(encryption=False, codec=False), 1, 0.02, 0.0)
        await network.grow(10, [], lambda: None)
        pieces, operations = [], []
        for _ in range(5):
            work = Soak(network, 300.0, 5.0, 7, lambda _: None)
            operations.append(sum((await work.run()).operations.values()))
            assert not work.result.lost
            del work
            await asyncio.sleep(30.0)
            network.log.digest()
            for each in gc.get_objects():
                if isinstance(each, functools._lru_cache_wrapper):
                    each.cache_clear()
            gc.collect()
            pieces.append(sys.getallocatedblocks())
        assert min(operations) > 1_000
        growth = [after - before for before, after in itertools.pairwise(pieces[2:])]
        assert min(growth) < (2_000 if kills else 100), pieces  # a leak shows each time; what others in this process do, now and then
        await network.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


@pytest.mark.slow
def test_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", "--minutes", "0.1", "--nodes", "8", "--rate", "100"]) == 0
    shown, errors = capfd.readouterr()
    assert "| nodes, encrypted TCP | 8 |" in shown
    assert "| of those that a living node holds: lost | 0 |" in shown
    assert not [line for line in errors.splitlines() if not line.startswith("failed ")], "quiet where there is no terminal"


@pytest.mark.slow
def test_the_command_in_simulated_time(capfd: pytest.CaptureFixture[str]) -> None:
    """It is the same each time, but for what the process uses."""
    figures = []
    for _ in range(2):
        assert main(["soak", "--network", "virtual", "--minutes", "2", "--nodes", "8", "--rate", "5"]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert "| nodes, in simulated time | 8 |" in lines
        figures.append([line for line in lines if "memory" not in line and "descriptors" not in line])
    assert figures[0] == figures[1]
    assert len(figures[0]) > 10
