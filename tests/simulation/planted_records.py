"""Bugs of what is kept, handed on and written to disks, planted on purpose."""

from __future__ import annotations

from typing import Any

from p2pnb import spec
from p2pnb.dht import namespaces
from p2pnb.dht.bags import BagStore
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.quota import Ledger, Quota
from p2pnb.dht.store import Record, Store
from p2pnb.dht.values import ValueStore
from p2pnb.disk.part import Part
from p2pnb.peer import upkeep
from p2pnb.peer.core import Core
from p2pnb.peer.lasting import Lasting
from p2pnb.peer.upkeep import Upkeep
from tests.simulation.planting import Patch, plant


@plant("liveness", 15)
def what_is_handed_on_is_deleted_before_anybody_took_it(patch: Patch) -> None:
    hand_on = Upkeep._hand_on

    async def hasty(self: Upkeep, key: int, now: float) -> None:
        peer = self._peer
        if peer.table.nearer(key, peer.own, now) >= spec.ACCEPTORS:
            peer.store.drop(key)
        await hand_on(self, key, now)

    patch.setattr(Upkeep, "_hand_on", hasty)


@plant("safety")
def a_full_store_takes_more(patch: Patch) -> None:
    take = Quota.take

    def generous(self: Quota, size: int, now: float, publisher: int | None, group: str | None, *, leaving: int = 0) -> bool:
        if not take(self, size, now, publisher, group, leaving=leaving):
            self.used += size
        return True

    patch.setattr(Quota, "take", generous)


@plant("safety", 3)
def an_allowance_is_never_used_up(patch: Patch) -> None:
    patch.setattr(Ledger, "charge", lambda self, who, size, now: None)


@plant("safety")
def a_hand_over_makes_young_again(patch: Patch) -> None:
    put = ValueStore.put

    def renewing(self: ValueStore, key: int, value: bytes, now: float, *, age: int | None = None, **whose: Any) -> bool:
        return put(self, key, value, now, age=None if key in self._records else age, **whose)

    patch.setattr(ValueStore, "put", renewing)


@plant("liveness", 1)
def an_old_age_is_told_again(patch: Patch) -> None:
    record = Store.record
    told: dict[Any, Any] = {}

    def remembered(self: Store, key: int, now: float) -> Record | None:
        found = record(self, key, now)
        if found is not None and found.requests:
            return told.setdefault((id(self), key, len(found.requests)), found)
        return found

    patch.setattr(Store, "record", remembered)


@plant("liveness", 110)
def what_waits_for_its_turn_grows_no_older(patch: Patch) -> None:
    patch.setattr(upkeep, "older", lambda request, elapsed: request)


@plant("safety", 13)
def of_two_equal_versions_the_smaller_is_the_newer(patch: Patch) -> None:
    patch.setattr(namespaces, "_rank", lambda version: (version.sequence, bytes(255 - each for each in version.value), version.signature))


@plant("liveness", 27)
def a_vote_counts_twice_after_a_restart(patch: Patch) -> None:
    restore = BagStore.restore

    def doubled(self: BagStore, kept: Any, now: float) -> bool:
        if kept.publisher is not None:
            restore(self, kept._replace(publisher=kept.publisher ^ 1), now)
        return restore(self, kept, now)

    patch.setattr(BagStore, "restore", doubled)


@plant("liveness", 5)
def what_was_published_is_forgotten_in_a_restart(patch: Patch) -> None:
    load, adopt = Lasting._load, Core.adopt

    def forgetful(self: Lasting, part: Part) -> None:
        load(self, part)
        self.published.clear()

    patch.setattr(Lasting, "_load", forgetful)
    patch.setattr(Core, "adopt", lambda self, store, published: adopt(self, store, {}))


@plant("liveness", 27)
def it_is_said_to_be_written_and_is_not(patch: Patch) -> None:
    write = Part.write

    def lazy(self: Part, name: Any, look: Any) -> Deferred[bool]:
        if name.name[:1] > b"\x40":
            return write(self, name, look)
        done: Deferred[bool] = Deferred()
        done.resolve(True)
        return done

    patch.setattr(Part, "write", lazy)
