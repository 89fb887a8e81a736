"""Meeting a peer: who enters a table when a link opens, when `iam` is still asked, and what a carrier without announcements gets."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from pigeons import Wire, live

from p2pnb.errors import P2PError, PeerUnreachable
from p2pnb.net.contract import Lost, Opened
from p2pnb.peer.peer import Peer
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.sexp import Symbol

IAM = Symbol("iam")


class Links:
    """A peer whose carrier is the test, and dials by coroutines. `sent` is what it sent, `refused` the ports where nobody is."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.refused: set[int] = set()
        self.outcomes: list[tuple[Contact, int | P2PError]] = []
        self.peer = Peer(bytes(31) + b"\x01", self.inbox.get, self._send, rng=random.Random(1), upkeep=False)

    async def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> Any:
        self.sent.append(payload)
        if port in self.refused:
            raise PeerUnreachable("nobody listens there", "refused")
        return link or Wire(uid or 77, ip, port)

    def announce(self) -> None:
        """From now on its carrier announces links, and nobody has news of its address."""
        self.peer.announced = True
        self.peer._meetings._seen_at["127.0.0.1"] = "127.0.0.1"

    async def hear(self, item: Any) -> None:
        self.inbox.put_nowait(item)
        await self.settled()

    async def meet(self, whom: Contact) -> int | P2PError:
        self.peer.meet(whom, lambda who, outcome: self.outcomes.append((who, outcome)))
        before = len(self.outcomes)
        await self.settled()
        who, outcome = self.outcomes[before]
        assert who is whom
        return outcome

    async def settled(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    @property
    def known(self) -> dict[int, bool]:
        """Who is in the table, and whether it was dialled."""
        return {row["uid"]: row["dialled"] for row in self.peer.table.rows(self.peer.clock())}


def test_a_link_that_opened_enters_its_other_end() -> None:
    async def test() -> None:
        links = Links()
        came_in, dialled = Wire(900, port=4001, outbound=False), Wire(901, port=4002)
        client = Wire(902, port=50_000, outbound=False, listens=False)
        for wire in (came_in, dialled, client):
            await links.hear(Opened(wire))
        assert links.known == {900: False, 901: True}, "a client is never listed"
        assert links.peer.requests.is_linked(900), "asking it takes no dial"
        links.peer.table.failed(900, links.peer.clock())
        assert links.known == {901: True}, "an inbound contact never dialled is dropped at its first failed dial"
        await links.hear(Lost(came_in))
        assert not links.peer.requests.is_linked(900)
        assert not links.sent, "and nothing was asked"
        await links.peer.close()

    live(test)


def test_a_liar_stays_out_when_it_opens_another_link() -> None:
    async def test() -> None:
        links = Links()
        await links.hear(Opened(Wire(900, port=4001, outbound=False)))
        links.peer.penalise(contact("127.0.0.1", 4001, 900))
        await links.hear(Opened(Wire(900, port=4001, outbound=False)))
        assert not links.known
        await links.peer.close()

    live(test)


def test_where_links_are_announced_meeting_asks_nothing() -> None:
    async def test() -> None:
        links = Links()
        links.announce()
        assert await links.meet(contact("127.0.0.1", 4001, 900)) == 900
        assert await links.meet(contact("127.0.0.1", 4002)) == 77, "named without a uid: the link says who it is"
        assert links.sent == [None, None]
        assert links.known == {900: True, 77: True}
        links.refused.add(4001)
        for failures in (1, 0):  # one trouble is one failure, and the second in a row ends it; but these are the same
            outcome = await links.meet(contact("127.0.0.1", 4001, 900))
            assert isinstance(outcome, PeerUnreachable)
            assert outcome.reason == "refused"
            assert sum(row["failures"] for row in links.peer.table.rows(links.peer.clock())) == 1, failures
        await links.peer.close()

    live(test)


def test_iam_is_asked_where_links_are_not_announced_or_the_answer_may_be_news() -> None:
    async def test() -> None:
        links = Links()
        links.peer.meet(contact("127.0.0.1", 4001, 900), lambda *_: None)
        links.peer.announced = True
        seen_at = links.peer._meetings._seen_at
        for ip in ("8.8.8.8", "8.8.8.9", "9.9.9.9", "1.1.1.1", "4.4.4.4"):
            links.peer.meet(contact(ip, 4001, 1000 + len(links.sent)), lambda *_: None)
            await links.settled()
            if links.sent[-1] is not None:
                seen_at.setdefault(ip.rpartition(".")[0] + ".0/24", "5.6.7.8")
        assert [each and each[0] for each in links.sent] == [IAM, IAM, None, IAM, IAM, None], "one a group, until three agree"
        assert links.peer.external_ip == "5.6.7.8"
        await links.peer.close()

    live(test)


def test_a_closed_peer_hears_of_no_meeting() -> None:
    async def test() -> None:
        links = Links()
        links.announce()
        links.peer.meet(contact("127.0.0.1", 4001, 900), lambda who, outcome: links.outcomes.append((who, outcome)))
        links.peer.stop()
        await links.settled()
        assert not links.outcomes
        assert not links.known
        await links.peer.close()

    live(test)
