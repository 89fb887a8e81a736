"""How a cluster shows itself: as text, as the card that a cell ends with, and as live widgets.

A widget gets plain functions that read the cluster, and the cluster's stage (`base.py`), which looks and sends.
"""

from __future__ import annotations

from typing import Any

from p2pnb.cluster.sights import Sights
from p2pnb.views import cards
from p2pnb.views.trie import trie
from p2pnb.words import counted


class Shown(Sights):
    """What of a `Cluster` displays it."""

    def _summary(self) -> dict[str, Any]:
        members = self._network.members
        alive = len(self._network.living)
        return {
            "nodes": len(members),
            "alive": alive,
            "network": self._kind,
            "name": self._network.settings.name,
            "host": self._network.settings.host,
            "encryption": self._network.settings.encryption,
            "k": self.k,
            "alpha": self._network.settings.alpha,
            "replication": self._network.settings.replication,
            "seed": self._network.seed,
            "store": None if self._network.settings.store is None else str(self._network.settings.store),
            "closed": self._closed,
        }

    def __repr__(self) -> str:
        summary = self._summary()
        several = counted(summary["nodes"], "node")
        if self._closed:
            return f"<cluster of {several}, closed>"
        dead = summary["nodes"] - summary["alive"]
        return f"<cluster of {several} on {self._kind}{f', {dead} killed' if dead else ''}: k={self.k}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        summary = self._summary()
        if self._closed:
            return cards.mimebundle(*cards.cluster_card(summary))
        rows, counts = self._on_thread(lambda: (self._rows(), self._counts()))
        summary |= counts
        summary["requests"] = sum(row["requests_out"] for row in rows)
        summary["complete"] = all(row["contacts"] >= summary["alive"] - 1 for row in rows if row["alive"])
        return cards.mimebundle(*cards.cluster_card(summary, picture=trie(rows)))
