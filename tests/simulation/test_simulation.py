"""Simulated runs, each drawn from its seed. A failure prints the command that replays it with its trace."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation import planted
from tests.simulation.planting import PLANTED
from tests.simulation.scenario import MODES, Run

QUICK = range(1)
SEEDS = range(100)  # in each mode
ENOUGH = 60  # seeds within which every planted bug must be found


def failure(seed: int, mode: str) -> str:
    """What is wrong with a run, and how to see it; empty if nothing is."""
    try:
        Run(seed, mode).go()
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.400}\nreplay it: python -m tests.simulation {seed} --mode {mode}"
    return ""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", QUICK)
def test_nothing_goes_wrong_in_a_few_runs(seed: int, mode: str) -> None:
    assert not (why := failure(seed, mode)), why


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_nothing_goes_wrong_in_many_runs(mode: str) -> None:
    """On all processors; the seeds of the quick run are left out."""
    seeds = range(QUICK.stop, SEEDS.stop)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        failed = [why for why in pool.map(failure, seeds, [mode] * len(seeds), chunksize=5) if why]
    assert not failed, "\n\n".join(failed)


def digest(seed: int, mode: str) -> str:
    run = Run(seed, mode)
    run.go()
    return f"{run.trace.digest} {run.trace.requests}"


@pytest.mark.parametrize("mode", ["safety", pytest.param("liveness", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_run(mode: str) -> None:
    assert digest(5, mode) == digest(5, mode) != digest(6, mode)


def in_a_process_of_its_own(hash_seed: str, plant: str = "") -> str:
    """The last line of a replay there: it has the digest of the run."""
    run = "import sys; sys.argv = ['', '5', '--mode', 'safety']; import runpy; runpy.run_module('tests.simulation', run_name='__main__')"
    code = f"{plant}\n{run}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_neither_the_process_nor_its_hashes_change_a_run() -> None:
    assert in_a_process_of_its_own("1") == in_a_process_of_its_own("2")


@pytest.mark.slow
def test_chance_that_no_seed_decides_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for _ in range(2):
        planted.unseeded_chance(monkeypatch)
        digests.add(digest(5, "safety"))
    assert len(digests) == 2
    hashed = "import pytest; from tests.simulation import planted; planted.a_hash_decides(pytest.MonkeyPatch())"
    assert in_a_process_of_its_own("1", hashed) != in_a_process_of_its_own("2", hashed)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, first, planting = PLANTED[name]
    planting(monkeypatch)
    for seed in (first, *range(ENOUGH)):  # the one that found it last time, to save time
        if failure(seed, mode):
            return
    pytest.fail(f"{ENOUGH} runs did not find it: {name}")
