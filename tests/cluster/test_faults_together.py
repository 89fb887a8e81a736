"""Faults that meet: any of them can be ended first, and who was dead or not there yet is met by what is wrong with everybody."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pandas as pd
import pytest
from live import on
from town import HOUR, now, peers, simulate, some_value, town

from p2pnb import Cluster
from p2pnb.cluster.injection import Active
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.errors import P2PError
from p2pnb.faults import Always, Churn, Crash, Exponential, Partition, Recorded, Skew


def begin(network: Network, *faults: Any) -> list[Active]:
    return network.injection.begin(faults)


async def pace(member: Member) -> float:
    """Seconds by its own clock in each of ours."""
    before, began = member.living().clock(), now()
    await asyncio.sleep(100)
    return (member.living().clock() - before) / (now() - began)


def test_two_things_wrong_with_one_clock() -> None:
    async def test() -> None:
        async with town(5, 1) as network:
            twice, both = network.members[0], network.members[1]
            first = begin(network, Skew([twice, both], rate=2.0))
            second = begin(network, Skew([both], rate=1.5))
            assert await pace(both) == pytest.approx(3.0)
            network.injection.end(first)
            assert await pace(twice) == pytest.approx(1.0)
            assert await pace(both) == pytest.approx(1.5), "the other one is still on"
            network.injection.end(second)
            assert await pace(both) == pytest.approx(1.0)

    simulate(test)


def test_a_clock_is_right_again_though_its_node_was_dead_when_that_was_mended() -> None:
    async def test() -> None:
        async with town(5, 2) as network:
            dead = network.members[3]
            skewed = begin(network, Skew(rate=2.0))
            network.kill([dead], silent=False)
            network.injection.end(skewed)
            await network.restart(dead)
            assert await pace(dead) == pytest.approx(1.0)

    simulate(test)


def test_newcomers_are_met_by_what_is_wrong_with_everybody() -> None:
    async def test() -> None:
        async with town(8, 3) as network:
            begin(network, Skew(rate=2.0), Churn(Exponential(300.0), away=60.0))
            (late,) = await network.grow(1, [], lambda: None)
            assert late.rate == 2.0
            await asyncio.sleep(HOUR)
            assert any(row["what"] == "crashes" and row["node"] == late.position for row in network.injection.happened)

    simulate(test)


def test_who_was_dead_when_a_churn_began_comes_and_goes_once_it_is_back() -> None:
    async def test() -> None:
        async with town(6, 4) as network:
            begin(network, Crash(network.members[2:3], back_after=60.0))
            (churn,) = begin(network, Churn(Always(100.0), away=20.0))
            await asyncio.sleep(500)
            rows = [row for row in network.injection.happened if row["number"] == churn.number and row["node"] == 2]
            assert rows, "it churns, too"

    simulate(test)


def test_a_recorded_session_ends_when_it_was_recorded_to_though_nobody_could_be_joined() -> None:
    async def test() -> None:
        async with town(6, 5) as network:
            lonely = network.members[1]
            begin(network, Partition([lonely]))
            began = now()
            (churn,) = begin(network, Churn(Recorded(pd.DataFrame({"node": [1, 1], "start_s": [100, 300], "end_s": [200, 302]}))))
            await asyncio.sleep(400)
            rows = [row for row in network.injection.happened if row["number"] == churn.number and row["what"] != "begins"]
            seen = [(row["what"], row["time"] + network.log.began - began) for row in rows]
            assert [what for what, _ in seen] == ["crashes", "comes back", "crashes", "comes back", "crashes"]
            assert [when for _, when in seen] == pytest.approx([0, 100, 200, 300, 302])

    simulate(test)


def test_who_joins_a_parted_network_is_no_bridge() -> None:
    """He is one of the others: nothing passes between him and those who were cut off, whoever dials, and he joins at the first try."""

    async def test() -> None:
        async with town(8, 7) as network:
            cut_off = network.partition(network.members[:4])
            await network.restart(cut_off[1])
            for _ in range(4):
                (late,) = await network.grow(1, [], lambda: None)
                for one, other in ((late, cut_off[0]), (cut_off[2], late)):
                    with pytest.raises(P2PError):
                        await one.living().greet(other.ip, other.port)
                assert await network.members[6].living().greet(late.ip, late.port)
            network.heal()
            await asyncio.sleep(1)  # what was half greeted is reset
            assert await late.living().greet(cut_off[0].ip, cut_off[0].port)

    simulate(test)


def test_tables_tell_ages_by_the_clock_of_each_node() -> None:
    async def test(cluster: Cluster) -> None:
        key = await cluster[0].set(some_value(1))
        ahead = cluster.holders(key)[1]
        cluster.faults(Skew(ahead, ahead=1000))
        values, where = cluster.values(), cluster.where(key)
        for ages in (values["age_s"], where["age_s"].dropna()):
            assert 1000 <= ages[ahead.position] < 1010
            assert (ages.drop(ahead.position) < 10).all()

    on(test, network="virtual")


def test_what_is_refused_changes_nothing_that_is_drawn_later() -> None:
    async def drawn(network: Network, wrong: Any) -> list[int]:
        if wrong is not None:
            with pytest.raises(ValueError, match="sessions of node 99"):
                begin(network, Partition(0.5), wrong)
        (active,) = begin(network, Skew(0.4, rate=2.0))
        assert active.number == 1
        return [member.position for member in active.members or ()]

    found = []

    async def test() -> None:
        for wrong in (None, Churn(Recorded(pd.DataFrame({"node": np.array([99]), "start_s": [0.0], "end_s": [1.0]})))):
            async with town(10, 6) as network:
                found.append(await drawn(network, wrong))
                assert len(peers(network)) == 10

    simulate(test)
    assert found[0] == found[1]
