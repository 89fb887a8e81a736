"""Runs simulations: `python -m tests.simulation 1234 --mode safety` replays one, with its trace; `--seeds 0:10000` runs many.

The nightly run is `python -m tests.simulation --seeds 0:10000 --mode both --jobs 2`. It goes on after a failure, prints for
each the command that replays it, and ends with status 1 if there was any.
"""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.scenario import MODES, Run

TOLD = 100  # seeds between two words on how far it has come: from there it can be taken up again


def replay(seed: int, mode: str) -> int:
    run = Run(seed, mode)
    try:
        run.go()
    except BaseException as error:
        print("\n".join(run.trace.lines))
        if not isinstance(error, AssertionError):
            traceback.print_exc()
        print(f"\nseed {seed}, {mode}: {type(error).__name__}: {error}")
        return 1
    print("\n".join(run.trace.lines))
    print(f"\nseed {seed}, {mode}: all is well; {run.trace.requests} requests, trace {run.trace.digest}")
    return 0


def failure(seed: int, mode: str) -> str:
    """What is wrong with a seed, and how to see it; empty if nothing is."""
    try:
        Run(seed, mode).go()
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.300}\n    python -m tests.simulation {seed} --mode {mode}"
    return ""


def many(seeds: range, modes: tuple[str, ...], jobs: int) -> int:
    began, failed = time.perf_counter(), 0
    with ProcessPoolExecutor(jobs) as pool:
        for mode in modes:
            for seed, why in zip(seeds, pool.map(partial(failure, mode=mode), seeds, chunksize=4), strict=True):
                if seed % TOLD == TOLD - 1:
                    print(f"{mode}: up to {seed}, {failed} failed, {time.perf_counter() - began:.0f} s", flush=True)
                if why:
                    failed += 1
                    print(why, flush=True)
    total = len(seeds) * len(modes)
    seconds = time.perf_counter() - began
    print(f"{total - failed} of {total} runs are well; {seconds:.0f} s, {total / seconds:.2f} runs a second")
    return min(failed, 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="the one to replay")
    parser.add_argument("--mode", choices=(*MODES, "both"), default="both")
    parser.add_argument("--seeds", metavar="FIRST:END", help="run all of these instead")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    logging.getLogger("p2pnb").setLevel(logging.ERROR)  # faults are made on purpose here: what peers warn of is no news
    asked = parser.parse_args()
    modes = MODES if asked.mode == "both" else (asked.mode,)
    if asked.seeds is not None:
        first, end = map(int, asked.seeds.split(":"))
        return many(range(first, end), modes, asked.jobs)
    if asked.seed is None:
        parser.error("give a seed to replay, or --seeds 0:200")
    return max(replay(asked.seed, mode) for mode in modes)


sys.exit(main())
