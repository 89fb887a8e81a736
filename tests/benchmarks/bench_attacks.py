"""What attacks cost those who are attacked, in wall time: any megabyte is read within 100 ms.

    pytest tests/benchmarks/bench_attacks.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import process_time
from typing import Any

from p2pnb.wire.sexp import SexpError, loads

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))
from worst import WORST


def seconds_to_read(text: bytes) -> float:
    best = float("inf")
    for _ in range(5):
        start = process_time()
        try:
            loads(text)
        except SexpError:
            pass
        best = min(best, process_time() - start)
    return best


def test_any_megabyte_is_read_within_100_ms(benchmark: Any) -> None:
    figures: dict[str, float] = {}
    benchmark.pedantic(lambda: figures.update({name: seconds_to_read(text) for name, text in WORST.items()}), rounds=1, iterations=1)
    slowest = sorted(figures, key=figures.__getitem__, reverse=True)[:5]
    benchmark.extra_info.update({f"{name}, ms": round(figures[name] * 1e3, 1) for name in slowest})
    assert figures[slowest[0]] < 0.1, slowest[0]
