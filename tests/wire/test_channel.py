"""Channels, both kinds by one suite: the same frames whatever the pieces, and nothing accepted that is not as it must be."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pnb import spec
from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.wire.channel import Channel, NoiseChannel, PlainChannel
from p2pnb.wire.noise import HandshakeError, StaticKey

DIALLER, LISTENER = StaticKey.from_seed(b"d" * 32), StaticKey.from_seed(b"l" * 32)
Make = Callable[..., Channel]


def noise(initiator: bool, network: str = "", key: StaticKey | None = None, port: int | None = None) -> NoiseChannel:
    return NoiseChannel(initiator, key or (DIALLER if initiator else LISTENER), port if port is not None else 9001 - initiator, network)


def plain(initiator: bool, network: str = "", key: StaticKey | None = None, port: int | None = None) -> PlainChannel:
    uid = (key or (DIALLER if initiator else LISTENER)).uid
    return PlainChannel(initiator, uid, port if port is not None else 9001 - initiator, network)


both_kinds = pytest.mark.parametrize("make", [noise, plain])


def meet(make: Make = noise, network: str = "") -> tuple[Channel, Channel]:
    """Two channels that have established each other."""
    dialler, listener = make(True, network), make(False, network)
    answer = dialler.start()
    ends = [listener, dialler]
    while answer:
        answer, texts = ends[0].receive(answer)
        assert texts == []
        ends.reverse()
    assert dialler.established
    assert listener.established
    return dialler, listener


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at `cuts`, each taken modulo what is possible."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def fed(channel: Channel, parts: list[bytes]) -> tuple[bytes, list[bytes]]:
    answer, texts = b"", []
    for part in parts:
        more, complete = channel.receive(part)
        answer += more
        texts += complete
    return answer, texts


# --- what must work ---------------------------------------------------------------------------------------------------


@both_kinds
def test_both_ends_know_each_other(make: Make) -> None:
    dialler, listener = make(True), make(False)
    assert listener.start() == b""
    assert (dialler.uid, dialler.established, dialler.records) == (None, False, 0)
    first = dialler.start()
    assert first
    assert dialler.start() == b"", "the first bytes are sent once"
    for channel in (dialler, listener):
        with pytest.raises(LocalProtocolError):
            channel.seal(b"too early")
    dialler, listener = meet(make)
    assert (dialler.uid, dialler.port) == (LISTENER.uid, 9001)
    assert (listener.uid, listener.port) == (DIALLER.uid, 9000)


@both_kinds
def test_messages_go_both_ways_and_are_counted(make: Make) -> None:
    dialler, listener = meet(make)
    for number in range(1, 20):
        text = b"#(ref %d)" % number
        assert listener.receive(dialler.seal(text)) == (b"", [text])
        assert dialler.receive(listener.seal(text * 2)) == (b"", [text * 2])
        assert dialler.records == listener.records == 2 * number
    dialler.eof()
    listener.eof()


@both_kinds
def test_a_client_has_port_0(make: Make) -> None:
    dialler, listener = make(True, port=0), make(False)
    answer = listener.receive(dialler.start())[0]
    listener.receive(dialler.receive(answer)[0])
    assert listener.established
    assert listener.port == 0


@both_kinds
def test_a_network_has_any_name(make: Make) -> None:
    for network in ("class-7", "Größe ∞", 'quote " and \\', "x" * 300, "\0"):
        meet(make, network)


@both_kinds
@given(sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=8), cuts=st.lists(st.integers(0, 2**20), max_size=60))
def test_any_split_gives_the_same_messages(make: Make, sizes: list[int], cuts: list[int]) -> None:
    texts = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    dialler, listener = make(True), make(False)
    answer, _ = fed(listener, pieces(dialler.start(), cuts))
    last, _ = fed(dialler, pieces(answer, cuts))
    stream = last + b"".join(dialler.seal(text) for text in texts)
    assert fed(listener, pieces(stream, cuts)) == (b"", texts)
    assert listener.established
    back = b"".join(listener.seal(text) for text in texts)
    assert fed(dialler, pieces(back, cuts)) == (b"", texts)
    listener.eof()


@both_kinds
def test_several_messages_are_sealed_together(make: Make) -> None:
    dialler, listener = meet(make)
    for texts in ([b"#t", b"#f"], [b"1"], [b"a" * 40_000, b"b" * 40_000, b"c"], [b"x" * (65_535 - 16 - 4 - 4 - 1), b"y"]):
        before = dialler.records
        assert listener.receive(dialler.seal(*texts)) == (b"", texts)
        if make is not plain:
            assert dialler.records - before == (2 if len(texts) == 3 else 1), "as few records as hold them"


@both_kinds
def test_one_byte_at_a_time(make: Make) -> None:
    dialler, listener = make(True), make(False)
    answer, _ = fed(listener, [bytes([each]) for each in dialler.start()])
    last, _ = fed(dialler, [bytes([each]) for each in answer])
    texts = [b"one", b"2" * 70_000, b"three"]
    stream = last + b"".join(dialler.seal(text) for text in texts)
    assert fed(listener, [bytes([each]) for each in stream])[1] == texts


@both_kinds
def test_everything_at_once_and_nothing_at_all(make: Make) -> None:
    dialler, listener = make(True), make(False)
    assert listener.receive(b"") == (b"", [])
    last, _ = dialler.receive(listener.receive(dialler.start())[0])
    texts = [b"%d" % number for number in range(500)]
    assert listener.receive(last + b"".join(dialler.seal(text) for text in texts)) == (b"", texts)
    assert listener.receive(b"") == (b"", [])


@both_kinds
def test_any_bytes_like_object(make: Make) -> None:
    dialler, listener = make(True), make(False)
    last, _ = dialler.receive(bytearray(listener.receive(memoryview(dialler.start()))[0]))
    listener.receive(bytearray(last))
    _, texts = listener.receive(memoryview(dialler.seal(b"a") + dialler.seal(b"b" * 100_000)))
    assert texts == [b"a", b"b" * 100_000]
    assert all(type(text) is bytes for text in texts)


@both_kinds
def test_sizes_of_messages(make: Make) -> None:
    dialler, listener = meet(make)
    for size in (1, 65_514, 65_515, 65_516, 131_034, 131_035, spec.MAX_MESSAGE):
        text = random.Random(size).randbytes(size)
        sealed = dialler.seal(text)
        parts = [sealed[start : start + 65_536] for start in range(0, len(sealed), 65_536)]
        assert fed(listener, parts) == (b"", [text]), size
    for size in (0, spec.MAX_MESSAGE + 1):
        with pytest.raises(LocalProtocolError):
            dialler.seal(bytes(size))
    assert listener.receive(dialler.seal(b"still in step"))[1] == [b"still in step"]


# --- what must be refused: either kind --------------------------------------------------------------------------------


@both_kinds
def test_another_network_is_refused_with_its_reason(make: Make) -> None:
    for ours, other in (("", "class"), ("class", ""), ("class-7", "class-8")):
        dialler, listener = make(True, ours), make(False, other)
        answer, _ = listener.receive(dialler.start())
        with pytest.raises(HandshakeError) as caught:
            dialler.receive(answer)
        assert caught.value.reason == "other-network"
        assert not dialler.established
        assert not listener.established
        with pytest.raises(HandshakeError):
            listener.eof()
        with pytest.raises(LocalProtocolError):
            listener.seal(b"x")


@both_kinds
def test_nothing_more_is_taken_from_an_end_that_was_refused(make: Make) -> None:
    """Not even what would have been right from the start."""
    for wrong in (make(True, "other"), make(True, key=LISTENER)):
        listener = make(False)
        answer, _ = listener.receive(wrong.start())
        with pytest.raises(HandshakeError):
            wrong.receive(answer)
        for channel in (listener, wrong):
            with pytest.raises(ProtocolError):
                channel.receive(make(True).start())
            assert not channel.established
    dialler = make(True)
    dialler.start()
    with pytest.raises(HandshakeError):
        dialler.receive(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ProtocolError):
        dialler.receive(make(False).receive(make(True).start())[0])
    assert not dialler.established


@both_kinds
def test_our_own_key_is_refused(make: Make) -> None:
    """By the end that dialled, so a peer that dials itself learns it."""
    dialler, listener = make(True, key=DIALLER), make(False, key=DIALLER)
    answer, _ = listener.receive(dialler.start())
    with pytest.raises(HandshakeError) as caught:
        dialler.receive(answer)
    assert caught.value.reason == "own-key"
    assert not dialler.established
    assert not listener.established


@both_kinds
def test_our_own_bytes_come_back(make: Make) -> None:
    dialler = make(True)
    with pytest.raises(HandshakeError):
        dialler.receive(dialler.start())


STRANGERS = [
    b"#(iam 5)",
    b"\0\0\0\x08#(iam 5)",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\xff\xff\xff\xff" + bytes(100),
    bytes(100),
]


@both_kinds
@pytest.mark.parametrize("initiator", [True, False])
@pytest.mark.parametrize("data", STRANGERS)
def test_strangers_are_not_peers(make: Make, initiator: bool, data: bytes) -> None:
    channel = make(initiator)
    channel.start()
    with pytest.raises(HandshakeError) as caught:
        fed(channel, [data, data * 20])
    assert caught.value.reason == "not-a-peer"
    assert not channel.established
    with pytest.raises(ProtocolError):
        channel.eof()


@both_kinds
def test_random_bytes_raise_one_kind_of_error(make: Make) -> None:
    for seed in range(1_000):
        rng = random.Random(seed)
        channel = make(rng.random() < 0.5)
        channel.start()
        data = rng.randbytes(rng.randrange(1, 600))
        if rng.random() < 0.5:  # a length that is believed, to get further
            data = (32 if rng.random() < 0.5 else 180).to_bytes(2, "big") + data
        try:
            assert channel.receive(data)[1] == [], f"seed {seed}"
        except ProtocolError:
            with pytest.raises(ProtocolError):
                channel.receive(b"more")
        assert not channel.established, f"seed {seed}"


@both_kinds
def test_random_bytes_after_the_handshake(make: Make) -> None:
    for seed in range(200):
        rng = random.Random(seed)
        _, listener = meet(make)
        with pytest.raises(ProtocolError):
            listener.receive(b"\xff" + rng.randbytes(70_000))
        assert not listener.established, f"seed {seed}"
        for data in (b"", b"x"):
            with pytest.raises(ProtocolError):
                listener.receive(data)
        with pytest.raises(ProtocolError):
            listener.eof()
        with pytest.raises(LocalProtocolError):
            listener.seal(b"x")


@both_kinds
def test_the_end_of_the_stream(make: Make) -> None:
    """It may come between messages, and nowhere else."""
    dialler, listener = make(True), make(False)
    first = dialler.start()
    for channel in (dialler, listener):
        with pytest.raises(HandshakeError) as caught:
            channel.eof()
        assert caught.value.reason == "closed"
    listener.receive(first[:-1])
    with pytest.raises(HandshakeError):
        listener.eof()

    sealed = meet(make)[0].seal(b"x" * 200)
    for size in range(len(sealed) + 1):
        dialler, listener = meet(make)
        sealed = dialler.seal(b"x" * 200)
        listener.receive(sealed[:size])
        if size in (0, len(sealed)):
            listener.eof()
        else:
            with pytest.raises(ProtocolError):
                listener.eof()


@both_kinds
def test_memory_is_bounded(make: Make) -> None:
    """One unfinished message and one unfinished record, however it comes."""
    dialler, listener = meet(make)
    sealed = dialler.seal(b"x" * spec.MAX_MESSAGE)
    parts = [sealed[start : start + 65_536] for start in range(0, len(sealed), 65_536)]
    listener.receive(parts[0])
    tracemalloc.start()
    try:
        fed(listener, parts[1:-1])
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_250_000
    assert peak < 2_500_000
