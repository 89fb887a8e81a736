"""Moments: one timer for all that happens at one time."""

from __future__ import annotations

import asyncio
from typing import Any

from p2pnb.net.moments import Moments
from p2pnb.net.virtual import VirtualLoop


def test_everything_happens_at_its_time_and_in_the_order_in_which_it_was_asked_for() -> None:
    async def test() -> list[tuple[float, str]]:
        loop = asyncio.get_running_loop()
        moments, began, happened = Moments(loop), loop.time(), list[tuple[float, str]]()

        def note(what: str) -> None:
            happened.append((round(loop.time() - began, 3), what))

        for when, what in ((2.0, "c"), (1.0, "a"), (2.0, "d"), (1.0, "b"), (-1.0, "past")):
            moments.at(began + when, note, what)
        assert len(loop._timers) == 2  # type: ignore[attr-defined]
        moments.at(began + 1.0, lambda: moments.at(began + 2.0, note, "e"))
        moments.at(began + 1.0, lambda: moments.at(began + 1.0, note, "at once"))
        await asyncio.sleep(3.0)
        return happened

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(test()) == [(0.0, "past"), (1.0, "a"), (1.0, "b"), (1.0, "at once"), (2.0, "c"), (2.0, "d"), (2.0, "e")]


def test_what_fails_is_said_aloud_and_keeps_nothing_else_from_happening() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        errors, happened = list[dict[str, Any]](), list[str]()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        moments = Moments(loop)
        moments.at(loop.time() + 1.0, lambda: 1 / 0)
        moments.at(loop.time() + 1.0, happened.append, "after it")
        await asyncio.sleep(2.0)
        assert happened == ["after it"]
        assert [type(error["exception"]) for error in errors] == [ZeroDivisionError]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())
