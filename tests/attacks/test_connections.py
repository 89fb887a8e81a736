"""Slow handshakes, readers that stop, floods of bad input: who attacks is closed in time, and nobody else waits."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest
from siege import Stranger, besieged, peers, until
from town import now, simulate

from p2pnb import key_of, spec
from p2pnb.wire.messages import Set
from p2pnb.wire.sexp import Symbol, dumps

REF, IAM = Symbol("ref"), Symbol("iam")


@pytest.mark.parametrize("encryption", [True, False])
def test_500_slow_handshakes(encryption: bool) -> None:
    """One byte a second each: all closed by 5.5 s, and 100 honest connects meanwhile take their round trips, at most 1 s."""

    async def test() -> None:
        async with besieged(3, 1, encryption) as network:
            node = network.members[0]
            begun = now()
            slow = [Stranger(network, seed, encryption) for seed in range(500)]
            for stranger in slow:
                stranger.dial(node.ip, node.port, greet=False)
            greetings = [stranger.channel.start() for stranger in slow]
            took = []
            for second in range(7):
                for stranger, greeting in zip(slow, greetings, strict=True):
                    if not stranger.lost:
                        stranger.transport.write(greeting[second : second + 1])
                for _ in range(20):
                    at = now()
                    honest = await Stranger(network, 1_000 + len(took), encryption).greeted(node.ip, node.port)
                    honest.say((IAM, honest.uid))
                    await until(lambda honest=honest: honest.data)
                    took.append(now() - at)
                    honest.transport.close()
                await asyncio.sleep(max(begun + second + 1 - now(), 0.0))
            assert all(stranger.lost_at - begun <= 5.5 for stranger in slow)
            assert all(stranger.lost for stranger in slow)
            assert sorted(took)[int(0.99 * len(took))] <= 1.0
            assert node.endpoint is not None
            assert node.endpoint.counters["timeout"] == 500

    simulate(test)


def test_a_thousand_ref_by_a_reader_that_stopped() -> None:
    """Of a value that fills a message, pipelined as fast as allowed: closed within 10 s, within a few megabytes."""

    async def test() -> None:
        async with besieged(3, 2) as network:
            node = network.members[0]
            peer, value = node.living(), random.Random(1).randbytes(spec.MAX_VALUE)
            peer.store.put(Set(value), key_of(value).int, peer.clock(), publisher=1)
            stranger = await Stranger(network, 7).greeted(node.ip, node.port)
            stranger.transport.held = True  # it reads nothing from now on
            tracemalloc.start()
            begun, asked = now(), 0
            assert node.endpoint is not None
            counters = node.endpoint.counters
            while not counters and asked < 1_000:
                stranger.say(*[(REF, key_of(value).int)] * 8)
                asked += 8
                await asyncio.sleep(0.1)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            await until(lambda: counters)
            assert now() - begun <= 10.0
            assert peak < 12_000_000, "both ends together, the texts of the requests included"
            assert counters.total() == counters["unanswered requests"] + counters["stopped reading"] == 1
            stranger.transport.abort()
            assert await peers(network)[1].set(b"honest")

    simulate(test)


BAD: list[Any] = [
    b"(" * 500_000, b"1" * 1_000_000, b"#u8(256)", b'"\xff"', b"#(ref -1)", b"#(ref %d)" % 2**256, b"#(unknown 1)", b"#(ref 1 2)",
    b"#(set 5)", b"#(bag-add 1 #u8(1))", b"#(iam 7)", b"#(peer)", b"#t #t", b"#(namespace-ref #u8(1) 2)", b"#(value #u8(1))",
]  # fmt: skip


def test_a_flood_of_bad_messages_is_counted_by_the_peer_who_sent_them() -> None:
    """Each closes its link within a second, without a word; the accounts say who it was and why; the honest are served."""

    async def test() -> None:
        async with besieged(4, 3) as network:
            node = network.members[0]
            assert node.endpoint is not None
            before = node.endpoint.counters.total()
            for number in range(20 * len(BAD)):
                stranger = await Stranger(network, number % 5).greeted(node.ip, node.port)
                stranger.transport.write(stranger.channel.seal(BAD[number % len(BAD)]))
                begun = now()
                await until(lambda stranger=stranger: stranger.lost)
                assert now() - begun < 1.0, BAD[number % len(BAD)][:30]
                assert stranger.data == []
            assert node.endpoint.counters.total() - before == 20 * len(BAD)
            villains = [row for row in node.endpoint.traffic() if network.position_of(row["uid"]) is None]
            assert len(villains) == 5
            assert sum(row["closed"] for row in villains) == 20 * len(BAD)
            words = {"parse", "protocol", "unasked reply"}
            assert {each.rpartition(" ")[0] for row in villains for each in row["reasons"].split(", ")} == words
            for peer in peers(network)[1:]:
                assert await peer.ref(await peer.set(b"served")) == b"served"

    simulate(test)


def test_silence_after_half_a_record_ends_too() -> None:
    async def test() -> None:
        async with besieged(2, 4) as network:
            node = network.members[0]
            stranger = await Stranger(network, 1).greeted(node.ip, node.port)
            stranger.transport.write(stranger.channel.seal(dumps((REF, 5)))[:-1])
            begun = now()
            await asyncio.sleep(11.0)
            assert stranger.lost
            assert stranger.lost_at - begun <= 10.5

    simulate(test)
