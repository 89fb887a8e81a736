"""Bugs of every part, planted on purpose."""

from __future__ import annotations

import random
from typing import Any

from p2pnb import spec
from p2pnb.dht import namespaces
from p2pnb.dht.bags import BagStore
from p2pnb.dht.expiry import Expiries
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.namespaces import NamespaceStore
from p2pnb.dht.quota import Quota
from p2pnb.dht.values import ValueStore
from p2pnb.errors import P2PError
from p2pnb.net.ends import MemoryTransport
from p2pnb.peer import namespaces as procedures
from p2pnb.peer import upkeep, values
from p2pnb.peer.core import Core
from p2pnb.peer.requests import Requests
from p2pnb.peer.search import Search
from p2pnb.peer.upkeep import Upkeep
from p2pnb.uid import Key, key_of
from p2pnb.wire.messages import Nearest, Version
from tests.simulation.planting import Patch, plant


@plant("safety", 47)
def the_hash_of_a_value_is_not_checked(patch: Patch) -> None:
    class Agreeable(Key):
        """A key that is equal to any other."""

        def __eq__(self, _: object) -> bool:
            return True

        __hash__ = Key.__hash__

    patch.setattr(values, "key_of", lambda value: Agreeable(key_of(value)))


@plant("liveness", 2)
def the_order_of_versions_is_reversed(patch: Patch) -> None:
    patch.setattr(namespaces, "_rank", lambda version: (-version.sequence, version.value, version.signature))


@plant("safety", 2)
def nothing_ever_expires(patch: Patch) -> None:
    patch.setattr(Expiries, "due", lambda self, now: iter(()))


@plant("safety", 2)
def quota_is_not_given_back(patch: Patch) -> None:
    patch.setattr(Quota, "give_back", lambda self, size: None)


@plant("safety", 10)
def whoever_was_named_enters_the_table(patch: Patch) -> None:
    answered = Search._answered

    def trusting(self: Search, whom: Any, outcome: Any) -> None:
        table = self._ask.__self__.table  # type: ignore[attr-defined]
        for hint in outcome.contacts if isinstance(outcome, Nearest) else ():
            table.seen(hint, self._clock(), dialled=False)
        answered(self, whom, outcome)

    patch.setattr(Search, "_answered", trusting)


@plant("liveness")
def a_request_may_take_50_seconds(patch: Patch) -> None:
    patch.setattr(spec, "REQUEST_TIMEOUT", 50.0)


@plant("liveness")
def a_reply_goes_to_the_newest_request(patch: Patch) -> None:
    received = Requests.received

    def mixed_up(self: Requests, item: Any) -> None:
        queue = self._unanswered.get(item.link)
        if queue:
            queue.rotate(1)
        received(self, item)

    patch.setattr(Requests, "received", mixed_up)


@plant("liveness", 3)
def what_is_handed_on_is_deleted_whoever_took_it(patch: Patch) -> None:
    hand_on = Upkeep._hand_on

    async def hasty(self: Upkeep, key: int, now: float) -> None:
        await hand_on(self, key, now)
        self._peer.store.drop(key)

    patch.setattr(Upkeep, "_hand_on", hasty)


@plant("liveness", 2)
def the_oldest_version_is_read(patch: Patch) -> None:
    def oldest(self: NamespaceStore, public_key: bytes, key: int, now: float, signature: bytes | None = None) -> Version | None:
        entry = self._entries.get(namespaces.point_of(public_key, key))
        return entry and entry.versions[0]

    patch.setattr(NamespaceStore, "get", oldest)


@plant("safety")
def upkeep_outlives_its_peer(patch: Patch) -> None:
    patch.setattr(Upkeep, "stop", lambda self: None)

    async def ended(self: Upkeep) -> None:
        pass

    patch.setattr(Upkeep, "ended", ended)


@plant("safety", 2)
def a_value_is_acknowledged_and_not_kept(patch: Patch) -> None:
    put = ValueStore.put

    def forgetful(self: ValueStore, key: int, value: bytes, now: float, **whose: Any) -> bool:
        return len(value) > 1_000 or put(self, key, value, now, **whose)

    patch.setattr(ValueStore, "put", forgetful)


@plant("liveness")
def the_nearest_come_last(patch: Patch) -> None:
    answered = Lookup.answered
    patch.setattr(Lookup, "answered", lambda self, n: answered(self, n)[::-1])


@plant("liveness")
def the_bag_of_another_key_is_read(patch: Patch) -> None:
    popular = BagStore.popular

    def mistaken(self: BagStore, key: int, now: float) -> Any:
        return popular(self, next(iter(self.keys()), key), now)

    patch.setattr(BagStore, "popular", mistaken)


@plant("liveness", 38)
def a_failed_write_ends_upkeep_for_good(patch: Patch) -> None:
    work = Upkeep._work

    async def once(self: Upkeep) -> None:
        try:
            await work(self)
        except P2PError:
            self._republish_at = float("inf")

    async def write(self: Upkeep, key: int, request: Any) -> Any:
        report = procedures.Report("upkeep", "upkeep")
        await self._peer.replicate(key, request, report)
        if report.stored < report.wanted:
            raise P2PError("not everybody took it")
        return report

    patch.setattr(Upkeep, "_work", once)
    patch.setattr(Upkeep, "_write", write)


@plant("safety")
def a_reset_is_never_delivered(patch: Patch) -> None:
    abort = MemoryTransport.abort

    def kept_open(self: MemoryTransport) -> None:
        if self.remote[1] % 5:
            abort(self)

    patch.setattr(MemoryTransport, "abort", kept_open)


@plant("safety", 10)
def a_mistake_in_a_message_goes_unnoticed(patch: Patch) -> None:
    take = Core._take

    def clumsy(self: Core, item: Any) -> None:
        if item.size % 211 == 0:
            raise ZeroDivisionError
        take(self, item)

    patch.setattr(Core, "_take", clumsy)


def unseeded_chance(patch: Patch) -> None:
    """Chance that no seed decides: no run goes wrong, but none can be replayed."""
    patch.setattr(upkeep, "TICK", random.SystemRandom().uniform(30.0, 60.0))


def a_hash_decides(patch: Patch) -> None:
    """The order of a set of texts, which is another one in each process."""
    patch.setattr(upkeep, "TICK", 30.0 + hash("chance") % 1_000 / 100)
