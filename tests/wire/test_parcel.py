"""Parcels: messages that are handed over unwritten have the very size of their text, and go through a channel as texts do."""

from __future__ import annotations

import pytest

from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.spec import SIZE_PREFIX
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import (
    Bag,
    BagAdd,
    BagEntry,
    BagPopular,
    Iam,
    Message,
    NamespaceRef,
    NamespaceSet,
    Nearest,
    Peers,
    Ref,
    Set,
    Stored,
    Value,
    Version,
    Welcome,
    is_request,
    parse_reply,
    parse_request,
    to_datum,
)
from p2pnb.wire.parcel import Parcel, ParcelChannel, opened, size_of
from p2pnb.wire.sexp import dumps

UID = 2**255 + 12345
REQUESTS: list[Message] = [
    Iam(UID),
    Peers(0),
    Set(b""),
    Set(bytes(range(256)) * 40, 77),
    Ref(UID),
    BagAdd(UID, bytes(32)),
    BagPopular(UID),
    NamespaceSet(bytes(32), UID, bytes(32), bytes(64), 5),
    NamespaceRef(bytes(32), 9, bytes(64)),
]
REPLIES: list[Message] = [
    Welcome("127.0.0.1", 9000, UID),
    Nearest(()),
    Nearest(tuple(contact("10.0.0.1", 1000 + i, UID - i) for i in range(20))),
    Nearest((contact("10.0.0.1", 9), contact("10.0.0.2", 65_535, 0))),
    Stored(True),
    Stored(False),
    Value(bytes(1000)),
    Value(bytes(1000), 12_345),
    Bag((BagEntry(bytes(32), 3, 60),)),
    Version(bytes(32), bytes(64), 2**62),
    Version(bytes(32), bytes(64), 2**62, 7),
]


@pytest.mark.parametrize("message", REQUESTS + REPLIES, ids=repr)
def test_the_size_is_that_of_the_text(message: Message) -> None:
    assert size_of(message) == len(dumps(to_datum(message))) == len(Parcel(message))


def test_a_message_is_its_own_datum() -> None:
    for message in REQUESTS:
        assert is_request(message)
        assert parse_request(message) is message
        with pytest.raises(ProtocolError):
            parse_reply(message)
    for message in REPLIES:
        assert not is_request(message)
        assert parse_reply(message) is message
        with pytest.raises(ProtocolError):
            parse_request(message)


def test_what_cannot_be_written_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError):
        Parcel(Set(bytes(600_000)))


def greeted() -> tuple[ParcelChannel, ParcelChannel]:
    dialling, listening = ParcelChannel(True, 1, 1001, "net"), ParcelChannel(False, 2, 1002, "net")
    answer, texts = listening.receive(dialling.start())
    assert not texts
    assert dialling.receive(answer) == (b"", [])
    assert (dialling.uid, listening.uid) == (2, 1)
    return dialling, listening


def test_a_channel_carries_parcels_once_both_have_greeted() -> None:
    dialling, listening = greeted()
    parcel = Parcel(Peers(7))
    size = len(parcel)
    sealed = dialling.seal(parcel)
    assert len(sealed) == size + SIZE_PREFIX, "as a frame has it"
    answer, (text,) = listening.receive(sealed)
    assert not answer
    assert len(text) == size
    assert opened(text) == Peers(7)
    assert dialling.records == listening.records == 1
    for early in (ParcelChannel(True, 1, 1001, "net"), ParcelChannel(False, 1, 1001, "net")):
        with pytest.raises(LocalProtocolError):
            early.seal(Parcel(Peers(7)))
        with pytest.raises(ProtocolError, match="before the greeting"):
            early.receive(Parcel(Peers(7)))


def test_the_last_words_of_a_greeting_and_a_parcel_are_one_chunk() -> None:
    dialling, listening = ParcelChannel(True, 1, 1001, "net"), ParcelChannel(False, 2, 1002, "net")
    answer, _ = listening.receive(dialling.start())
    chunk = answer + listening.seal(Parcel(Stored(True)))
    assert len(chunk) == len(answer) + len("#t") + SIZE_PREFIX
    _, (text,) = dialling.receive(chunk)
    assert dialling.established
    assert (opened(text), len(text)) == (Stored(True), len("#t"))
