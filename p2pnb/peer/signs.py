"""Signs of life: what a peer makes of hearing from others, and of not hearing from them.

Whoever speaks on a link is alive, and is who the link says: the routing table notes it, and names the contact whose place a newcomer
waits for, which is then asked whether it is still there. What somebody says in one breath, a question and the record that rides along
with it, is one sign. One trouble counts once, however many requests it took; and an address that was only hearsay says nothing of its
uid. Whoever lied leaves the table, and stays out for as long as a contact counts as live.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2pnb import spec
from p2pnb.dht.table import RoutingTable
from p2pnb.net.contract import Link
from p2pnb.peer.cause import UPKEEP
from p2pnb.peer.requests import Done, Outcome
from p2pnb.peer.silence import Silence, note
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Iam, Request

BREATH = 0.01  # seconds

Ask = Callable[[Contact, Request, Done, Any, str | None], None]


class Signs:
    """Those that the peer `own` sees; `now` is its clock's. `ask` sends a request."""

    def __init__(self, own: int, table: RoutingTable, silence: Silence, ask: Ask) -> None:
        self.checking: set[int] = set()
        self.liars: dict[int, float] = {}  # until when they stay out of the table
        self._own = own
        self._table = table
        self._silence = silence
        self._ask = ask
        self._speaker: Link | None = None  # whose breath it is, and since when
        self._since = 0.0

    def of_life(self, ip: str, port: int, uid: int | None, link: Link | None, now: float) -> None:
        """`uid` spoke on `link`; `ip` and `port` say where it listens."""
        if link is not None:
            if link is self._speaker and now - self._since < BREATH:
                return
            self._speaker, self._since = link, now
        if uid is None or (link is not None and not link.listens) or (self.liars and self.liars.get(uid, 0.0) > now):
            return
        speaker = contact(ip, port, uid)
        self._silence.heard(speaker)
        doubtful = self._table.seen(speaker, now, dialled=link is None or link.outbound)
        if doubtful is not None:
            self.check(doubtful, UPKEEP)

    def of_trouble(self, asked: Contact, uid: int, now: float) -> None:
        """A request to `asked`, which has this uid, or dialling it, failed."""
        self._speaker = None
        known = self._table.get(uid)
        if (known is None or known.address == asked.address) and self._silence.is_news(uid):
            self._table.failed(uid, now)

    def of_lies(self, liar: Contact, now: float) -> None:
        """A peer sent what is not what it said."""
        self._speaker = None
        if liar.uid is not None:
            self._table.remove(liar.uid)
            note(self.liars, liar.uid, now + spec.LIVE_WITHIN)

    def lost(self, link: Link) -> None:
        """A link has ended: nobody speaks on it any more."""
        if link is self._speaker:
            self._speaker = None

    def check(self, doubtful: Contact, cause: str | None = None) -> None:
        """Asks whether it is still there, unless that is being asked already; the table hears the answer like any other."""
        if doubtful.uid is not None and doubtful.uid not in self.checking:
            self.checking.add(doubtful.uid)
            self._ask(doubtful, Iam(self._own), self._checked, None, cause)

    def _checked(self, checked: Contact, _: Outcome) -> None:
        self.checking.discard(checked.uid or 0)
