"""Filling far buckets: what a join guarantees of them, what it costs, and who can keep it from it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from town import peers, simulate, town

from p2pnb.cluster.network import Network
from p2pnb.dht.responder import Responder
from p2pnb.peer.filling import fill
from p2pnb.peer.peer import Peer
from p2pnb.uid import common_prefix_length
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import Nearest, Peers


def lacking(network: Network, peer: Peer) -> dict[int, int]:
    """By an oracle, which knows all uids: how many contacts each far bucket could hold beyond those that it holds."""
    there = Counter(common_prefix_length(peer.own, member.uid.int) for member in network.members if member.uid.int != peer.own)
    here = Counter(common_prefix_length(peer.own, each.uid or 0) for each in peer.table)
    return {bucket: min(there[bucket], peer.k) - here[bucket] for bucket in peer.table.far_buckets(8)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_afterwards_each_far_bucket_is_full_or_holds_everybody(seed: int) -> None:
    async def test() -> None:
        async with town(60, seed, k=8, full_join=True) as network:
            missed = sum(sum(lacking(network, peer).values()) for peer in peers(network))
            possible = sum(len(peer.table) for peer in peers(network)) + missed
            assert missed <= 0.005 * possible, f"seed {seed}: {missed} of {possible}"

    simulate(test)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_small_buckets_a_join_leaves_no_part_of_the_space_out(seed: int) -> None:
    """A table with buckets of 3 may hold fewer than 8 after the lookup of its own uid: its far buckets are filled all the same."""

    async def test() -> None:
        async with town(60, seed, k=3, full_join=True) as network:
            room = Counter(bucket for peer in peers(network) for bucket in range(2) if peer.table.room(bucket))
            assert not room, f"seed {seed}"

    simulate(test)


@pytest.mark.parametrize("seed", [1, 2])
def test_it_turns_to_few_more_than_it_meets_and_asks_a_few_of_them_for_names(seed: int) -> None:
    async def test() -> None:
        async with town(80, seed, k=8) as network:
            met = asked = turned_to = 0
            for peer in peers(network):
                room, before, lookups = peer.table.room(0), peer.requests.count, len(peer.lookups)
                await fill(peer, 0)
                assert not peer.table.room(0), f"seed {seed}"
                met += room
                asked += peer.requests.count - before
                turned_to += sum(looked.rpcs for looked in list(peer.lookups)[lookups:])
            assert met < turned_to <= 1.7 * met, f"seed {seed}"
            assert asked <= 0.3 * met, f"seed {seed}"

    simulate(test)


def test_a_full_bucket_takes_no_request_and_counts_as_looked_up() -> None:
    async def test() -> None:
        async with town(40, 5, k=2) as network:
            peer = peers(network)[3]
            await fill(peer, 0)
            before = peer.requests.count
            await fill(peer, 0)
            assert peer.requests.count == before
            assert 0 not in peer.table.due(peer.clock())

    simulate(test)


class Liar:
    """Names twenty who are nowhere, in whatever is asked for."""

    def __init__(self, honest: Responder, rng: random.Random) -> None:
        self._honest, self._rng = honest, rng
        self.refused = honest.refused
        self.asked = 0

    def answer(self, request: Any, **asker: Any) -> Any:
        if not isinstance(request, Peers):
            return self._honest.answer(request, **asker)
        self.asked += 1
        return Nearest(tuple(contact("127.0.0.1", 60_000 + i, request.key ^ self._rng.getrandbits(200)) for i in range(20)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_liars_do_not_keep_a_bucket_empty(seed: int) -> None:
    async def test() -> None:
        async with town(60, seed, k=8) as network:
            rng, everybody = random.Random(seed), peers(network)
            liars = everybody[::4]
            for liar in liars:
                liar.responder = Liar(liar.responder, rng)  # type: ignore[arg-type, assignment]
            for peer in everybody[1::4]:
                await fill(peer, 0)
                assert peer.table.room(0) == 0, f"seed {seed}"
                assert all(looked.dials <= 64 for looked in peer.lookups)
            assert any(liar.responder.asked for liar in liars), f"seed {seed}: nobody lied"  # type: ignore[attr-defined]

    simulate(test)


def test_those_who_are_silent_hold_up_nobody_for_longer_than_patience() -> None:
    async def test() -> None:
        async with town(60, 4, k=8) as network:
            peer = peers(network)[7]
            for member in network.members[20:40]:
                if member.peer is not peer:
                    member.kill(silent=True)
            began = asyncio.get_running_loop().time()
            await fill(peer, 0)
            assert peer.table.room(0) <= 2
            assert asyncio.get_running_loop().time() - began < 20.0

    simulate(test)
