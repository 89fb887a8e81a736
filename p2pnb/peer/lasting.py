"""What of a peer outlives its process besides the records that it holds for others: what it published and renews, the
versions that it pinned, and the contacts it knew.

A peer without a disk remembers the same for as long as it lives. Contacts come back as hearsay: an address may be
somebody else's by now, so `Peer.recall` asks each for its uid before the table has it. They are written when they changed,
once a minute at most and at an orderly end.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from p2pnb.dht.signature import version_holds
from p2pnb.disk.part import Part
from p2pnb.disk.rows import (
    CONTACTS,
    NODE,
    NODE_BYTES,
    PIN,
    PUBLISHED,
    Name,
    Pin,
    Published,
    pin_at,
    pin_body,
    pin_of,
    published_at,
    published_body,
    published_of,
)
from p2pnb.errors import StoreError
from p2pnb.uid import Key, short
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Version
from p2pnb.wire.sexp import dumps, loads

if TYPE_CHECKING:
    from p2pnb.disk.disk import Disk

log = logging.getLogger("p2pnb.peer")

MOST_PINS = 1_024
Place = Part | str | os.PathLike[str]  # a node's part of a store, or the directory of one that is its own


class Lasting:
    """The memory of the peer `uid`: on disk where there is a `store` (a directory, or a node's part of one), else only here.

    Raises `StoreError` when the store cannot be used, holds other peers, or was written in a network of another name.
    """

    def __init__(self, store: Place | None, uid: Key, network: str, clock: Callable[[], float]) -> None:
        self.published: dict[Name, Published] = {}  # what this peer set itself, and renews
        self.pins: OrderedDict[Name, Version] = OrderedDict()  # the one used last at the end
        self.contacts: list[Contact] = []  # known in an earlier life
        self._clock = clock
        self._network = network
        self._own: Disk | None = None
        self._saved: frozenset[Contact] = frozenset()
        if store is None or isinstance(store, Part):
            self.part = store
        else:
            from p2pnb.disk.disk import Disk  # noqa: PLC0415 (there is no SQLite in the browser)

            self._own = Disk(store, clock=clock)
            self.part = self._own_part(self._own, uid)
        if self.part is not None:
            try:
                self._load(self.part)
            except BaseException:
                self.stop()
                raise

    def _own_part(self, disk: Disk, uid: Key) -> Part:
        others = [node for node in disk.nodes() if node != uid[:NODE_BYTES]]
        if others:
            disk.close()
            theirs = f"is the store of the node {others[0].hex()[:8]}…, not of {short(uid)}"
            raise StoreError(f"{disk.path} {theirs}: it was left as it is; give another path")
        return disk.part(uid)

    def _load(self, part: Part) -> None:
        for each in part.found(NODE):
            network, *_ = loads(each.body)
            if network != self._network:
                wrong = f"the store was written in the network {network!r}, not {self._network!r}"
                raise StoreError(f"{wrong}: it was left as it is; launch with name={network!r}, or give another path")
        for each in part.found(PUBLISHED):
            self.published[Name(each.kind, each.name)] = published_of(each.name, each.body)
        for each in sorted(part.found(PIN), key=lambda found: found.moment):
            pin = pin_of(each.name, each.body)
            if version_holds(self._network, pin.public_key, pin.key, pin.version):
                self.pins[pin_at(pin)] = pin.version
        for each in part.found(CONTACTS):
            self.contacts = [contact(ip, port, uid) for ip, port, uid in loads(each.body)]
            self._saved = frozenset(self.contacts)

    # --- what is to last ----------------------------------------------------------------------------------------------------

    def listens_at(self, address: tuple[str, int] | None) -> None:
        """Notes where this peer is, for its next life, and in which network."""
        ip, port = address or ("", 0)
        self._write(Name(NODE, b""), partial(dumps, [self._network, ip, port]))

    async def publish(self, request: Published) -> None:
        """From now on this peer renews `request`, also after a restart."""
        name = published_at(request)
        self.published[name] = request
        if self.part is not None:
            self._write(name, partial(published_body, request))
            if not await self.part.flushed():
                log.warning("the disk failed: what was published now is renewed, but a restart would forget it until the disk works again")

    def pin(self, pin: Pin) -> None:
        """This reader asked for that version by its signature: it is kept, whatever becomes of its replicas."""
        name = pin_at(pin)
        if name not in self.pins:
            self._write(name, partial(pin_body, pin))
        self.pins[name] = pin.version
        self.pins.move_to_end(name)
        if len(self.pins) > MOST_PINS:
            forgotten, _ = self.pins.popitem(last=False)
            if self.part is not None:
                self.part.delete(forgotten)

    def pinned(self, public_key: bytes, key: int, signature: bytes) -> Version | None:
        """The version with this signature, if it was pinned before."""
        return self.pins.get(pin_at(Pin(public_key, key, Version(b"", signature, 0))))

    def met(self, contacts: Iterable[Contact]) -> None:
        """Saves the contacts, where they changed."""
        if self.part is None:
            return
        self.part.tell_time()
        known = frozenset(contacts)
        if known and known != self._saved:
            self._saved = known
            self._write(Name(CONTACTS, b""), partial(_contacts, list(known)))

    def _write(self, name: Name, body: Callable[[], bytes]) -> None:
        if self.part is not None:
            now = self._clock()
            self.part.write(name, lambda: (now, body))

    # --- ending -------------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends it at once: what was not acknowledged may be lost. Idempotent."""
        if self.part is not None:
            self.part.close()
        if self._own is not None:
            self._own.close()

    async def flushed(self) -> None:
        """Waits until all that was to be written is on the disk, or the disk failed."""
        if self.part is not None:
            await self.part.flushed()


def address_before(part: Part) -> tuple[str, int] | None:
    """Where the node was in its earlier life."""
    for each in part.peek(NODE):
        _, ip, port = loads(each.body)
        return (ip, port) if port else None
    return None


def _contacts(contacts: list[Contact]) -> bytes:
    return dumps([[each.ip, each.port, each.uid] for each in sorted(contacts, key=lambda each: each.uid or 0)])
