"""Runs simulations: `python -m tests.simulation 1234 --mode safety` replays one, with its trace; `--seeds 0:10000` runs many.

The nightly run is `python -m tests.simulation --seeds 0:10000 --mode both --jobs 2`. It goes on after a failure, prints for
each the command that replays it, and ends with status 1 if there was any, with 2 for arguments that say nothing, and with 130 after
Ctrl-C, when it says how far it came.
"""

# ruff: noqa: T201 (a command prints)

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.scenario import MODES, Run

INTERRUPTED = 130  # the status of what Ctrl-C has ended, as a shell gives it
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
    began, done, failed = time.perf_counter(), 0, 0
    pool = ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))  # Ctrl-C is for the one here
    try:
        for mode in modes:
            for seed, why in zip(seeds, pool.map(partial(failure, mode=mode), seeds, chunksize=4), strict=True):
                done += 1
                if seed % TOLD == TOLD - 1:
                    print(f"{mode}: up to {seed}, {failed} failed, {time.perf_counter() - began:.0f} s", flush=True)
                if why:
                    failed += 1
                    print(why, flush=True)
        status = min(failed, 1)
    except KeyboardInterrupt:
        print(f"interrupted after {done} of {len(seeds) * len(modes)} runs")
        status = INTERRUPTED
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    seconds = time.perf_counter() - began
    print(f"{done - failed} of {done} runs are well; {seconds:.0f} s, {done / seconds:.2f} runs a second")
    return status


def some_seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    try:
        seeds = range(int(first), int(end)) if colon else range(0)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"seeds are FIRST:END, such as 0:200, and not {text!r}")
    return seeds


def some_jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"jobs are 1 or more, and not {text!r}")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="the one to replay")
    parser.add_argument("--mode", choices=(*MODES, "both"), default="both")
    parser.add_argument("--seeds", type=some_seeds, metavar="FIRST:END", help="run all of these instead")
    parser.add_argument("--jobs", type=some_jobs, default=1, help="processes")
    logging.getLogger("p2pnb").setLevel(logging.ERROR)  # faults are made on purpose here: what peers warn of is no news
    asked = parser.parse_args()
    modes = MODES if asked.mode == "both" else (asked.mode,)
    if (asked.seed is None) == (asked.seeds is None):
        parser.error("give a seed to replay, or --seeds 0:200")
    if asked.seeds is not None:
        return many(asked.seeds, modes, asked.jobs)
    return max(replay(asked.seed, mode) for mode in modes)


sys.exit(main())
