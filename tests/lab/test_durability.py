"""Durability, measured over many seeds, against theory. The runs are seeded: what holds here holds each time."""

from __future__ import annotations

import math
import os
import random

import pytest

from p2pnb.lab import durability
from p2pnb.lab.durability import ROWS, interval, survival_of_a_crash

# how many seeds a row takes until its interval is narrow, half a minute for all of them on two free processors
SEEDS = (50, 20, 8, 8, 8, 5, 25)


def test_the_survival_of_a_crash_is_what_drawing_holders_gives() -> None:
    rng = random.Random(1)
    for n, crashed, replication in ((40, 20, 5), (100, 50, 5), (40, 30, 5), (100, 50, 20)):
        drawn = sum(any(each >= crashed for each in rng.sample(range(n), replication)) for _ in range(40_000)) / 40_000
        assert survival_of_a_crash(n, crashed, replication) == pytest.approx(drawn, abs=0.008)
    assert [round(survival_of_a_crash(n, n // 2), 3) for n in (40, 100)] == [0.976, 0.972]


def test_the_interval_of_a_share() -> None:
    assert interval(50, 100) == pytest.approx((0.375, 0.625), abs=0.001)
    assert interval(100, 100) == pytest.approx((0.938, 1.0), abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("which", range(len(ROWS)), ids=[row.name for row in ROWS])
def test_a_fault_costs_no_more_than_theory_says(which: int) -> None:
    """What is measured is above the bar; where the bar is 1, there is no single loss."""
    frame = durability.table(SEEDS[which], jobs=os.cpu_count() or 1, rows=range(which, which + 1))
    (row,) = frame.to_dict("records")
    assert row["measured"] >= row["bar"], f"\n{frame}"
    if row["bar"] < 1 and not math.isnan(row["theory"]):
        assert row["high"] >= row["theory"] - 0.01, f"so much less than theory is no chance\n{frame}"
        assert row["low"] > row["bar"] - 0.03, f"too few trials to say anything\n{frame}"


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"seeds": -1}, {"seeds": 2.5}, {"seeds": 1, "jobs": 0}])
def test_a_table_of_nothing_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is an integer of 1 or more, not"):
        durability.table(**wrong)
