"""Bugs of links, requests and tables, planted on purpose."""

from __future__ import annotations

import asyncio
from typing import Any

from p2pnb import spec
from p2pnb.dht.bucket import Row
from p2pnb.dht.table import RoutingTable
from p2pnb.net.carrier import TICK, Sweep
from p2pnb.net.endpoint import Endpoint
from p2pnb.net.link import OPEN, RETIRED, Link
from p2pnb.peer.requests import Requests
from p2pnb.peer.search import Search
from p2pnb.peer.upkeep import Upkeep
from p2pnb.uid import common_prefix_length
from p2pnb.wire.messages import Nearest
from tests.simulation.planting import Patch, plant


@plant("safety", 202)
def what_was_lost_is_asked_again_and_again(patch: Patch) -> None:
    lost = Requests.lost

    def stubborn(self: Requests, link: Any) -> None:
        for asked in self._unanswered.get(link, ()):
            asked.again = False
        lost(self, link)

    patch.setattr(Requests, "lost", stubborn)


@plant("safety")
def a_link_is_used_after_its_reset(patch: Patch) -> None:
    ended = Endpoint.ended

    def unaware(self: Endpoint, link: Link, opened: bool, detail: str) -> None:
        known = self._by_uid.get(link.uid or 0)
        ended(self, link, opened, detail)
        if known is not None and not self.closed:
            self._by_uid[link.uid or 0] = known

    patch.setattr(Endpoint, "ended", unaware)


@plant("safety", 4)
def a_late_reply_is_taken_for_the_next_one(patch: Patch) -> None:
    close, sweep = Link.close, Requests._sweep

    def kept(self: Link, reason: str = "") -> None:
        if reason != "timeout":
            close(self, reason)

    def forgetful(self: Requests) -> None:
        sweep(self)
        for queue in self._unanswered.values():
            for asked in [each for each in queue if each not in self._open]:
                queue.remove(asked)

    patch.setattr(Link, "close", kept)
    patch.setattr(Requests, "_sweep", forgetful)


@plant("safety", 66)
def who_has_a_slow_clock_waits_twice_as_long(patch: Patch) -> None:
    sweep = Requests._sweep

    def coarse(self: Requests) -> None:
        sweep(self)
        if self._sweeper is not None and self.clock != self._loop.time:
            self._sweeper.cancel()
            self._sweeper = self._loop.call_later(spec.REQUEST_TIMEOUT, self._sweep)

    patch.setattr(Requests, "_sweep", coarse)


@plant("safety")
def whoever_was_named_waits_for_a_place(patch: Patch) -> None:
    answered = Search._answered

    def trusting(self: Search, whom: Any, outcome: Any) -> None:
        table = self._ask.__self__.table  # type: ignore[attr-defined]
        for hint in outcome.contacts if isinstance(outcome, Nearest) else ():
            bucket = common_prefix_length(table.own, hint.uid)
            if hint.uid not in table and table._cache.find(bucket, hint.uid) is None and hint.uid != table.own:
                table._cache.append(bucket, Row(hint, self._clock(), 0, True))
        answered(self, whom, outcome)

    patch.setattr(Search, "_answered", trusting)


@plant("safety", 1)
def a_full_bucket_takes_more(patch: Patch) -> None:
    admit = RoutingTable._admit

    def roomy(self: RoutingTable, bucket: int, row: Row) -> Any:
        start, end = self._live.span(bucket)
        if end - start == self.k:
            self._live.append(bucket, row)
            return None
        return admit(self, bucket, row)

    patch.setattr(RoutingTable, "_admit", roomy)


@plant("safety", 1)
def a_retired_link_never_ends(patch: Patch) -> None:
    def shelved(self: Link) -> None:
        if self._state == OPEN:
            self._state, self._since = RETIRED, self._endpoint.now()

    patch.setattr(Link, "retire", shelved)


@plant("safety")
def the_old_link_stays_beside_the_new_one(patch: Patch) -> None:
    patch.setattr(Link, "retire", lambda self: None)


@plant("safety")
def a_closed_link_is_never_let_go(patch: Patch) -> None:
    gone = Endpoint.gone

    def clinging(self: Endpoint, link: Link) -> None:
        if link.outbound or self.closed:
            gone(self, link)

    patch.setattr(Endpoint, "gone", clinging)


@plant("safety", 1)
def a_handshake_may_take_a_minute(patch: Patch) -> None:
    opened = Endpoint.open

    async def patient(self: Endpoint) -> None:
        self.handshake_timeout = 60.0
        await opened(self)

    patch.setattr(Endpoint, "open", patient)


@plant("safety", 2)
def who_enters_anew_makes_others_late(patch: Patch) -> None:
    """It was there once: whoever was looked at, and entered itself for later, set the timer for that time."""

    def fire(self: Sweep) -> None:
        now = self._loop.time()
        self._timer = None
        for tick in sorted(tick for tick in self._ticks if tick * TICK <= now):
            for what in self._ticks.pop(tick):
                what.check(now)
        if self._ticks and self._timer is None:
            self._arm(min(self._ticks))

    patch.setattr(Sweep, "_fire", fire)


@plant("liveness")
def whoever_was_welcomed_leaves_a_task(patch: Patch) -> None:
    give = Upkeep._give

    async def lingering(self: Upkeep, newcomer: Any) -> None:
        await give(self, newcomer)
        await asyncio.Event().wait()

    patch.setattr(Upkeep, "_give", lingering)


@plant("safety")
def the_timer_of_a_closed_peer_goes_on(patch: Patch) -> None:
    close = Requests.close

    def careless(self: Requests) -> None:
        self._sweeper, sweeper = None, self._sweeper
        close(self)
        self._sweeper = sweeper
        self._loop.call_later(60.0, self._sweep)

    patch.setattr(Requests, "close", careless)
