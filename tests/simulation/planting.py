"""The list of bugs that are planted on purpose, to prove that the net catches fish.

Each patches the code under test for the length of one test. They are mistakes that people make: a check left out, a comparison turned
round, something done too often, too early or never.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

Patch = pytest.MonkeyPatch
PLANTED: dict[str, tuple[str, int, Callable[[Patch], None]]] = {}  # name -> the mode and the seed that found it, and what plants it


def plant(mode: str, seed: int = 0) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def entered(planting: Callable[[Patch], None]) -> Callable[[Patch], None]:
        PLANTED[planting.__name__] = mode, seed, planting
        return planting

    return entered
