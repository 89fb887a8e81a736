"""Whether a process leaks: samples of what it uses, and the trend in them.

Samples that follow each other are not independent, so a line is laid through the means of a dozen groups of them; its slope
has an interval, and only growth that is both more than chance and more than 10 % of the level an hour is called a leak. (One object
for every third operation, forty operations a second, would be that much in a process with half a million pieces of memory.)

What the system says of a process is not what the process uses: memory that was needed once stays with it, and a peak that is a little
higher than all before raises it for good. So the pieces of memory in use are counted too, when garbage in cycles has been
collected: books that fill up to their bound end to grow there, and a leak does not.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import sys
from dataclasses import dataclass

import numpy as np

GROUPS = 12
NOTICEABLE = 0.1  # of the level an hour: what is less is no leak
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4_096


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds since the start; bytes resident, pieces of memory in use, bytes that the stores keep, open descriptors, tasks.

    NaN is what the system does not say.
    """

    at: float
    memory: float
    pieces: float
    kept: float
    descriptors: float
    tasks: float


@dataclass(frozen=True, slots=True)
class Trend:
    """The level of something after the warm-up, and its slope an hour with the 95 % interval of it."""

    level: float
    slope: float
    low: float
    high: float

    @property
    def flat(self) -> bool:
        """Whether it does not grow: not by what can be told from chance and is more than 10 % of the level an hour."""
        return not (self.low > 0 and self.slope > NOTICEABLE * self.level)


def trend(at: list[float], level: list[float]) -> Trend:
    """The line through the means of groups of samples; `at` in seconds."""
    groups = [(np.mean(x), np.mean(y)) for x, y in zip(np.array_split(at, GROUPS), np.array_split(level, GROUPS), strict=True) if len(x)]
    if len(groups) < GROUPS:
        return Trend(float(np.mean(level)) if level else float("nan"), float("nan"), float("nan"), float("nan"))
    x, y = np.array(groups).T
    x = (x - x.mean()) / 3_600.0
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    error = float(np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))
    return Trend(float(y.mean()), slope, slope - 2.23 * error, slope + 2.23 * error)  # Student's t for ten degrees of freedom


def shown(found: Trend, unit: float = 1.0, name: str = "") -> str:
    """The level and the slope as text, in multiples of `unit`, which is called `name`."""
    if math.isnan(found.level):
        return "not measured"
    level = f"{found.level / unit:.0f}{name}"
    if math.isnan(found.slope):
        return f"{level}, too short for a trend"
    half = (found.high - found.low) / 2 / unit
    slope = round(found.slope / unit, 1) + 0.0  # never -0.0
    return f"{level}, {slope:+.1f} ± {half:.1f}{name} an hour, {'flat' if found.flat else 'GROWING'}"


def sample(at: float, kept: float) -> Sample:
    """How much this process uses, now; `kept`: bytes that its stores keep."""
    memory = descriptors = float("nan")
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm", encoding="ascii") as file:
            memory = float(file.read().split()[1]) * PAGE
        descriptors = float(len(os.listdir("/proc/self/fd")))
    gc.collect()
    return Sample(at, memory, float(sys.getallocatedblocks()), kept, descriptors, float(len(asyncio.all_tasks())))
