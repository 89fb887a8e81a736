"""Figures for the benchmarks of whole clusters: each measured once a session, in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import pytest
from measure import Figures, apart

Measured = Callable[..., Figures]


@pytest.fixture(scope="session")
def measured() -> Measured:
    """`measured(system, work, nodes)`: the figures of that work, from the first time it was asked for."""

    @cache
    def once(system: str, work: str = "operations", nodes: int = 200) -> Figures:
        if system != "p2pnb" and importlib.util.find_spec(system) is None:
            pytest.skip(f"{system} is not installed: pip install -e '.[bench]'")
        return apart(system, nodes, work)

    return once
