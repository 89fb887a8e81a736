"""Channels: from a stream of foreign bytes to the message texts of one proven peer, and back. Bytes in, bytes out.

A channel is one connection's state and does no input or output. `start()` gives the first bytes to send; `receive(data)`
takes whatever arrived, in pieces of any size, and returns what to send back and the texts of the messages that are
complete; `seal(*texts)` gives the bytes that carry some messages. `eof()` says whether the stream may end here.

    NoiseChannel    handshake messages, then records; each after its length, 2 bytes, big-endian. A handshake message is at
                    most 512 bytes, a record 17 to 65,535; what the records carry is one stream of frames, which may span
                    or share records. The second and third message carry `#(hello 1 uid listen-port)`.
    PlainChannel    the same stream of frames without encryption, each end's `hello` first, with the network's name added.
                    It believes the uid it is told: for networks inside one process only.

The first thing that is not as it must be raises `ProtocolError` and ends the channel: its keys are dropped and nothing
more is taken from it. No length is believed before it is checked, and at most one unfinished record and one unfinished
frame are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from p2pnb.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from p2pnb.secret import Secret
from p2pnb.spec import MAX_HANDSHAKE_MESSAGE, MAX_RECORD, MIN_RECORD, PROLOGUE
from p2pnb.uid import short
from p2pnb.wire.framing import Deframer, frame, unframed
from p2pnb.wire.messages import Hello, hello_datum, parse_hello
from p2pnb.wire.noise import KEY, Cipher, Handshake, HandshakeError, KeyPair, StaticKey, uid_of
from p2pnb.wire.sexp import dumps, loads
from p2pnb.wire.sodium import TAG

Result = TypeVar("Result")

LENGTH = 2  # bytes of the length before a handshake message or record
GREETINGS = 16_384  # that are remembered: those of all the nodes of a large cluster in one process
MAX_PLAINTEXT = MAX_RECORD - TAG
# sizes that each handshake message can have: bare; two keys and a payload; one key and a payload
_SIZES = ((KEY, KEY), (2 * KEY + 2 * TAG, MAX_HANDSHAKE_MESSAGE), (KEY + 2 * TAG, MAX_HANDSHAKE_MESSAGE))


class Channel(Protocol):
    """What a link asks of a channel."""

    established: bool  # whether the other end is known and messages may be sealed
    uid: int | None  # the other end's, once established
    port: int  # where the other end listens, once established; 0: a client

    @property
    def records(self) -> int:
        """How many records were sealed and opened: a connection is renewed after 2^20."""

    @property
    def held(self) -> int:
        """Bytes that arrived and wait for the rest of their message."""

    def start(self) -> bytes:
        """The first bytes to send; none for the end that did not dial."""

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Takes what arrived; gives the bytes to send back and the texts of the messages that are now complete."""

    def seal(self, *texts: bytes) -> bytes:
        """The bytes that carry these messages, together. Raises `LocalProtocolError` before the channel is established."""

    def eof(self) -> None:
        """The stream has ended. Raises `ProtocolError` when it ended inside of anything."""


class NoiseChannel(Secret):
    """A channel under `Noise_XX_25519_ChaChaPoly_SHA256`. `uid` is proven: the SHA-256 of the other end's static key.

    `listen_port` is where we listen (0: a client), `network` the name that both ends must have in common. `ephemeral`
    fixes the handshake's own key pair, for transcripts and tests.
    """

    __slots__ = ("_buffer", "_deframer", "_handshake", "_hello", "_needed", "_opening", "_sealing", "established", "port", "uid")

    def __init__(self, initiator: bool, static: StaticKey, listen_port: int, network: str, ephemeral: KeyPair | None = None) -> None:
        self.uid: int | None = None
        self.port = 0
        self.established = False
        self._handshake: Handshake | None = Handshake(initiator, static, PROLOGUE + network.encode(), ephemeral)
        self._hello = _written_hello(static.uid, listen_port)
        self._sealing: Cipher | None = None
        self._opening: Cipher | None = None
        self._buffer: bytes | bytearray = b""  # an unfinished handshake message or record, with its length
        self._needed = LENGTH  # how many bytes the buffer must hold before there is anything to do
        self._deframer: Deframer | None = None  # while a frame is not complete

    def __repr__(self) -> str:
        return f"<NoiseChannel {'with ' + short(self.uid) if self.uid is not None else 'not established'}>"

    @property
    def records(self) -> int:
        """How many records were sealed and opened."""
        return self._sealing.count + self._opening.count if self._sealing and self._opening else 0

    @property
    def held(self) -> int:
        """Bytes that arrived and wait for the rest of their record or message."""
        return len(self._buffer) + (self._deframer.held if self._deframer is not None else 0)

    def start(self) -> bytes:
        """The first handshake message, once, for the end that dialled; else nothing."""
        handshake = self._handshake
        if handshake is None or not handshake.initiator or handshake.step:
            return b""
        return _with_length(handshake.write())

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Takes what arrived; gives the bytes to send back and the texts of the messages that are now complete.

        Raises `HandshakeError` until the channel is established, `ProtocolError` afterwards.
        """
        try:
            return self._take(data)
        except ProtocolError:
            self._handshake = self._sealing = self._opening = None
            self._buffer = b""
            self.established = False
            raise

    def seal(self, *texts: bytes) -> bytes:
        """The records that carry the messages `texts` (each 1 to 1,000,000 bytes), as few as hold them."""
        sealing = self._sealing
        if sealing is None:
            raise LocalProtocolError("the channel is not established")
        framed = frame(texts[0]) if len(texts) == 1 else b"".join([frame(text) for text in texts])
        if len(framed) <= MAX_PLAINTEXT:
            return _with_length(sealing.seal(framed))
        parts: list[bytes] = []
        for start in range(0, len(framed), MAX_PLAINTEXT):
            record = sealing.seal(framed[start : start + MAX_PLAINTEXT])
            parts += (len(record).to_bytes(LENGTH, "big"), record)
        return b"".join(parts)

    def eof(self) -> None:
        """The stream has ended. Raises `ProtocolError` when it ended inside a handshake, record or message."""
        if not self.established:
            raise HandshakeError("the connection ended before the handshake did", "closed")
        if self._buffer or self._deframer is not None:
            raise RemoteProtocolError("the connection ended inside a message")

    def _take(self, data: bytes) -> tuple[bytes, list[bytes]]:
        if self._opening is None and self._handshake is None:
            raise RemoteProtocolError("this channel has ended")
        if self._buffer:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
            if len(self._buffer) < self._needed:
                return b"", []
            data, self._buffer = bytes(self._buffer), b""
        reply, texts = b"", list[bytes]()
        position, end, self._needed = 0, len(data), LENGTH
        while end - position >= LENGTH:
            size = (data[position] << 8) | data[position + 1]
            opening = self._opening
            if opening is None or size < MIN_RECORD:
                self._check(size)
            if end - position < LENGTH + size:
                self._needed = LENGTH + size
                break
            position += LENGTH
            message = bytes(data[position : position + size])
            position += size
            if opening is None:
                reply += self._shake(message)
            else:
                completed, self._deframer = unframed(self._deframer, opening.open(message))
                texts += completed
        if position < end:
            self._buffer = data[position:]
        return reply, texts

    def _check(self, size: int) -> None:
        """Refuses a length that nothing honest has, before anything is kept for it. No length is above `MAX_RECORD`."""
        if self._handshake is None:
            raise RemoteProtocolError(f"a record of {size} bytes")
        low, high = _SIZES[self._handshake.step]
        if not low <= size <= high:
            raise HandshakeError(f"{size} bytes are no handshake message")

    def _shake(self, message: bytes) -> bytes:
        """Takes one handshake message; gives the one to send back, if any."""
        handshake = self._handshake
        assert handshake is not None
        payload = handshake.read(message)
        if handshake.step == 1:
            return _with_length(handshake.write(self._hello))
        if handshake.remote_static == handshake.static.public:
            raise HandshakeError("it has our own static key", "own-key")
        hello, _ = _or_not_a_peer(_recall_hello, payload)
        if hello.uid != uid_of(handshake.remote_static):
            raise HandshakeError("its uid is not the hash of its static key", "wrong-uid")
        reply = _with_length(handshake.write(self._hello)) if handshake.initiator else b""
        self._sealing, self._opening = handshake.split()
        self._handshake, self._hello = None, b""
        self.uid, self.port, self.established = hello.uid, hello.port, True
        return reply


class PlainChannel:
    """The same stream of frames without encryption. `uid` is what the other end says: for use inside one process only.

    The end that dialled says `#(hello 1 uid listen-port network)` first, the other end answers with its own.
    """

    __slots__ = ("_deframer", "_ended", "_hello", "_initiator", "_network", "_own", "established", "port", "records", "uid")

    def __init__(self, initiator: bool, uid: int, listen_port: int, network: str) -> None:
        self._initiator = initiator
        self._own = uid
        self._network = network
        self._hello = _plain_greeting(uid, listen_port, network)
        self._deframer: Deframer | None = None  # while a frame is not complete
        self._ended = ""  # the reason, once nothing more is taken
        self.records = 0  # messages sealed and received
        self.established = False
        self.uid: int | None = None
        self.port = 0

    @property
    def held(self) -> int:
        """Bytes that arrived and wait for the rest of their message."""
        return self._deframer.held if self._deframer is not None else 0

    def start(self) -> bytes:
        """Our `hello`, once, for the end that dialled; else nothing."""
        return self._say_hello() if self._initiator else b""

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Takes what arrived; gives the bytes to send back and the texts of the messages that are now complete.

        Raises `HandshakeError` until the channel is established, `ProtocolError` afterwards.
        """
        if self._ended:
            raise HandshakeError("this channel has ended", self._ended)
        try:
            if not self.established:
                return self._greet(data)
            texts = self._unframe(data)
            self.records += len(texts)
            return b"", texts
        except ProtocolError as error:
            self._ended = error.reason if isinstance(error, HandshakeError) else "not-a-peer"
            self.established = False
            raise

    def seal(self, *texts: bytes) -> bytes:
        """The frames of the messages `texts` (each 1 to 1,000,000 bytes)."""
        if not self.established:
            raise LocalProtocolError("the channel is not established")
        framed = b"".join([frame(text) for text in texts])
        self.records += len(texts)
        return framed

    def eof(self) -> None:
        """The stream has ended. Raises `ProtocolError` when it ended before or inside a message."""
        if not self.established:
            raise HandshakeError("the connection ended before the greeting did", self._ended or "closed")
        if self._deframer is not None:
            raise RemoteProtocolError("the connection ended inside a message")

    def _unframe(self, data: bytes) -> list[bytes]:
        """The texts that `data` completes."""
        texts, self._deframer = unframed(self._deframer, bytes(data))
        return texts

    def _say_hello(self) -> bytes:
        hello, self._hello = self._hello, b""
        return hello

    def _greet(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """`receive` until the other end's `hello` is complete; answers with ours, unless it was said."""
        whole = _recall_greeting(bytes(data)) if self._deframer is None and len(data) <= MAX_HANDSHAKE_MESSAGE else None
        texts: list[bytes] = []
        if whole is None:
            texts = _or_not_a_peer(self._unframe, data)
            if not texts:
                return b"", []
            whole = _or_not_a_peer(_read_hello, texts.pop(0))
        hello, more = whole
        if not more or more[0] != self._network:
            return self._refuse("it belongs to another network", "other-network")
        if hello.uid == self._own:
            return self._refuse("it has our own uid", "own-key")
        self.uid, self.port, self.established = hello.uid, hello.port, True
        self.records += len(texts)
        return self._say_hello(), texts

    def _refuse(self, message: str, reason: str) -> tuple[bytes, list[bytes]]:
        """The end that dialled must learn the reason, so the other one greets it and takes nothing more."""
        if self._initiator:
            raise HandshakeError(message, reason)
        self._ended = reason
        return self._say_hello(), []


def _with_length(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH, "big") + message


@lru_cache(maxsize=GREETINGS)
def _written_hello(uid: int, listen_port: int) -> bytes:
    return dumps(hello_datum(Hello(uid, listen_port)))


def _read_hello(text: bytes) -> tuple[Hello, tuple[Any, ...]]:
    """The greeting in `text`, and whatever follows its fourth element."""
    datum = loads(text)
    return parse_hello(datum), datum[4:]


_recall_hello = lru_cache(maxsize=GREETINGS)(_read_hello)  # a peer greets each of its neighbours with the same few bytes


@lru_cache(maxsize=GREETINGS)
def _recall_greeting(data: bytes) -> tuple[Hello, tuple[Any, ...]] | None:
    """What a plain greeting says that is all of `data`; None if that is anything else."""
    try:
        texts, deframer = unframed(None, data)
        return _read_hello(texts[0]) if deframer is None and len(texts) == 1 else None
    except ProtocolError:
        return None


@lru_cache(maxsize=GREETINGS)
def _plain_greeting(uid: int, listen_port: int, network: str) -> bytes:
    return frame(dumps((*hello_datum(Hello(uid, listen_port)), network)))


def _or_not_a_peer(step: Callable[[bytes], Result], data: bytes) -> Result:
    """`step(data)`; what it refuses before the other end is known, no peer would have sent."""
    try:
        return step(data)
    except ProtocolError as error:
        raise HandshakeError(str(error), "not-a-peer") from error
