"""Meeting a peer: what it takes for both ends to learn of each other.

A link that opened is all: the handshake has proven either end's uid to the other, as `iam` and `welcome` would after it. Where the
carrier announces links (`contract.Opened`) nothing is asked. An attacker pays for a place in a table what it paid before, a handshake and
an address at which it listens; and one that does not answer afterwards leaves again at its failures, as ever.

`iam` is still asked where the carrier announces no links, and where the answerer may say what a handshake does not: at which
address it sees us. One in a network group (or at a private address) is asked, until enough of them agree.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from p2pnb.address import group_of
from p2pnb.errors import P2PError
from p2pnb.net.contract import Link, Send
from p2pnb.net.sending import Sending
from p2pnb.peer.requests import Done, Outcome
from p2pnb.peer.silence import note
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Iam, Request, Welcome

Met = Callable[[Contact, int | P2PError], None]  # with the uid that was proven, or with what came in its place

AGREE = 3  # network groups that must see this peer at an address until it is believed


class Meeter(Protocol):
    """Whoever meets others: a peer."""

    own: int
    announced: bool  # whether its carrier turned out to announce links
    loop: asyncio.AbstractEventLoop

    def ask(self, whom: Contact, request: Request, done: Done, datum: Any = None, cause: str | None = None) -> None: ...
    def spawn(self, work: Any) -> asyncio.Task[Any]: ...
    def opened(self, link: Link) -> None:
        """A link opened; it may be told twice."""

    def refused(self, whom: Contact, error: P2PError) -> None:
        """There was no link to be had."""


class Meetings:
    """Those of the peer `who`, which is let go of by `close`."""

    def __init__(self, who: Meeter, send: Send) -> None:
        self._who: Meeter | None = who
        self._send = send
        self._seen_at: dict[str, str] = {}  # network group, or address that is in none -> the address it saw us at

    def begin(self, whom: Contact, done: Met, cause: str | None = None) -> None:
        """Meets `whom`; `done` hears who it is, or why not. Never calls back before it has returned."""
        who = self._who
        if who is None:
            return
        if not who.announced or self._may_tell_news(whom):
            who.ask(whom, Iam(who.own), partial(self._answered, done), None, cause)
            return
        try:
            sent = self._send(whom.ip, whom.port, None, uid=whom.uid)
        except P2PError as error:
            who.loop.call_soon(self._ended, whom, done, error)
            return
        if isinstance(sent, Sending):
            sent.then(partial(self._ended, whom, done))
        elif inspect.iscoroutine(sent):
            task = who.spawn(self._finish(whom, done, sent))
            task.add_done_callback(lambda _: sent.close())  # it never began, if the task was cancelled at once
        else:
            who.loop.call_soon(self._ended, whom, done, sent)

    def _answered(self, done: Met, whom: Contact, outcome: Outcome) -> None:
        if isinstance(outcome, (Welcome, P2PError)):
            done(whom, outcome.uid if isinstance(outcome, Welcome) else outcome)

    async def _finish(self, whom: Contact, done: Met, sending: Any) -> None:
        """Waits for a carrier that dials by coroutines."""
        try:
            outcome = await sending
        except P2PError as error:
            outcome = error
        self._ended(whom, done, outcome)

    def _ended(self, whom: Contact, done: Met, outcome: Any) -> None:
        if self._who is None:
            return
        if isinstance(outcome, P2PError):
            self._who.refused(whom, outcome)
            done(whom, outcome)
        elif not isinstance(outcome, asyncio.CancelledError):
            self._who.opened(outcome)
            done(whom, outcome.uid)

    def welcomed(self, by: Contact, welcome: Welcome) -> None:
        """Notes at which address `by` sees this peer."""
        note(self._seen_at, group_of(by.ip) or by.ip, welcome.ip)

    def _may_tell_news(self, whom: Contact) -> bool:
        return (group_of(whom.ip) or whom.ip) not in self._seen_at and self.external_ip is None

    @property
    def external_ip(self) -> str | None:
        """The address that others see this peer at, once `AGREE` network groups agree on it; else None."""
        seen = list(self._seen_at.values())
        return next((ip for ip in seen if seen.count(ip) >= AGREE), None)

    def close(self) -> None:
        """Nobody hears any more what comes of it."""
        self._who = None
