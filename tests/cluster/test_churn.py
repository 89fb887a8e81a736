"""How long sessions last, and nodes that come and go in simulated time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from live import on
from town import HOUR, peers, simulate, some_value, town

from p2pnb import Cluster
from p2pnb.faults import Always, Churn, Exponential, Lognormal, Recorded, Weibull


def stays(drawn: Any, seconds: float, uptime: float) -> float:
    """The share of those sessions that lasted `uptime` which last `seconds` more."""
    lasting = drawn[drawn > uptime]
    return float(np.mean(lasting > uptime + seconds))


@pytest.mark.parametrize("uptime", [0, 30, 60, 120, 300, 600, 1200, 2000])
def test_the_default_sessions_are_those_of_kademlias_figure_3(uptime: int) -> None:
    """The probability of staying another hour after `uptime` minutes, against a Monte Carlo that shares no code with ours."""
    drawn = np.random.default_rng(3).weibull(0.394, 6_000_000) * 48.6
    assert Weibull().survival(HOUR, uptime=uptime * 60) == pytest.approx(stays(drawn, 60, uptime), abs=0.005)


def test_the_longer_somebody_has_been_there_the_longer_they_will_stay() -> None:
    figure = [Weibull().survival(HOUR, uptime=60.0 * minutes) for minutes in (0, 60, 240, 1000, 2500)]
    assert figure == pytest.approx([0.337, 0.711, 0.842, 0.926, 0.957], abs=0.005)
    assert Exponential(HOUR).survival(HOUR, uptime=99.0) == Exponential(HOUR).survival(HOUR)


@pytest.mark.parametrize("sessions", [Weibull(), Weibull(2.0, 600), Lognormal(1800, 1.0), Exponential(900)], ids=repr)
def test_what_is_drawn_survives_as_the_closed_form_says(sessions: Any) -> None:
    rng = random.Random(4)
    drawn = np.array([sessions.draw(rng) for _ in range(100_000)])
    for seconds, uptime in ((600, 0), (HOUR, 0), (600, 900), (HOUR, 1800)):
        expected, lasting = sessions.survival(seconds, uptime=uptime), np.sum(drawn > uptime)
        assert stays(drawn, seconds, uptime) == pytest.approx(expected, abs=4 / np.sqrt(lasting) + 1e-9)


def test_nodes_come_and_go_and_end_up_as_many() -> None:
    async def test() -> None:
        async with town(12, 1) as network:
            (churn,) = network.injection.begin([Churn(Exponential(1800.0), away=600.0)])
            up = []
            for _ in range(60):
                await asyncio.sleep(120)
                up.append(len(network.living) / 12)
            assert np.mean(up) == pytest.approx(1800 / 2400, abs=0.15)
            rows = [row["what"] for row in network.injection.happened]
            assert rows.count("crashes") == pytest.approx(2 * HOUR / 2400 * 12, rel=0.3)
            network.injection.end([churn])
            await asyncio.sleep(60)
            assert len(network.living) == 12
            assert not network.injection._returning
            assert all(len(peer.table) > 4 for peer in peers(network))

    simulate(test)


def test_the_last_one_stays() -> None:
    async def test() -> None:
        async with town(3, 2) as network:
            network.injection.begin([Churn(Always(10.0), away=HOUR)])
            await asyncio.sleep(1000)
            assert len(network.living) == 1

    simulate(test)


def test_recorded_sessions_are_followed() -> None:
    recorded = pd.DataFrame({"node": [1, 1, 2, 3], "start_s": [0, 500, 100, 0], "end_s": [200, 900, 900, float("inf")]})

    async def test() -> None:
        async with town(5, 3) as network:
            network.injection.begin([Churn(Recorded(recorded))])
            seen = {}
            for moment in (50, 150, 300, 600, 950):
                await asyncio.sleep(moment - max(seen, default=0))
                seen[moment] = [member.position for member in network.living]
            assert seen == {50: [0, 1, 3, 4], 150: [0, 1, 2, 3, 4], 300: [0, 2, 3, 4], 600: [0, 1, 2, 3, 4], 950: [0, 3, 4]}

    simulate(test)


def test_the_same_seed_gives_the_same_churn() -> None:
    def run() -> list[Any]:
        rows: list[Any] = []

        async def test() -> None:
            async with town(8, 5) as network:
                await peers(network)[0].set(some_value(5))
                network.injection.begin([Churn(Weibull(), away=Lognormal(300.0))])
                await asyncio.sleep(HOUR)
                rows.extend(network.injection.happened)
                rows.extend(network.log.rows())

        simulate(test)
        return rows

    first = run()
    assert len(first) > 300
    assert run() == first


@pytest.mark.parametrize("network", ["memory", "virtual"])
def test_churn_from_a_cell(network: str) -> None:
    async def test(cluster: Cluster) -> None:
        with cluster.churn(Exponential(0.2), away=0.1, nodes=cluster[1:8]) as churn:
            while set(churn.frame()["what"]) < {"begins", "crashes", "comes back"}:
                await cluster.run(asyncio.sleep, 0.05)
            assert set(churn.frame()["node"].dropna()) <= set(range(1, 8))
            assert repr(churn).startswith("<faults: Churn(sessions=Exponential(mean=0.2), away=0.1, nodes=[1, 2, 3")
        while not all(node.alive for node in cluster):
            await cluster.run(asyncio.sleep, 0.05)

    on(test, network=network)


def frame(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["node", "start_s", "end_s"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Weibull(shape=0), "above 0"),
        (lambda: Weibull(scale=-1), "above 0"),
        (lambda: Lognormal(-5), "above 0"),
        (lambda: Exponential(0), "above 0"),
        (lambda: Always(-1), "0 or more"),
        (lambda: Churn(away=-600), "0 or more"),
        (lambda: Recorded(frame((1, 5, 3))), "starts at 0 or later, and ends after that"),
        (lambda: Recorded(frame((1, -5, 3))), "starts at 0 or later"),
        (lambda: Recorded(frame((1, 0, 9), (1, 5, 20))), "two sessions of node 1 overlap"),
        (lambda: Recorded(frame((1, 0, 9)).drop(columns="end_s")), "end_s is missing"),
        (lambda: Recorded([1, 2]), "node, start_s, end_s is missing"),
    ],
)
def test_sessions_that_cannot_be_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_sessions_of_an_unknown_node_are_refused() -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(ValueError, match="sessions of node 12 were recorded, and this cluster's nodes are 0 to 11"):
            cluster.churn(Recorded(frame((12, 0, 9))))
        with pytest.raises(TypeError, match=r"Weibull\(\), Lognormal"):
            cluster.churn(600)  # type: ignore[arg-type]

    on(test, network="memory")
