"""What passed between nodes, made ready to be shown again slowly: a call on loopback is over in milliseconds.

Requests come as rows of `frames.events`, each when it is over. Those of one call are gathered until nothing new came of it for
a moment, and are then one replay: the requests in the order of asking, as arrays. The browser stretches them to the seconds
that the viewer wants. Upkeep is not replayed, it is only told which leaves it went between.

Pure: time is an argument, and nothing here sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Row = Mapping[str, Any]

UPKEEP = "upkeep"
QUIET = 0.15  # seconds without news of a call until it is taken to be over
LONGEST = 1.0  # seconds until what there is of a call is shown, though it goes on
MOST = 3000  # requests of one replay
MOST_FAINT = 200  # requests of upkeep shown at a time
STRANGER = 0xFFFF
ANSWERED, FAILED, FOUND = 0, 1, 2
RECORDS = frozenset({"value", "bag", "version", "stored"})  # kinds of replies that bring a record, or take one


@dataclass(slots=True)
class _Gathering:
    first: float
    last: float
    rows: list[Row] = field(default_factory=list)


class Replays:
    """Gathers requests by the call that caused them."""

    def __init__(self) -> None:
        self._calls: dict[str, _Gathering] = {}

    def feed(self, rows: Iterable[Row], now: float) -> list[dict[str, Any]]:
        """Takes the requests that are new; returns those replays that are complete, as `replay` makes them, and the upkeep."""
        faint: list[Row] = []
        for row in rows:
            if row["cause"] == UPKEEP:
                faint.append(row)
                continue
            call = self._calls.setdefault(row["cause"], _Gathering(now, now))
            call.rows.append(row)
            call.last = now
        over = [cause for cause, call in self._calls.items() if now - call.last >= QUIET or now - call.first >= LONGEST]
        ready = [replay(cause, self._calls.pop(cause).rows) for cause in over]
        if faint:
            ready.append(replay(UPKEEP, faint[-MOST_FAINT:]))
        return ready

    def __len__(self) -> int:
        """How many calls are being gathered."""
        return len(self._calls)


def replay(cause: str, rows: Iterable[Row]) -> dict[str, Any]:
    """One call's requests, in the order of asking.

    As bytes: `asked` and `took` in ms (float32; took -1: no reply came), `pairs` of positions (uint16, 65535: a stranger) and `kinds`
    (uint8: 0 answered, 1 failed, 2 a record). In words: `cause`, `node` (who asked), `count`, `failed`, `ms`, `verbs`.
    """
    steps = sorted(rows, key=lambda row: row["time"])[:MOST]
    began = steps[0]["time"] if steps else 0.0
    asked = np.array([1000 * (row["time"] - began) for row in steps], np.float32)
    took = np.array([-1 if row["rtt"] is None else 1000 * row["rtt"] for row in steps], np.float32)
    pairs = np.array([[_position(row["node"]), _position(row["peer"])] for row in steps], np.uint16)
    askers = Counter(row["node"] for row in steps)
    return {
        "cause": cause,
        "node": askers.most_common(1)[0][0] if len(askers) == 1 else None,
        "count": len(steps),
        "failed": int((took < 0).sum()),
        "ms": round(float((asked + np.maximum(took, 0)).max(initial=0)), 3),
        "verbs": dict(Counter(row["verb"] for row in steps).most_common()),
        "asked": asked.tobytes(),
        "took": took.tobytes(),
        "pairs": pairs.tobytes(),
        "kinds": bytes(_kind(row) for row in steps),
    }


def _position(node: int | None) -> int:
    return STRANGER if node is None or not 0 <= node < STRANGER else node


def _kind(row: Row) -> int:
    return FAILED if row["rtt"] is None else FOUND if row["outcome"] in RECORDS else ANSWERED
