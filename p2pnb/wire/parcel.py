"""Parcels: messages handed over as they are, with the size that their text would have.

Inside one process nobody needs the text, and writing and reading it is a good part of what a message costs. Whoever simulates
thousands of peers can leave it out: the same messages go the same ways at the same times, and every size is the true one. What
the reader of texts would refuse is not made here either; only foreign bytes are malformed, and there are none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from p2pnb.errors import LocalProtocolError
from p2pnb.spec import SIZE_PREFIX
from p2pnb.wire.channel import PlainChannel
from p2pnb.wire.messages import Message, Nearest, Peers, Stored, Value, Version, Welcome, to_datum
from p2pnb.wire.noise import HandshakeError
from p2pnb.wire.sexp import dumps


class Parcel:
    """One message on its way. `len()` is the size of its text in bytes; while it is sealed, that of everything that goes with it.

    `b"…" + parcel` is one chunk: the parcel, and the bytes that go before it.
    """

    __slots__ = ("before", "message", "size")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.size = size_of(message)
        self.before = b""

    def __len__(self) -> int:
        return self.size

    def __radd__(self, before: bytes) -> Parcel:
        self.before = before
        self.size += len(before)
        return self


def size_of(message: Message) -> int:
    """How many bytes the canonical text of `message` has. Raises `LocalProtocolError` for what cannot be written."""
    if type(message) is Nearest:
        texts = [each.datum.text or dumps(each.datum) for each in message.contacts]
        return len("#(peer)") + len(texts) + sum(map(len, texts))
    if type(message) is Stored:
        return len("#t")
    if type(message) is Welcome:  # of each peer another one
        return len('#(welcome "" )') + len(message.ip) + len(f"{message.port} ") + _digits(message.uid)
    if type(message) is Peers:
        return len("#(peers )") + _digits(message.key)
    if isinstance(message, (Value, Version)) and message.age is not None:  # which differs each time, beside much that does not
        return _size_of(Value(message.value) if isinstance(message, Value) else message.aged(None)) + 1 + len(str(message.age))
    return _size_of(message)


@lru_cache(maxsize=16_384)
def _digits(number: int) -> int:
    return len(str(number))


@lru_cache(maxsize=4_096)
def _size_of(message: Message) -> int:
    return len(dumps(to_datum(message)))


def opened(parcel: Parcel) -> Message:
    """The message in `parcel`."""
    return parcel.message


class ParcelChannel(PlainChannel):
    """Greets as a `PlainChannel` does, and carries parcels from then on."""

    __slots__ = ()

    def receive(self, data: Any) -> tuple[bytes, list[Any]]:
        if type(data) is not Parcel:
            return PlainChannel.receive(self, data)
        answer: bytes = b""
        if data.before:
            answer, _ = super().receive(data.before)
        if not self.established:
            raise HandshakeError("a parcel before the greeting", "not-a-peer")
        self.records += 1
        data.size -= SIZE_PREFIX + len(data.before)
        return answer, [data]

    def seal(self, *texts: Any) -> Any:
        if not self.established:
            raise LocalProtocolError("the channel is not established")
        (parcel,) = texts
        self.records += 1
        parcel.size += SIZE_PREFIX
        return parcel
