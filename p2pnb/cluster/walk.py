"""A lookup that goes on only when it is told to: the state machine of `dht.lookup`, driven against the live network by hand.

`dht.lookup` never sends and reads no clock, so it can be stopped between any two events. What it is told of time here is how
long the network took, without the pauses of whoever steps: a reply arrives its measured round trip after it was asked. A
request goes out at the step that asks it; its reply waits here until the step that takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from p2pnb import spec
from p2pnb.cluster.results import lookup_rows
from p2pnb.dht.lookup import Lookup
from p2pnb.errors import NodeDown, P2PError, PeerUnreachable
from p2pnb.peer.peer import Peer
from p2pnb.peer.requests import Outcome
from p2pnb.peer.search import DIAL_FAILURES
from p2pnb.uid import Key, common_prefix_length
from p2pnb.views.svg import name_of
from p2pnb.views.widgets.steps import Step
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Iam, Nearest, Peers, Welcome
from p2pnb.words import counted


class Walk:
    """One lookup of `target` by `peer`. Everything happens on the peer's loop."""

    def __init__(self, peer: Peer, target: Key, position_of: Callable[[int | None], int | None]) -> None:
        self.target = target
        self.own = peer.own
        self._peer = peer
        self._position_of = position_of
        self._now = 0.0
        self._arrived: list[tuple[float, Contact, Outcome]] = []  # when, by the lookup's time
        self._news = asyncio.Event()
        self._lookup = Lookup(
            target.int,
            peer.own,
            peer.table.nearest(target.int, spec.MAX_CONTACTS),
            want=peer.k,
            alpha=peer.alpha,
            now=0.0,
            patience=peer.patience.seconds,
            is_linked=peer.requests.is_linked,
            own_address=peer.address,
        )
        seeds = len(self._lookup.events)
        self.steps = [Step(seeds, f"{counted(seeds, 'contact')} of the own table to begin with; the nearest {peer.k} must answer")]

    @property
    def finished(self) -> bool:
        return self._lookup.finished

    def rows(self) -> list[dict[str, Any]]:
        return lookup_rows(self._lookup.events, self._position_of)

    async def step(self) -> None:
        """The next event: somebody is asked, or an answer is taken; waits for one, up to 5 s. Nothing once it is finished.

        Raises `NodeDown` when the node that looks was killed meanwhile.
        """
        if self._peer.closed:
            raise NodeDown("the node that looks was killed: make another stepper, cluster.lookup_stepper(key, node=cluster[3])")
        while not self.finished:
            chosen = self._lookup.next(self._now)
            if chosen is not None:
                self._ask(chosen)
                return
            if self.finished or await self._take():
                return

    def _ask(self, chosen: Contact) -> None:
        asked_at, since = self._now, self._peer.loop.time()

        def answered(whom: Contact, outcome: Outcome) -> None:
            self._arrived.append((asked_at + self._peer.loop.time() - since, whom, outcome))
            self._news.set()

        request = Iam(self.own) if chosen.uid is None else Peers(self.target.int)
        self._peer.ask(chosen, request, answered)
        self._note(f"{self._name(chosen)} is asked")

    async def _take(self) -> bool:
        """Takes the answer that came first; False when patience with those in flight ended before there was one."""
        wake = self._lookup.wake(self._now)
        if not self._arrived:
            self._news.clear()
            try:
                async with asyncio.timeout(None if wake is None else max(0.0, wake - self._now)):
                    await self._news.wait()
            except TimeoutError:
                self._now = self._now if wake is None else wake
                return False
        first = min(self._arrived, key=lambda each: each[0])
        self._arrived.remove(first)
        when, whom, outcome = first
        self._now = max(self._now, when)
        before = len(self._lookup.events)
        if isinstance(outcome, Nearest):
            self._lookup.replied(whom, outcome.contacts, self._now)
            new = [event.contact for event in self._lookup.events[before:] if event.event == "named"]
            self._note(f"{self._name(whom)} replied and named {len(outcome.contacts)}, {len(new)} of them new{self._nearest(new)}")
        elif isinstance(outcome, Welcome):
            if self._lookup.connected(whom, outcome.uid, self._now):
                self._ask(contact(whom.ip, whom.port, outcome.uid))
        else:
            dialled = isinstance(outcome, PeerUnreachable) and outcome.reason in DIAL_FAILURES
            self._lookup.failed(whom, self._now, dialled=dialled)
            self._note(f"{self._name(whom)} gave no answer" + (f": {outcome}" if isinstance(outcome, P2PError) else ""))
        return True

    def _note(self, words: str) -> None:
        lookup = self._lookup
        if lookup.finished:
            effort = f"{counted(lookup.hops, 'hop')} with {counted(lookup.rpcs, 'request')}"
            words += f". Finished: {len(lookup.nearest)} found in {effort}"
        self.steps.append(Step(len(lookup.events), f"{1000 * self._now:.2f} ms: {words}"))

    def _name(self, whom: Contact) -> str:
        return name_of(self._position_of(whom.uid), whom.uid)

    def _nearest(self, new: list[Contact]) -> str:
        shared = max((common_prefix_length(each.uid, self.target.int) for each in new if each.uid is not None), default=None)
        return "" if shared is None else f", the nearest with {counted(shared, 'bit')} shared"
