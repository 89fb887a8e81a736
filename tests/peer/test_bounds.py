"""What a peer remembers of others is bounded, though uids and addresses cost nothing: the latest are remembered, and no more."""

from __future__ import annotations

import pytest
from town import Alone, now, simulate

from p2pnb.errors import RequestTimeout
from p2pnb.peer.silence import MOST_REMEMBERED
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Welcome

MANY = 3 * MOST_REMEMBERED


def stranger(number: int) -> Contact:
    return contact(f"8.{number >> 8}.{number & 255}.1", 4_000, (1 << 200) + number)


@pytest.mark.parametrize("linkless", [False, True])
def test_many_strangers_are_forgotten_again(linkless: bool) -> None:
    async def test() -> None:
        alone = Alone()
        peer, strangers = alone.peer, [stranger(number) for number in range(MANY)]
        peer.requests.linkless = linkless
        for each in strangers:
            peer._settled(each, Welcome("5.6.7.8", 9, each.uid or 0), 0.1)
            peer._settled(each, RequestTimeout("silent"), 5.0)
            peer.penalise(each)
        for book in (peer._meetings._seen_at, peer._silence._failed_at, peer._signs.liars):
            assert len(book) == MOST_REMEMBERED
        assert len(peer._addresses) == (MOST_REMEMBERED if linkless else 0)
        assert list(peer._signs.liars) == [each.uid for each in strangers[-MOST_REMEMBERED:]]
        assert peer._signs.liars[strangers[-1].uid or 0] > now()
        assert peer.external_ip == "5.6.7.8"
        assert not len(peer.table)
        await peer.close()

    simulate(test)
