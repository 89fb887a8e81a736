"""What `cluster.faults(...)` returns: faults that are on, what came of them, and the end of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from p2pnb.cluster.base import Base
from p2pnb.cluster.faults import Fault
from p2pnb.cluster.injection import Active
from p2pnb.errors import ClusterClosed
from p2pnb.views import cards, frames
from p2pnb.views.frames import Frame


class Faults(list[Fault]):
    """Faults of one cluster: a list of them. `stop()` mends them; `frame()` is what happened. `with` mends them at its end."""

    def __init__(self, cluster: Base, actives: Iterable[Active], *, everything: bool = False) -> None:
        self._cluster = cluster
        self._actives = list(actives)
        self._everything = everything
        super().__init__(active.fault for active in self._actives)

    def stop(self) -> None:
        """Mends these faults: wires are as before, liars honest, and who was killed comes back in the background. Repeating it is fine."""
        self._cluster._on_thread(self._cluster._network.injection.end, self._actives)

    def frame(self) -> Frame:
        """One row a happening: `time_s` since the launch, `fault`, `what`, `node` (none: everybody), `peer`.

        Of `cluster.faults().frame()`: all that ever happened.
        """
        return frames.faults(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        numbers = {active.number for active in self._actives}
        happened = self._cluster._on_thread(lambda: list(self._cluster._network.injection.happened))
        return [row for row in happened if self._everything or row["number"] in numbers]

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        on = [str(active.fault) for active in self._actives if not active.over]
        over = len(self._actives) - len(on)
        return f"<faults: {', '.join(on) or 'none'}{f'; {over} mended' if over else ''}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        try:
            rows = self._rows()
        except ClusterClosed:
            rows = []
        happened: dict[str, int] = {}
        for row in rows:
            happened[row["what"]] = happened.get(row["what"], 0) + (row["what"] not in ("begins", "ends"))
        summary = {
            "faults": [(str(active.fault), active.over) for active in self._actives],
            "happened": {what: count for what, count in happened.items() if count},
        }
        return cards.mimebundle(*cards.faults_card(summary))
