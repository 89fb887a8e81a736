"""The clock of a peer that was given one: it never runs backwards, whatever is done to the one behind it.

Deadlines, ages and 24 hours are differences of two readings. A wall clock that is set back an hour would make each of them an hour
wrong: a request would wait that long for its 5 s to be over, and a hand-over state an age below 0. So a step back counts as no time,
and time goes on from there. A step forward cannot be told from time that has passed.
"""

from __future__ import annotations

from collections.abc import Callable


class Forward:
    """`clock`, without its steps back."""

    __slots__ = ("_clock", "_last", "_lost")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._lost = 0.0  # seconds, by all steps back

    def __call__(self) -> float:
        now = self._clock()
        if now < self._last:
            self._lost += self._last - now
        self._last = now
        return now + self._lost
