"""Tampering and impersonation: on live networks, with the numbers of the attack table."""

from __future__ import annotations

import asyncio
import random

import pytest
from pigeons import end, flock, live
from siege import LATENCY, Stranger, besieged, peers, tables
from town import simulate

from p2pnb.errors import P2PError
from p2pnb.peer.core import MOST_TASKS
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import Iam
from p2pnb.wire.sexp import Symbol, dumps

IAM, SET = Symbol("iam"), Symbol("set")


@pytest.mark.parametrize("encryption", [True, False])
def test_a_thousand_forged_iam_change_no_table(encryption: bool) -> None:
    """By a member over its own links, and by strangers who prove one uid and claim another: a neighbour's, the victim's, any."""

    async def test() -> None:
        async with besieged(8, 13, encryption) as network:
            victim, liar, other = network.members[:3]
            before = tables(network)
            whom = contact(victim.ip, victim.port, victim.uid.int)
            claims = [other.uid.int, victim.uid.int, *range(498)]
            for claim in claims:
                with pytest.raises(P2PError):
                    await liar.living().requests.reply(whom, Iam(claim))
            strangers = [await Stranger(network, seed, encryption).greeted(victim.ip, victim.port) for seed in range(500)]
            for stranger, claim in zip(strangers, claims, strict=True):
                stranger.say((IAM, claim))
            await asyncio.sleep(1.0)
            assert all(stranger.lost and not stranger.data for stranger in strangers), "closed within a second, and not a word"
            assert victim.living().refused_links == 1_000
            assert tables(network) == before

    simulate(test)


def test_two_thousand_forged_iam_on_a_carrier_without_links() -> None:
    """Whoever says iam is asked back at his address; who answers there under another uid is not entered under the claim."""

    async def test() -> None:
        loft, flying = await flock(6)
        victim, liar = flying[0], flying[1]
        before = [{each.uid for each in peer.table} for peer in flying]
        rng = random.Random(3)
        for _ in range(2_000):
            loft.boxes["127.0.0.1", 1_000].put_nowait(("127.0.0.1", 1_001, (IAM, rng.getrandbits(256))))
        loft.flown.clear()
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert 1 <= sum(datum[0] == "iam" for datum in loft.flown) <= MOST_TASKS, "asking back is bounded"
        assert [{each.uid for each in peer.table} for peer in flying] == before
        assert victim.table.get(liar.own) is not None
        await end(flying)

    live(test)


def test_bytes_flipped_on_a_live_wire_store_nothing() -> None:
    """Every byte of a greeting and of the record behind it, on connections to a node that goes on serving: 0 accepted."""

    async def test() -> None:
        async with besieged(3, 5) as network:
            node = network.members[0]
            peer = node.living()
            asked = dumps((SET, b"planted"))
            tried = 0
            for place in range(230):
                stranger = Stranger(network, 10_000 + place)
                first = stranger.channel.start()
                if place < len(first):
                    first = flipped(first, place)
                stranger.dial(node.ip, node.port, greet=False)
                stranger.transport.write(first)
                await asyncio.sleep(3 * LATENCY)
                if stranger.channel.established:
                    record = stranger.channel.seal(asked)
                    if place - len(first) >= len(record):
                        stranger.transport.abort()
                        break
                    stranger.transport.write(flipped(record, place - len(first)) + bytes(66_000))
                tried += 1
                await asyncio.sleep(3 * LATENCY)
                stranger.transport.abort()
            assert tried > 60
            assert len(peer.store) == 0
            assert await peers(network)[1].set(b"honest")

    simulate(test)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
