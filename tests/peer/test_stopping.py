"""A peer that is stopped in the middle of its work: whoever waits for a procedure of it is told so, whatever it was doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from town import nearest, simulate, some_value, town

from p2pnb import Author, key_of
from p2pnb.errors import PeerUnreachable
from p2pnb.peer.peer import Peer

AUTHOR, TOPIC, VALUE = Author.from_seed(bytes(32)), key_of(b"topic"), some_value(9)
PROCEDURES: dict[str, Callable[[Peer], Awaitable[object]]] = {
    "bootstrap": lambda peer: peer.bootstrap(),
    "lookup": lambda peer: peer.lookup(TOPIC),
    "set": lambda peer: peer.set(some_value(10)),
    "ref": lambda peer: peer.ref(TOPIC),
    "bag_publish": lambda peer: peer.bag_publish(TOPIC, bytes(32)),
    "bag_popular": lambda peer: peer.bag_popular(TOPIC),
    "namespace_set": lambda peer: peer.namespace_set(AUTHOR.private_key, AUTHOR.public_key, TOPIC, bytes(32)),
    "namespace_set with a number": lambda peer: peer.namespace_set(AUTHOR.private_key, AUTHOR.public_key, TOPIC, bytes(32), 3),
    "namespace_ref": lambda peer: peer.namespace_ref(AUTHOR.public_key, TOPIC),
    "bag_popular_at": lambda peer: peer.bag_popular_at(TOPIC, TOPIC),
}


@pytest.mark.parametrize(("name", "disk"), [*((name, False) for name in PROCEDURES), ("set", True), ("namespace_set", True)])
def test_every_procedure_ends_when_its_peer_is_stopped(name: str, disk: bool, tmp_path: Path) -> None:
    """At moments from its first request to its last second try; most of those whom it asks are silent, so that it has much to do."""

    async def test() -> None:
        for tenths in (0, 1, 12, 27, 55):
            async with town(9, tenths, store=tmp_path / str(tenths) if disk else None) as network:
                member = network.members[0]
                assert member.endpoint is not None
                member.endpoint.wall({(each.ip, each.port) for each in nearest(network.members[1:], TOPIC, 6)})
                peer = member.living()
                working = asyncio.ensure_future(PROCEDURES[name](peer))
                await asyncio.sleep(tenths / 10 + 0.001)
                ended = working.done()
                peer.stop()
                done, _ = await asyncio.wait([working], timeout=0.1)
                assert done, f"stopped after {tenths / 10} s"
                error = working.exception()
                told = isinstance(error, PeerUnreachable) and error.reason == "closed"
                assert ended or told, f"stopped after {tenths / 10} s: {error!r}"

    simulate(test)
