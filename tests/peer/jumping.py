"""An event loop whose time jumps: hours of timers in a moment, for tests of what waits."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _JumpSelector(selectors.SelectSelector):
    """Instead of waiting, lets the clock jump to where the waiting would have ended."""

    loop: JumpLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not ready and timeout is not None and timeout > 0:
            self.loop.clock += timeout
        return ready


class JumpLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits."""

    def __init__(self) -> None:
        self.clock = 1_000.0
        selector = _JumpSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock
