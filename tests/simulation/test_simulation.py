"""Simulated runs, each drawn from its seed. A failure prints the command that replays it with its trace."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from p2pnb.dht.bucket import Row
from p2pnb.wire.contact import contact
from tests.simulation import planted, planted_links, planted_records
from tests.simulation.invariants import Violation
from tests.simulation.planting import PLANTED
from tests.simulation.scenario import MODES, Run
from tests.simulation.watching import Watch

QUICK = range(1)
RICH = 31  # a run with disks, restarts that find what was written, churn, loss, and too few descriptors
KNOWN = [  # runs in which something was found wrong once
    ("safety", 641), ("safety", 750), ("liveness", 1024), ("liveness", 1254), ("liveness", 1444), ("liveness", 1537), ("liveness", 1542),
    ("safety", 2267),
]  # fmt: skip
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


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seed"), KNOWN)
def test_what_was_wrong_once_is_right(mode: str, seed: int) -> None:
    assert not (why := failure(seed, mode)), why


def test_a_run_ends_with_the_very_event_that_broke_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever node it was done to, and by whomever: each time something is done behind everybody's back before the next event."""
    broken = 3_000
    after = Watch._after

    def mischief(self: Watch, event: object) -> None:
        if self.events == broken:
            life = self.lives[4]
            stranger = contact("127.0.0.1", 9, life.peer.own ^ 1)
            life.peer.table._cache.append(255, Row(stranger, 0.0, 0, True))
        after(self, event)

    monkeypatch.setattr(Watch, "_after", mischief)
    run = Run(0, "safety")
    with pytest.raises(Violation, match=r"stands 127\.0\.0\.1:9, where that uid never was"):
        run.go()
    assert set(run.invariants.found.values()) == {broken + 1}
    assert run.invariants.watch.events > 3 * run.trace.requests, "a request is several events, and all were seen"


@pytest.mark.parametrize("mode", ["safety", pytest.param("liveness", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_run(mode: str) -> None:
    assert digest(5, mode) == digest(5, mode) != digest(6, mode)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_faults_churn_and_disks() -> None:
    runs = [Run(RICH, "safety") for _ in range(2)]
    for run in runs:
        run.go()
    for what in ("on disks", "Churn", "Loss", "Crash", "disk=True", "places for"):
        assert any(what in line for line in runs[0].trace.lines), what
    assert runs[0].trace.lines == runs[1].trace.lines
    assert runs[0].trace.digest == runs[1].trace.digest


def in_a_process_of_its_own(hash_seed: str, plant: str = "", seed: int = RICH) -> str:
    """The last line of a replay there: it has the digest of the run."""
    run = f"import runpy, sys; sys.argv = ['', '{seed}', '--mode', 'safety']; runpy.run_module('tests.simulation', run_name='__main__')"
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
    assert in_a_process_of_its_own("1", hashed, 5) != in_a_process_of_its_own("2", hashed, 5)


def test_bugs_of_every_part_are_planted() -> None:
    modules = [planting.__module__ for _, _, planting in PLANTED.values()]
    assert all(modules.count(each.__name__) >= 5 for each in (planted, planted_links, planted_records))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mode, first, planting = PLANTED[name]
    planting(monkeypatch)
    for seed in (first, *range(ENOUGH)):  # the one that found it last time, to save time
        if why := failure(seed, mode):
            assert not any(each in why for each in ("TypeError", "AttributeError", "NameError")), f"not the bug, but its patch: {why}"
            return
    pytest.fail(f"{ENOUGH} runs did not find it: {name}")
