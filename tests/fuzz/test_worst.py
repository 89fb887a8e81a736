"""No message of a megabyte takes much memory, whatever it is; how long it takes is measured in `benchmarks/bench_attacks.py`."""

from __future__ import annotations

import tracemalloc

import pytest
from targets import parser
from worst import WORST

from p2pnb.spec import MAX_MESSAGE
from p2pnb.wire.sexp import SexpError, loads


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_a_megabyte_never_takes_twenty(name: str) -> None:
    text = WORST[name]
    tracemalloc.start()
    try:
        loads(text)
    except SexpError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.slow
def test_the_worst_are_what_they_are_called() -> None:
    """Most are full messages and most of them are read: what is refused at its first byte would prove nothing."""
    assert all(len(text) <= MAX_MESSAGE for text in WORST.values())
    assert sum(len(text) > 900_000 for text in WORST.values()) > 40
    assert sum(map(parser, WORST.values())) > 30
