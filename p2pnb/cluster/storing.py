"""A cluster's store: one directory for all its nodes, from which the same nodes come back.

The identity of each node is a key file of its own, by position; everything else is in the one file that `p2pnb.disk`
keeps. A store that does not belong to the nodes that are launched is refused, and left as it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2pnb.disk.rows import NODE_BYTES
from p2pnb.errors import StoreError
from p2pnb.peer.identity import Identity

if TYPE_CHECKING:
    from p2pnb.disk.disk import Disk


def open_store(path: Path, *, simulated: bool) -> Disk:
    """The store at `path`, for the running loop. In simulated time commits are made on the loop, and no real time passes.

    Raises `StoreError` where it cannot be used, or holds the records of nodes whose keys are not there.
    """
    from p2pnb.disk.disk import Disk  # noqa: PLC0415 (there is no SQLite in the browser)

    disk = Disk(path, wall=asyncio.get_running_loop().time, threads=False) if simulated else Disk(path, wall=time.time)
    try:
        ours = {bytes(Identity.load_or_create(file).uid[:NODE_BYTES]) for file in disk.path.glob("node-*.key")}
        if strangers := disk.nodes() - ours:
            raise StoreError(
                f"{disk.path} has records of the node {min(strangers).hex()[:8]}… but not its key: it was left as it is; give another path"
            )
    except BaseException:
        disk.close()
        raise
    return disk


def identity_at(disk: Disk, position: int, given: Identity | None, reason: str) -> Identity:
    """The identity of the node at `position`: the one kept, or else `given` or a new one, which is kept from now on.

    Raises `StoreError` when another one than `given` is kept; `reason` says who gave it.
    """
    file = disk.path / f"node-{position:04d}.key"
    try:
        kept = Identity.load_or_create(file, new=given)
    except OSError as error:
        if error.errno is None:  # a key that others may read
            raise
        raise StoreError(f"{file} cannot be created: {error.strerror}; see whether the disk is in order and has room") from error
    if given is not None and kept != given:
        raise StoreError(f"{disk.path} is the store of other nodes than {reason}: it was left as it is; leave out one of the two")
    return kept


def given_identity(position: int, identities: Sequence[Identity], seeded: Identity | None) -> tuple[Identity | None, str]:
    """Which identity a launch asks for, and by which of its arguments."""
    if position < len(identities):
        return identities[position], "`identities` names"
    return seeded, "`seed` makes"
