"""A record to whose key 20 peers are nearer is given away, and forgotten only once all its replicas have it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from town import holders, nearest, now, peers, simulate, some_value, town, upkeep_of

from p2pnb import spec
from p2pnb.cluster.member import Member
from p2pnb.cluster.network import Network
from p2pnb.uid import Key, key_of
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Set


async def outgrown(network: Network) -> tuple[Key, Member]:
    """The key of a record, and who alone holds it: the farthest from it of all, when everybody knows everybody to be alive."""
    await asyncio.sleep(600)
    value = some_value(10)
    key = key_of(value)
    far = nearest(network.living, key, len(network.living))[-1]
    assert far.living().store.put(Set(value), key.int, now(), publisher=None) is True
    for peer in peers(network):
        for other in network.living:
            if other.uid != peer.uid:
                peer.table.seen(contact(other.ip, other.port, other.uid.int), now(), dialled=True)
    assert far.living().table.nearer(key.int, far.uid.int, now()) == spec.ACCEPTORS
    return key, far


@pytest.mark.parametrize("refusals", [0, 1])
def test_an_outgrown_record_is_forgotten_only_once_every_replica_has_acknowledged_it(refusals: int) -> None:
    async def test() -> None:
        async with town(30, 10) as network:
            key, far = await outgrown(network)
            if refusals:
                for member in nearest(network.living, key, 26):
                    member.living().store.quota.used = spec.STORE_BYTES
                nearest(network.living, key, 1)[0].living().store.quota.used = 0
            await upkeep_of(far.living()).republish()
            kept = far.position in holders(network, key)
            assert kept is bool(refusals)
            if not refusals:
                assert set(holders(network, key)) == {member.position for member in nearest(network.living, key, 5)}

    simulate(test)


@pytest.mark.parametrize("gone", [9, 10])
def test_a_peer_does_not_count_itself_among_the_replicas_and_then_forget_the_record(gone: int) -> None:
    """Of the 29 who are nearer so many are gone: when it is ten, this peer is one of the 20 replicas, until one of the ten is back."""

    async def test() -> None:
        async with town(30, 10, replication=20) as network:
            key, far = await outgrown(network)
            killed = nearest(network.living, key, gone)
            network.kill(killed, silent=True)
            for peer in peers(network):
                for member in killed:
                    peer.table.failed(member.uid.int, now())
            peer = far.living()
            replicate = peer.replicate

            async def meanwhile(*what: Any) -> list[Contact]:
                taken = await replicate(*what)
                peer.table.seen(contact(killed[0].ip, killed[0].port, killed[0].uid.int), now(), dialled=True)
                return taken

            peer.replicate = meanwhile  # type: ignore[method-assign]
            await upkeep_of(peer).republish()
            assert peer.table.nearer(key.int, peer.own, now()) == spec.ACCEPTORS, "it is not outgrown: this proves nothing"
            assert len(holders(network, key)) == 20
            assert (far.position in holders(network, key)) is (gone == 10)

    simulate(test)
