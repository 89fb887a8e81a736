"""Live, encrypted Kademlia networks inside a notebook: `cluster = await Cluster.launch(20)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from p2pnb.cluster.cluster import Cluster
from p2pnb.cluster.extension import load_ipython_extension as load_ipython_extension
from p2pnb.cluster.extension import unload_ipython_extension as unload_ipython_extension
from p2pnb.cluster.run import run
from p2pnb.peer.identity import Author, Identity
from p2pnb.peer.peer import Peer
from p2pnb.uid import Key, key_of

if TYPE_CHECKING:
    from p2pnb.views.widgets.xor import XorSpace

__version__ = "0.1.0"
__all__ = ["Author", "Cluster", "Identity", "Key", "Peer", "key_of", "run", "xor_space"]


def xor_space(uids: Iterable[int] | int = 12, *, target: int | None = None, bits: int = 8, seed: int = 1) -> XorSpace:
    """A small space of uids to play with: drag the target, and the leaves shade by their XOR distance to it. Needs no cluster.

    `uids`: the nodes, numbers below 2**bits, or how many to draw with `seed`. `bits`: 3 to 8. Raises `ValueError`.

    Example: `xor_space([2, 3, 7, 12], target=6, bits=4)`.
    """
    from p2pnb.views.widgets import xor  # noqa: PLC0415 (loads ipywidgets)

    return xor.xor_space(uids, target=target, bits=bits, seed=seed)
