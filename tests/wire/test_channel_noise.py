"""Encrypted channels against ends that tamper, lie, replay and cut; and against another implementation of Noise.

`Foreign` is the protocol spoken without a channel, by hand, so that it can also be spoken wrongly.
"""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from noise.connection import Keypair, NoiseConnection

from p2pnb import spec
from p2pnb.errors import ProtocolError
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.framing import Deframer, frame
from p2pnb.wire.noise import Cipher, Handshake, HandshakeError, KeyPair, StaticKey
from p2pnb.wire.sexp import dumps, loads

OURS, THEIRS = StaticKey.from_seed(b"o" * 32), StaticKey.from_seed(b"t" * 32)


def channel(initiator: bool = False, key: StaticKey = OURS, network: str = "", ephemeral: KeyPair | None = None) -> NoiseChannel:
    return NoiseChannel(initiator, key, 9000, network, ephemeral)


def meet() -> tuple[NoiseChannel, NoiseChannel]:
    dialler, listener = channel(True, THEIRS), channel(False)
    answer, _ = listener.receive(dialler.start())
    listener.receive(dialler.receive(answer)[0])
    return dialler, listener


def with_length(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def messages_in(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        size = int.from_bytes(stream[:2], "big")
        assert len(stream) >= 2 + size
        found.append(stream[2 : 2 + size])
        stream = stream[2 + size :]
    return found


def hello(uid: int = THEIRS.uid, port: Any = 9001, *more: Any) -> bytes:
    return dumps((*loads(b"#(hello 1)"), uid, port, *more))


class Foreign:
    """An end that dials `listener` (or is dialled by it), with any key, payloads and prologue."""

    def __init__(self, initiator: bool, payload: bytes, key: KeyPair = THEIRS, prologue: bytes = spec.PROLOGUE) -> None:
        self.handshake = Handshake(initiator, key, prologue)
        self.payload = payload
        self.send = self.recv = Cipher(key._private)

    def meet(self, other: NoiseChannel) -> list[bytes]:
        """Shakes hands with `other`; gives the payloads that it sent."""
        if self.handshake.initiator:
            answer, _ = other.receive(with_length(self.handshake.write()))
            payloads = [self.handshake.read(messages_in(answer)[0])]
            other.receive(with_length(self.handshake.write(self.payload)))
        else:
            self.handshake.read(messages_in(other.start())[0])
            answer, _ = other.receive(with_length(self.handshake.write(self.payload)))
            payloads = [self.handshake.read(messages_in(answer)[0])]
        self.send, self.recv = self.handshake.split()
        return payloads

    def record(self, plaintext: bytes) -> bytes:
        return with_length(self.send.seal(plaintext))


both_roles = pytest.mark.parametrize("dials", [True, False])


# --- tampering --------------------------------------------------------------------------------------------------------


def test_every_byte_of_the_handshake_flipped() -> None:
    """The end that receives the altered message never takes the other for a peer, and nobody accepts a message."""
    rng = random.Random(1)
    sizes = [len(each) for each in _handshake(None, 0, 0)[2]]
    assert min(sizes) > 30
    for turn, size in enumerate(sizes):
        for place in range(size):
            flip = rng.choice((1, 128, rng.randrange(1, 256)))
            dialler, listener, _ = _handshake(turn, place, flip)
            receiver = dialler if turn == 1 else listener
            assert not receiver.established, f"message {turn}, byte {place}, xor {flip}"
            for sender, other in ((dialler, listener), (listener, dialler)):
                if sender.established:
                    assert _texts(other, sender.seal(b"x" * 99) * 700) == [], f"message {turn}, byte {place}, xor {flip}"


def _handshake(turn: int | None, place: int, flip: int) -> tuple[NoiseChannel, NoiseChannel, list[bytes]]:
    """A handshake in which one byte of message `turn` is altered; the ends and what they sent."""
    dialler, listener = channel(True, THEIRS), channel(False)
    sent, message = [], dialler.start()
    for number, receiver in enumerate((listener, dialler, listener)):
        sent.append(message)
        if number == turn:
            message = message[:place] + bytes([message[place] ^ flip]) + message[place + 1 :]
        try:
            message, texts = receiver.receive(message)
        except HandshakeError:
            break
        assert texts == []
    return dialler, listener, sent


def _texts(receiver: NoiseChannel, data: bytes) -> list[bytes]:
    try:
        return receiver.receive(data)[1]
    except ProtocolError:
        return []


def test_every_byte_of_200_records_flipped() -> None:
    rng = random.Random(2)
    dialler, listener = meet()
    texts = [rng.randbytes(rng.randrange(1, 60)) for _ in range(200)]
    records = [dialler.seal(text) for text in texts]
    padding = bytes(66_000)  # so that no altered length is left waiting
    opening = listener._opening
    accepted = tried = 0
    for number, record in enumerate(records):
        rest = b"".join(records[number + 1 : number + 3]) + padding
        for place in range(len(record)):
            altered = bytearray(record)
            altered[place] ^= rng.randrange(1, 256)
            accepted += len(_texts(listener, bytes(altered) + rest))
            assert not listener.established
            tried += 1
            listener._opening, listener._sealing, listener.established = opening, opening, True  # as if it had not been
        assert listener.receive(record) == (b"", [texts[number]]), "the record as it was is accepted"
    assert tried > 200 * 50
    assert accepted == 0


def test_records_replayed_reordered_dropped_or_reflected() -> None:
    for choose in (lambda a, b, c: [a, a], lambda a, b, c: [b], lambda a, b, c: [a, c], lambda a, b, c: [b, a]):
        dialler, listener = meet()
        order = choose(*[dialler.seal(text) for text in (b"a", b"b", b"c")])
        for record in order[:-1]:
            _texts(listener, record)
        with pytest.raises(ProtocolError):
            listener.receive(order[-1])
    dialler, listener = meet()
    with pytest.raises(ProtocolError):
        dialler.receive(dialler.seal(b"a"))
    with pytest.raises(ProtocolError):
        listener.receive(meet()[0].seal(b"of another connection"))


def test_a_handshake_replayed_to_a_new_channel() -> None:
    dialler, listener = channel(True, THEIRS), channel(False)
    first = dialler.start()
    third, _ = dialler.receive(listener.receive(first)[0])
    listener.receive(third)
    assert listener.established
    again = channel(False)
    again.receive(first)
    with pytest.raises(HandshakeError):
        again.receive(third)
    assert not again.established


# --- who the other end says it is -------------------------------------------------------------------------------------


@both_roles
def test_a_foreign_end_that_speaks_rightly_is_taken(dials: bool) -> None:
    ours, foreign = channel(not dials), Foreign(dials, hello())
    assert foreign.meet(ours) == [hello(OURS.uid, 9000)]
    assert (ours.uid, ours.port, ours.established) == (THEIRS.uid, 9001, True)
    assert ours.receive(foreign.record(frame(b"#t"))) == (b"", [b"#t"])
    assert foreign.recv.open(messages_in(ours.seal(b"#f"))[0]) == frame(b"#f")


@both_roles
@pytest.mark.parametrize("payload", [hello(THEIRS.uid, 9001, 5, "later", [1]), hello(THEIRS.uid, 0), hello(THEIRS.uid, 65_535)])
def test_greetings_that_are_taken(dials: bool, payload: bytes) -> None:
    ours = channel(not dials)
    Foreign(dials, payload).meet(ours)
    assert ours.established


@both_roles
@pytest.mark.parametrize("uid", [OURS.uid, 0, THEIRS.uid + 1, int.from_bytes(THEIRS.public, "big")])
def test_a_uid_that_is_not_proven(dials: bool, uid: int) -> None:
    ours = channel(not dials)
    with pytest.raises(HandshakeError) as caught:
        Foreign(dials, hello(uid)).meet(ours)
    assert caught.value.reason == "wrong-uid"
    assert not ours.established


@both_roles
def test_our_own_static_key(dials: bool) -> None:
    ours = channel(not dials)
    with pytest.raises(HandshakeError) as caught:
        Foreign(dials, hello(OURS.uid), OURS).meet(ours)
    assert caught.value.reason == "own-key"
    assert not ours.established


@both_roles
def test_somebody_elses_public_key(dials: bool) -> None:
    """Claiming a static key without its private half gets nowhere."""
    victim = StaticKey.from_seed(b"v" * 32)
    thief = KeyPair.from_seed(b"x" * 32)
    thief.public = victim.public
    ours, foreign = channel(not dials), Foreign(dials, hello(victim.uid), thief)
    with pytest.raises(HandshakeError):
        foreign.meet(ours)
    assert not ours.established


BAD_GREETINGS = [
    b"",
    b"hello",
    b"#(hello 1)",
    b"#(hello 2 5 5)",
    b"(hello 1 5 5)",
    b"#(iam 5)",
    b"#(" * 150,
    b"\xff" * 40,
    hello(THEIRS.uid, 65_536),
    hello(THEIRS.uid, -1),
    hello(THEIRS.uid, "9001"),
    hello(-1),
    hello(2**256),
    hello() + b" 5",
]


@both_roles
@pytest.mark.parametrize("payload", BAD_GREETINGS, ids=range(len(BAD_GREETINGS)))
def test_greetings_that_are_refused(dials: bool, payload: bytes) -> None:
    ours = channel(not dials)
    with pytest.raises(HandshakeError) as caught:
        Foreign(dials, payload).meet(ours)
    assert caught.value.reason == "not-a-peer"
    assert not ours.established


@both_roles
def test_another_prologue(dials: bool) -> None:
    for prologue in (b"", b"p2pnb/2\0", b"p2pnb/1", spec.PROLOGUE + b"class"):
        ours = channel(not dials)
        with pytest.raises(HandshakeError):
            Foreign(dials, hello(), prologue=prologue).meet(ours)
        assert not ours.established


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("initiator", "turn", "sizes"), [(False, 0, (31, 33, 96)), (True, 1, (95, 513)), (False, 2, (63, 513))])
def test_sizes_of_handshake_messages(initiator: bool, turn: int, sizes: tuple[int, ...]) -> None:
    """Refused as soon as the length is there. The first message has no room for a payload."""
    for size in (0, 1, 16, *sizes, 65_535):
        ours, other = channel(initiator), channel(not initiator, THEIRS)
        if turn == 1:
            ours.start()
        elif turn == 2:
            other.receive(ours.receive(other.start())[0])
        with pytest.raises(HandshakeError) as caught:
            ours.receive(size.to_bytes(2, "big"))
        assert caught.value.reason == "not-a-peer"


@both_roles
def test_the_longest_handshake_message(dials: bool) -> None:
    room = 512 - (64 if dials else 96)
    padding = "x" * (room - len(hello(THEIRS.uid, 9001, "")))
    ours = channel(not dials)
    Foreign(dials, hello(THEIRS.uid, 9001, padding)).meet(ours)
    assert ours.established
    ours = channel(not dials)
    with pytest.raises(HandshakeError):
        Foreign(dials, hello(THEIRS.uid, 9001, padding + "x")).meet(ours)


def test_sizes_of_records() -> None:
    for size in (0, 1, 16):
        with pytest.raises(ProtocolError):
            meet()[1].receive(size.to_bytes(2, "big"))
    dialler, _ = meet()
    sizes = [len(record) for record in messages_in(dialler.seal(bytes(spec.MAX_MESSAGE)))]
    assert sizes[:-1] == [spec.MAX_RECORD] * 15
    assert sum(sizes) == spec.MAX_MESSAGE + 4 + 16 * 16
    assert [len(record) for record in messages_in(dialler.seal(bytes(65_515)))] == [65_535]
    assert [len(record) for record in messages_in(dialler.seal(bytes(65_516)))] == [65_535, 17]
    assert [len(record) for record in messages_in(dialler.seal(b"x"))] == [21]


def test_frames_share_and_span_records() -> None:
    """However the other end cuts its stream into records, and however those arrive."""
    for seed in range(100):
        rng = random.Random(seed)
        ours, foreign = channel(), Foreign(True, hello())
        foreign.meet(ours)
        texts = [rng.randbytes(rng.choice((1, 2, 100, 5_000))) for _ in range(rng.randrange(1, 12))]
        stream, sealed = b"".join(map(frame, texts)), b""
        while stream:
            size = rng.choice((1, 2, 5, 300, 65_519))
            sealed += foreign.record(stream[:size])
            stream = stream[size:]
        got = []
        while sealed:
            size = rng.choice((1, 3, 1_000, 70_000))
            got += ours.receive(sealed[:size])[1]
            sealed = sealed[size:]
        assert got == texts, f"seed {seed}"
        ours.eof()


def test_a_stream_cut_between_records_but_inside_a_message() -> None:
    ours, foreign = channel(), Foreign(True, hello())
    foreign.meet(ours)
    framed = frame(b"x" * 50)
    for cut in (1, 4, 30):
        assert ours.receive(foreign.record(framed[:cut])) == (b"", [])
        with pytest.raises(ProtocolError):
            ours.eof()
        assert ours.receive(foreign.record(framed[cut:])) == (b"", [b"x" * 50])
        ours.eof()


@pytest.mark.parametrize("size", [0, spec.MAX_MESSAGE + 1, 0xFFFFFFFF])
def test_frames_of_a_bogus_size_inside_of_records(size: int) -> None:
    ours, foreign = channel(), Foreign(True, hello())
    foreign.meet(ours)
    record = foreign.record(size.to_bytes(4, "big") + b"x" * 100)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            ours.receive(record)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    assert not ours.established


# --- another implementation -------------------------------------------------------------------------------------------


@both_roles
def test_a_session_with_another_implementation(dials: bool) -> None:
    """PyPI's `noiseprotocol` at the other end, with its own idea of everything but the framing."""
    theirs = NoiseConnection.from_name(spec.NOISE_PROTOCOL)
    theirs.set_as_initiator() if dials else theirs.set_as_responder()
    theirs.set_prologue(spec.PROLOGUE + "Größe".encode())
    theirs.set_keypair_from_private_bytes(Keypair.STATIC, b"t" * 32)
    theirs.start_handshake()
    ours = channel(not dials, network="Größe")
    if dials:
        answer, _ = ours.receive(with_length(bytes(theirs.write_message())))
        assert bytes(theirs.read_message(messages_in(answer)[0])) == hello(OURS.uid, 9000)
        ours.receive(with_length(bytes(theirs.write_message(hello()))))
    else:
        assert bytes(theirs.read_message(messages_in(ours.start())[0])) == b""
        answer, _ = ours.receive(with_length(bytes(theirs.write_message(hello()))))
        assert bytes(theirs.read_message(messages_in(answer)[0])) == hello(OURS.uid, 9000)
    assert (ours.uid, ours.port) == (THEIRS.uid, 9001)
    deframer = Deframer()
    for text in (b"#(ref 5)", b"x" * 200_000, b"#t"):
        assert ours.receive(with_length(theirs.encrypt(frame(text)[:65_000])))[1] == ([text] if len(text) < 100 else [])
        rest = [frame(text)[start : start + 65_000] for start in range(65_000, len(text), 65_000)]
        assert [each for part in rest for each in ours.receive(with_length(theirs.encrypt(part)))[1]] == [text] * bool(rest)
        received = [each for record in messages_in(ours.seal(text)) for each in deframer.feed(bytes(theirs.decrypt(record)))]
        assert received == [text]
    ours.eof()


# --- fixed keys -------------------------------------------------------------------------------------------------------


def test_fixed_keys_repeat_every_byte() -> None:
    """What a written transcript rests on."""

    def session() -> list[bytes]:
        dialler = channel(True, THEIRS, "class", KeyPair.from_seed(b"1" * 32))
        listener = channel(False, OURS, "class", KeyPair.from_seed(b"2" * 32))
        first = dialler.start()
        second, _ = listener.receive(first)
        third, _ = dialler.receive(second)
        listener.receive(third)
        return [first, second, third, dialler.seal(b"#(iam 5)"), listener.seal(b"#t")]

    assert session() == session()
    assert len(set(session())) == 5
