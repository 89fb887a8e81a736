"""Numbers as people write them, and what is none: refused where it is written, and in words."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from live import on

from p2pnb import Cluster
from p2pnb.cluster.amounts import as_number
from p2pnb.faults import Churn, Crash, Latency, Liars, Lognormal, Loss, Partition, Recorded, Resets, Skew, Weibull
from p2pnb.net.virtual import Stalled

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("number", [3, 0.5, np.int64(3), np.float32(0.5), Fraction(1, 2)])
def test_whatever_is_a_number_becomes_a_plain_one(number: Any) -> None:
    plain = as_number(number)
    assert plain == number
    assert type(plain) in (int, float)


@pytest.mark.parametrize("number", [True, np.True_, "3", None, NAN, INFINITE, 10**400, 3j, [3]])
def test_what_is_no_number(number: Any) -> None:
    assert as_number(number) is None


def frame(node: Any, start: Any, end: Any) -> pd.DataFrame:
    return pd.DataFrame({"node": [node], "start_s": [start], "end_s": [end]})


class Never:
    def draw(self, rng: random.Random) -> float:
        return NAN


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Latency(lambda: 0.1), ValueError, "function of a random.Random; this one failed: .* takes 0 positional"),  # type: ignore[arg-type, misc]
        (lambda: Latency(lambda rng: NAN), ValueError, "gave nan, and a time is a number of seconds, 0 or more"),
        (lambda: Latency(lambda rng: -1.0), ValueError, "gave -1.0"),
        (lambda: Latency(lambda rng: rng.random(), jitter=0.1), ValueError, "has its own jitter"),
        (lambda: Latency(Lognormal), TypeError, r"not the class Lognormal: write Lognormal\(…\)"),  # type: ignore[arg-type]
        (lambda: Churn(Weibull), TypeError, r"not the class Weibull: write Weibull\(…\)"),  # type: ignore[arg-type]
        (lambda: Churn(away=Weibull), TypeError, r"`away` .* not the class Weibull"),  # type: ignore[arg-type]
        (lambda: Churn(Never()), ValueError, "this one failed: .*Never.* gave nan"),
        (lambda: Crash(0.5, silent="no"), TypeError, "`silent` is True or False, not 'no'"),  # type: ignore[arg-type]
        (lambda: Partition(0.5, one_way=1), TypeError, "`one_way` is True or False"),  # type: ignore[arg-type]
        (lambda: Liars(0.5, lies=()), ValueError, "one or several of values, contacts"),
        (lambda: Liars(0.5, lies=None), ValueError, "one or several of values, contacts"),  # type: ignore[arg-type]
        (lambda: Recorded(frame(0.5, 0, 1)), ValueError, "a session of node 0.5: a node is its position"),
        (lambda: Recorded(frame("1", 0, 1)), ValueError, "a session of node '1'"),
        (lambda: Recorded(frame(NAN, 0, 1)), ValueError, "a node is its position"),
        (lambda: Recorded(frame(0, "a", 1)), ValueError, "from a s to 1 s: it starts at 0 or later"),
        (lambda: Recorded(frame(0, 5, 5)), ValueError, "ends after that"),
        (lambda: Recorded(frame(0, 0, NAN)), ValueError, "in numbers of seconds"),
    ],
)
def test_faults_that_cannot_be(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_numbers_of_numpy_and_pandas() -> None:
    assert str(Loss(np.float64(0.1))) == "Loss(share=0.1)"
    assert type(Resets(np.float32(0.5), every=np.int64(3)).every) is int
    assert type(Latency(np.float32(0.5)).seconds) is float
    assert Crash(0.5, back_after=np.int64(3)).back_after == 3
    assert Recorded(frame(np.int64(1), np.float64(0), INFINITE)).of == {1: [(0.0, INFINITE)]}


def test_one_is_one_node_or_all_of_them() -> None:
    async def test(cluster: Cluster) -> None:
        for wrong, words in (
            (Crash(1), r"crash of 1 nodes\? One node is cluster\[1\]"),
            (Skew(0, rate=2.0), r"One node is cluster\[0\]"),
            (Skew(1.5, rate=2.0), "a share is a number of 0 to 1"),
        ):
            with pytest.raises(ValueError, match=words):
                cluster.faults(wrong)
        with pytest.raises(TypeError, match=r"latency takes nodes, not 3: write nodes=cluster\[3\]"):
            cluster.faults(Latency(0.1, nodes=[3]))
        assert all(node.alive for node in cluster)
        assert not cluster.faults()

    on(test, network="virtual")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"latency": True}, ValueError, "a latency is a number of seconds"),
        ({"latency": INFINITE}, ValueError, "a latency is a number of seconds"),
        ({"latency": lambda: 0.1}, ValueError, "this one failed"),
        ({"latency": lambda rng: NAN}, ValueError, "gave nan"),
        ({"latency": Weibull}, TypeError, "not the class Weibull"),
        ({"loss": True}, ValueError, "loss is a share"),
        ({"loss": NAN}, ValueError, "loss is a share"),
        ({"seed": "7"}, TypeError, "a seed is an integer, such as seed=7, not '7'"),
        ({"seed": [7]}, TypeError, "a seed is an integer"),
        ({"codec": "no"}, TypeError, "`codec` is True or False"),
        ({"encryption": 1}, TypeError, "`encryption` is True or False"),
        ({"bootstrap": 9000}, TypeError, "a list of addresses"),
        ({"identities": ["me.key"]}, TypeError, "Identity.load_or_create"),
        ({"host": 3}, ValueError, "an address of this machine"),
    ],
)
def test_launches_that_cannot_be(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Cluster.launch(3, network="virtual", **arguments)


def test_what_cannot_be_run() -> None:
    async def test(cluster: Cluster) -> None:
        for wrong in (lambda: 5, 5, cluster[0].uid, cluster[0].set(b"x")):
            with pytest.raises(TypeError, match=r"run takes an `async def` and its arguments, as in cluster\.run\(workload, 5\), not"):
                cluster.run(wrong)  # type: ignore[arg-type]

    on(test, network="virtual")


@pytest.mark.parametrize("latency", [Lognormal(0.05, sigma=0.3), np.int64(0), Fraction(1, 50), lambda rng: rng.uniform(0.01, 0.1)])
def test_latencies_and_seeds_of_all_kinds(latency: Any) -> None:
    async def whole() -> None:
        async with Cluster.launch(5, network="virtual", latency=latency, seed=np.int64(7)) as cluster:  # type: ignore[arg-type]
            key = await cluster[0].set(b"x")
            with cluster.faults(Latency(latency)):
                assert await cluster[4].ref(key) == b"x"
            began = cluster.now
            assert await cluster.advance(np.int64(60)) == pytest.approx(began + 60)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="time goes forward"):
                await cluster.advance(10**400)

    asyncio.run(whole())


def test_a_latency_that_fails_later_is_named_to_whoever_waits_in_vain() -> None:
    draws = iter([0.05] * 50)

    async def whole() -> None:
        with pytest.raises(Stalled, match=r"what failed in the background: .*gave nan"):
            await Cluster.launch(5, network="virtual", latency=lambda rng: next(draws, NAN))

    asyncio.run(whole())


ABANDONED = """
import asyncio
from p2pnb import Cluster

async def given_up(call):
    global drawn
    waiter, drawn = asyncio.ensure_future(call()), 0
    waiting.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        print("given up")

def latency(rng):
    global drawn
    drawn += 1
    if drawn == 500 and waiting:
        waiting.pop().cancel()
    return 0.05

drawn, waiting = 0, []

async def main():
    await given_up(lambda: Cluster.launch(50, network="virtual", seed=1, latency=latency))
    cluster = await Cluster.launch(20, network="virtual", seed=1, latency=latency)
    await given_up(lambda: cluster.advance(100_000))
    await cluster.close()

asyncio.run(main())
"""


def test_what_was_given_up_ends_without_a_word() -> None:
    ended = subprocess.run([sys.executable, "-c", ABANDONED], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("given up\ngiven up\n", "")
