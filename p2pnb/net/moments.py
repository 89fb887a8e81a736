"""Moments: of all that is to happen at one time, one timer.

On a pretended wire with a fixed latency a thousand nodes are in step: what some hundred of them write at one moment arrives at one
moment. A timer for each would be most of what a message costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Moments:
    """What is to happen on `loop`, in the order in which it was asked for. None of it can be called off."""

    __slots__ = ("_loop", "_moments")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._moments: dict[float, list[tuple[Callable[..., None], tuple[Any, ...]]]] = {}

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Calls `call(*args)` at `when`, seconds on the loop's clock; soon, if that has passed."""
        moment = self._moments.get(when)
        if moment is not None:
            moment.append((call, args))
        elif when <= self._loop.time():
            self._loop.call_soon(call, *args)
        else:
            self._moments[when] = [(call, args)]
            self._loop.call_at(when, self._happen, when)

    def _happen(self, when: float) -> None:
        for call, args in self._moments.pop(when):
            try:
                call(*args)
            except Exception as error:
                self._loop.call_exception_handler({"message": f"{call!r} failed", "exception": error})
