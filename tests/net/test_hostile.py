"""Conformance: ends that break the protocol. Each is reset without a word, and the node goes on serving others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from p2pnb import spec
from p2pnb.wire.framing import frame
from p2pnb.wire.sexp import Symbol, dumps

IAM, REF, WELCOME, PEER = map(Symbol, ("iam", "ref", "welcome", "peer"))


async def still_serves(world: Any, node: Any) -> None:
    """An honest stranger is answered as ever. (What others have sent is thrown away.)"""
    honest = await world.node()
    node.inbox._items.clear()
    await honest.send(node.ip, node.port, (IAM, 1), uid=node.uid)
    (item,) = await world.take(node, 1)
    node.send(item.ip, item.port, True, link=item.link)
    assert (await world.take(honest, 1))[0].payload is True
    await honest.close()
    assert (await world.loss(node)) is item.link


def framed(raw: Any, prefix: bytes, text: bytes) -> bytes:
    """Bytes as the channel would carry them, with any prefix: sealed in records where there is encryption."""
    if not hasattr(raw.channel, "_sealing"):
        return prefix + text
    data = prefix + text
    cuts = range(0, len(data), 60_000)
    records = [raw.channel._sealing.seal(data[cut : cut + 60_000]) for cut in cuts]
    return b"".join([len(record).to_bytes(2, "big") + record for record in records])


BAD = {
    "a prefix of 0xFFFFFFFF": (b"\xff\xff\xff\xff", b"#t", "protocol"),
    "an empty message": (bytes(4), b"", "protocol"),
    "one byte more than the limit": ((spec.MAX_MESSAGE + 1).to_bytes(4, "big"), b"#t", "protocol"),
    "500,000 parentheses": ((500_000).to_bytes(4, "big"), b"(" * 500_000, "parse"),
    "an integer of a million digits": ((1_000_000).to_bytes(4, "big"), b"1" * 1_000_000, "parse"),
    "a byte of 256": ((8).to_bytes(4, "big"), b"#u8(256)", "parse"),
    "a byte of -1": ((7).to_bytes(4, "big"), b"#u8(-1)", "parse"),
    "no UTF-8": ((4).to_bytes(4, "big"), b'"\xff\xfe"'[:4], "parse"),
    "a NUL": ((1).to_bytes(4, "big"), b"\0", "parse"),
    "two data": ((5).to_bytes(4, "big"), b"#t #t", "parse"),
    "a reply that nobody asked for": ((2).to_bytes(4, "big"), b"#t", "unasked reply"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_message_ends_its_link(world: Any, what: str) -> None:
    async def test() -> None:
        node = await world.node()
        prefix, text, counted = BAD[what]
        raw = await world.greeted(node)
        raw.transport.write(framed(raw, prefix, text))
        await world.until(lambda: raw.lost)
        assert (raw.data, raw.eof) == ([], False), "a reset, and not a word"
        assert (node.counters[counted], sum(node.counters.values())) == (1, 1), node.counters
        link = await world.loss(node)
        assert not link.clean
        await still_serves(world, node)

    world.run(test)


TLS = b"\x16\x03\x01\x02\x00\x01" * 90


@pytest.mark.parametrize("plaintext", [frame(dumps((IAM, 5))), dumps((IAM, 5)), b"GET / HTTP/1.1\r\n\r\n", TLS])
def test_plaintext_is_no_greeting(world: Any, plaintext: bytes) -> None:
    async def test() -> None:
        node = await world.node(handshake_timeout=0.5)
        raw = world.dial(node)
        raw.transport.write(plaintext)
        await world.until(lambda: raw.lost)
        assert (raw.bytes, raw.eof) == (b"", False)
        assert sum(node.counters.values()) == node.counters["not-a-peer"] + node.counters["timeout"] == 1
        assert not node.inbox, "the peer hears of nobody who has not said who he is"
        await still_serves(world, node)

    world.run(test)


def test_the_own_key_is_refused(world: Any) -> None:
    async def test() -> None:
        key = world.key()
        node = await world.node(identity=key)
        raw = world.dial(node, world.channel(identity=key))
        await world.until(lambda: raw.lost)
        assert not node.links
        assert not node.inbox

    world.run(test)


def test_a_slow_handshake_is_cut_off(world: Any) -> None:
    """One byte at a time: closed when the time is over, and until then nobody else waits."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        limit = 1.0 if world.tcp else spec.HANDSHAKE_TIMEOUT
        node = await world.node(handshake_timeout=limit)
        begun = loop.time()
        slow = [world.dial(node) for _ in range(500)]
        greetings = [world.channel().start() for _ in slow]
        step = 0

        def drip() -> None:
            nonlocal step
            for raw, greeting in zip(slow, greetings, strict=True):
                raw.transport.write(greeting[step : step + 1])
            step += 1
            if not all(raw.lost for raw in slow):
                loop.call_later(limit / 5, drip)

        drip()
        await world.until(lambda: len(node._links) == 500)
        await still_serves(world, node)
        await world.until(lambda: all(raw.lost for raw in slow))
        if not world.tcp:  # a busy machine is late
            assert loop.time() - begun < limit + 0.5
        assert node.counters["timeout"] == 500

    world.run(test)


def test_a_thousand_questions_from_one_who_does_not_read(world: Any) -> None:
    """With never more than 16 unanswered, so that only the unread replies can give him away."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        node = await world.node(stall_timeout=0.5 if world.tcp else 4.5)
        raw = await world.greeted(node)
        world.stop_reading(raw)
        answer = (WELCOME, "x" * 20_000)
        asked = answered = most = 0
        begun = loop.time()
        while not node.counters:
            while asked < 1_000 and asked - answered < 16:
                raw.say((REF, asked))
                asked += 1
            try:
                item = await asyncio.wait_for(world.next(node), 0.05)
            except TimeoutError:
                continue
            if not isinstance(item, tuple) or len(item) == 1:
                break
            node.send(item.ip, item.port, answer, link=item.link)
            answered += 1
            most = max(most, item.link.leaving + item.link.queued)
        assert loop.time() - begun < 10.0
        assert node.counters["stopped reading"] == 1
        assert 10 < answered < 1_000
        assert most <= spec.MAX_QUEUED
        raw.transport.abort()
        await still_serves(world, node)

    world.run(test)


def test_a_flood_while_the_peer_is_busy_stays_bounded(world: Any) -> None:
    async def test() -> None:
        node = await world.node()
        raw = await world.greeted(node)
        big = dumps((REF, "x" * 500_000))
        for _ in range(6):
            raw.say_text(big)
        await world.until(lambda: raw.lost)
        assert node.counters["incoming queue"] == 1
        await still_serves(world, node)

    world.run(test)


def _random_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 3, 34, 35, 66, 200, 600, 5_000)))


def _broken_greeting(rng: random.Random) -> bytes:
    """A first handshake message, or what looks like one, broken somewhere."""
    data = bytearray(b"\x00\x20" + rng.randbytes(32) + b"\x00\x70" + rng.randbytes(112))
    for _ in range(rng.randrange(3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, len(data) + 1)])


@pytest.mark.parametrize("make", [_random_bytes, _broken_greeting])
def test_random_connections(world: Any, make: Callable[[random.Random], bytes]) -> None:
    async def test() -> None:
        rng = random.Random(11)
        node = await world.node(handshake_timeout=0.5)
        for _ in range(20):
            raws = [world.dial(node) for _ in range(25)]
            for raw in raws:
                raw.transport.write(make(rng))
                how = rng.randrange(3)
                if how == 0:
                    raw.transport.close()
                elif how == 1:
                    raw.transport.abort()
            await world.settled()
        await still_serves(world, node)
        await world.until(lambda: not node._links)
        assert not node.inbox
        assert sum(node.counters.values()) <= 501

    world.run(test)


def test_random_frames(world: Any) -> None:
    async def test() -> None:
        rng = random.Random(12)
        node = await world.node()
        good = dumps((PEER, ["127.0.0.1", 9000, 2**255 + 3], bytes(range(60)), "text", True))
        for number in range(1_000 if world.tcp else 200):
            raw = await world.greeted(node)
            text = bytearray(rng.randbytes(rng.randrange(1, 300)) if number % 2 else good)
            for _ in range(rng.randrange(1, 4)):
                text[rng.randrange(len(text))] = rng.randrange(256)
            raw.transport.write(framed(raw, len(text).to_bytes(4, "big"), bytes(text)))
            raw.say((REF, 1)) if rng.randrange(2) else raw.transport.close()
            await world.until(lambda raw=raw: raw.lost or raw.eof)
        await world.until(lambda: not node._links)
        await still_serves(world, node)

    world.run(test)
