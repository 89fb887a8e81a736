"""Contacts of every odd kind, named by three liars among the nearest to what is looked for. On a network in simulated time: what is silent
costs patience, and what is found, whom the tables have, and how much is dialled are counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from town import nearest, now, simulate, town

from p2pnb import key_of, spec
from p2pnb.address import is_dialable, is_same_host
from p2pnb.cluster.member import Member
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Bag, Nearest, Reply, Value, Version

TARGET = key_of(b"what is looked for")
HOLE = "127.0.0.9"  # whoever dials it hears nothing
Odd = Callable[[Member, Member, random.Random], list[Contact]]  # what is named to the asker; the second is the one truly nearest

NO_HOSTS = (
    "0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0", "::ffff:255.255.255.255", "::ffff:224.0.0.1",
    "fe80::1%lo", "::1%1", "localhost", "127.1", "0x7f.1", "2130706433", "127.0.0.01", "127.0.0.1 ", "[::1]", "", "\u0661.1.1.1",
)  # fmt: skip


def near_uids(rng: random.Random, n: int) -> list[int]:
    """Uids of nobody, nearer to the target than anybody is."""
    return [TARGET.int ^ rng.getrandbits(200) for _ in range(n)]


def holes(rng: random.Random) -> list[tuple[str, int]]:
    return [(HOLE, rng.randrange(1, 60_000)) for _ in range(20)]


ODD: dict[str, Odd] = {
    "the asker itself": lambda asker, _, __: [contact(asker.ip, asker.port, asker.uid.int)] * 20,
    "the asker's uid elsewhere": lambda asker, _, rng: [contact(*hole, asker.uid.int) for hole in holes(rng)],
    "the asker's uid at a neighbour": lambda asker, near, _: [contact(near.ip, near.port, asker.uid.int)],
    "others at the asker": lambda asker, near, rng: [contact(asker.ip, asker.port, each) for each in (near.uid.int, *near_uids(rng, 19))],
    "others at the asker, spelled otherwise": lambda asker, near, rng: [
        contact(f"::ffff:{asker.ip}", asker.port, each) for each in (near.uid.int, *near_uids(rng, 19))
    ],
    "the nearest at 20 silent addresses": lambda _, near, rng: [contact(*hole, near.uid.int) for hole in holes(rng)],
    "the nearest at addresses of others": lambda _, near, __: [contact(near.ip, near.port - i, near.uid.int) for i in range(1, 9)],
    "20 uids at one silent address": lambda _, __, rng: [contact(HOLE, 1, uid) for uid in near_uids(rng, 20)],
    "20 uids at the nearest": lambda _, near, rng: [contact(near.ip, near.port, uid) for uid in near_uids(rng, 20)],
    "20 silent addresses without a uid": lambda _, __, rng: [contact(*hole) for hole in holes(rng)],
    "the nearest 20 times": lambda _, near, __: [contact(near.ip, near.port, near.uid.int), contact(near.ip, near.port)] * 10,
    "port 0": lambda _, near, __: [contact(near.ip, 0, near.uid.int)],
    "no host": lambda _, near, __: [contact(ip, 9, near.uid.int ^ i) for i, ip in enumerate(NO_HOSTS)],
}


def lie(liar: Member, odd: Odd, near: Member, network: Any, rng: random.Random) -> None:
    """From now on it names `odd` contacts to whoever asks it for the nearest, and has nothing else."""
    true = liar.living().responder.answer

    def answer(request: Any, *, uid: int | None, **asked: Any) -> Reply:
        reply: Reply = true(request, uid=uid, **asked)
        if isinstance(reply, (Nearest, Value, Bag, Version)) and uid is not None:
            asker = next(each for each in network.members if each.uid.int == uid)
            return Nearest(tuple(odd(asker, near, rng)))
        return reply

    liar.living().responder.answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("name", ODD)
def test_odd_contacts(name: str) -> None:
    async def test() -> None:
        async with town(24, 4, k=5) as network:
            await asyncio.sleep(60)
            near, *liars = nearest(network.members, TARGET, 4)
            honest = [each for each in network.members if each not in liars]
            rng = random.Random(name)
            for liar in liars:
                lie(liar, ODD[name], near, network, rng)
            for each in honest:
                assert each.endpoint is not None
                each.endpoint.wall(lambda ip, _: ip == HOLE)
            true = {(each.uid.int, each.ip, each.port) for each in network.members}
            for asker in honest:
                if asker is near:
                    continue
                peer, began = asker.living(), now()
                found = await peer.lookup(TARGET, want=5)
                assert found.nearest[0].uid == near.uid.int
                assert found.dials <= spec.MAX_DIALS
                assert {(each.uid, each.ip, each.port) for each in found.nearest} <= true
                assert now() - began < 2.0
                asked = [each.contact for each in found.events if each.event == "asked"]
                assert not [each for each in asked if each.port == asker.port and is_same_host(each.ip, asker.ip)]
                assert all(is_dialable(*each.address) for each in asked)
            for peer in (each.living() for each in honest):
                assert {(each.uid, each.ip, each.port) for each in peer.table} <= true
                assert not peer.refused_links

    simulate(test)
