"""The draft's peer: `Peer(uid, recv, send, replication)` and its procedures, on any carrier, one to one.

`peer-bag-popular-at` is `bag_popular_at` here, and so on. This file has the constructor and the initialization procedures;
`values.py`, `bags.py` and `namespaces.py` have the procedures on records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from p2pnb import spec
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.errors import P2PError, PeerUnreachable
from p2pnb.net.contract import Recv, Send
from p2pnb.peer.bags import Bags
from p2pnb.peer.filling import fill
from p2pnb.peer.namespaces import Namespaces
from p2pnb.peer.upkeep import Upkeep
from p2pnb.peer.values import Values
from p2pnb.uid import as_key, short
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Peers
from p2pnb.words import counted

ENOUGH = 3  # contacts of an earlier life that answered: through them a peer finds the others


class Peer(Values, Bags, Namespaces):
    """A peer of the network (the draft, `(peer uid recv send replication)`).

    `uid` is 32 random bytes, to be kept for future use. `recv` and `send` are the carrier, as `p2pnb.net.contract` says.
    `replication`, 5 to 20, is how many nearest peers a record is written to. `k`, 2 to 20, is the size of a bucket and
    `alpha` how many requests a lookup keeps under way. Records signed for another `network` do not hold here. `address`
    is where it can be reached, if it knows; `listens=False` makes a client, which holds no records. `rng` and `clock`
    are all it takes of chance and time (a clock that is set back stands still); `store`, a directory, is where all that it
    keeps outlives its process (by default it is in memory); `log` is given an `Event` for each request, with the messages
    themselves where its cause is among `words`. With `codec=False`, `send` is given messages as they are, not as data. With
    `upkeep=False` it does nothing unasked. Make it inside a running event loop: it begins to receive at once. `close()` it
    when done.

    Raises `ValueError` for a uid, replication, k or alpha out of range, `StoreError` for a store that is in use, another
    peer's or newer, `RuntimeError` where no event loop runs.

    Example: `peer = Peer(uid, recv, send)`.
    """

    def __init__(
        self, uid: bytes | str, recv: Recv, send: Send, replication: int = spec.REPLICATION, *, upkeep: bool = True, **options: Any
    ) -> None:
        super().__init__(uid, recv, send, replication, **options)
        self.upkeep = Upkeep(self) if upkeep else None

    def __repr__(self) -> str:
        where = f" at {self.address[0]}:{self.address[1]}" if self.address else ""
        has = f"{counted(len(self.table), 'contact')}, {counted(len(self.store), 'record')}"
        return f"<Peer {short(self.uid)}{where}: {has}>"

    # --- the draft's initialization procedures ------------------------------------------------------------------------

    async def connect(self, ip: str, port: int) -> bool:
        """Makes sure that this peer knows the peer at `ip` and `port` (the draft, `peer-connect`).

        Sends `iam`; True on success. After a False, `peer.last.reason` says why.

        Example: `await peer.connect("192.168.1.5", 9000)`.
        """
        report = self._begin("connect")
        try:
            await self.greet(ip, port)
        except P2PError as error:
            report.reason = str(error)
            return False
        return True

    async def bootstrap(self, *, far: bool = True) -> None:
        """Fills the routing table from the peers it knows (the draft, `peer-bootstrap`).

        First the surroundings, by a lookup of its own uid that dials few and ends when the 8 nearest have answered; then, unless
        `far` is False, each bucket farther away than those 8 (than the `k` nearest, where k is smaller) that still has room is
        filled, as `fill` says. Raises `PeerUnreachable` when it knows nobody, or nobody whom it knows answers.

        Example: `await peer.bootstrap()`.
        """
        self._begin("bootstrap")
        if not len(self.table) and not await self.recall():
            raise PeerUnreachable("this peer knows nobody yet: await peer.connect(ip, port) first")
        found = await self.search(self.own, Peers(self.own), want=spec.JOIN_NEAREST, thrifty=True)
        if not found.lookup.nearest:
            raise PeerUnreachable("none of the peers it knows answered: await peer.connect(ip, port) to a live one")
        if far:
            await self.fill()

    async def fill(self) -> None:
        """Meets contacts for each bucket that a lookup of its own uid left with room, the farthest one first.

        Afterwards each of them is full, or holds all that a lookup of a random uid in it has found: what a join by the Kademlia
        paper (section 2.3) gives, which refreshes all buckets farther away than the nearest neighbour.

        Example: `await peer.fill()`.
        """
        near = min(spec.JOIN_NEAREST, self.k)  # of its surroundings a table with small buckets knows less
        far: list[int] = []
        while more := [bucket for bucket in self.table.far_buckets(near) if bucket not in far]:
            for bucket in more:
                if bucket in more[-2:] and self.table.room(bucket, nearer=True) > 0:  # there are so few that one reply names all of them
                    await fill(self, bucket, nearer=True)
                    if self.table.room(bucket, nearer=True) > 0:
                        break
                await fill(self, bucket)
            far += more
            if not self.table.room(more[-1]) and self.table.beyond(more[-1]) < near:  # who joined in a crowd may have missed its neighbours
                await self.search(self.own, Peers(self.own), want=spec.JOIN_NEAREST, thrifty=True)
        for bucket in far[:-1]:
            if self.table.room(bucket) > min(map(self.table.room, far[bucket + 1 :])):  # though it covers more than all those together
                await fill(self, bucket)

    async def recall(self, besides: Collection[int] = ()) -> int:
        """Asks the contacts of an earlier life, kept in the store, whether they are there; how many have answered.

        Returns when three have, or all were asked; those that are slow go on being asked. `besides`: uids not to be asked.

        Example: `await peer.recall()`.
        """
        known = [each for each in self.lasting.contacts if each.uid not in besides]
        self.rng.shuffle(known)
        left, answered, settled = len(known[: spec.MAX_DIALS]), 0, asyncio.Event()

        async def ask(whom: Contact) -> None:
            nonlocal left, answered
            try:
                await self.greet(*whom.address)
                answered += 1
            finally:
                left -= 1
                if not left or answered >= ENOUGH:
                    settled.set()

        for each in known[: spec.MAX_DIALS]:
            self.spawn(ask(each))
        if left:
            await settled.wait()
        return answered

    async def lookup(self, target: bytes | str, *, want: int | None = None) -> Lookup | PolicyLookup:
        """The `want` peers nearest to `target` (default: k), found by asking ever nearer ones. Returns the finished lookup.

        Example: `found = await peer.lookup(key)`.
        """
        self._begin("lookup")
        key = as_key(target, "the target of a lookup").int
        return (await self.search(key, Peers(key), want=want or self.k)).lookup

    def stop(self) -> None:
        """Ends what is under way, at once; requests that are open fail. The carrier is not closed. Idempotent."""
        if self.upkeep is not None:
            self.upkeep.stop()
        super().stop()

    async def close(self) -> None:
        """As `stop`, and waits until every task has ended.

        Example: `await peer.close()`.
        """
        await super().close()
        if self.upkeep is not None:
            await self.upkeep.ended()
