"""An event loop whose time jumps: while everybody waits, the clock moves on to the moment when the first one wakes.

An hour of upkeep takes as long as its work does, a deadline is exact, and on a `MemoryNetwork` the same seed gives the
same run. The code that runs on it is the code that runs on any loop.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _JumpSelector(selectors.SelectSelector):
    """Instead of waiting, lets the clock jump to where the waiting would have ended."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout is not None and timeout > 0:
            self.loop.clock += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits."""

    def __init__(self) -> None:
        self.clock = 1_000.0
        selector = _JumpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock
