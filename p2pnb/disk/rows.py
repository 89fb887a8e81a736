"""How what a node keeps is written as rows of a file, each with a checksum, and read back.

A row is (node, kind, name, moment, body, sum). `node` is the beginning of the node's uid; kind and name say what the row
is about, and a later row of the same kind and name takes its place; `moment` is when it was set, on the store's own
clock. The checksum covers all the rest. So a bit that flips anywhere, in a body or in a name, makes a row that is not
believed: it never makes another record. (Values are held against their SHA-256 too. A checksum is no signature: whoever
may write the file can write what he likes, and readers verify what comes from this node as they do from any other.)

Nothing here opens a file.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

from p2pnb import spec
from p2pnb.dht.kept import Kept, KeptEntry, KeptValue, KeptVote
from p2pnb.dht.namespaces import point_of
from p2pnb.uid import BYTES
from p2pnb.wire.messages import BagAdd, NamespaceSet, Set, Version

NODE_BYTES = 16  # of the uid, in each row
SUM_BYTES = 16
CLOCK, NODE, CONTACTS, VALUE, VOTE, ENTRY, PUBLISHED, PIN, ALLOWANCE = range(9)  # kinds
EXPIRING = (VALUE, VOTE, ENTRY)  # what a node keeps for others
PURGED = (*EXPIRING, ALLOWANCE)  # what is deleted a day after it was set

_HEAD = struct.Struct(">16sqqd")
_SEQUENCE = struct.Struct(">q")
_CHUNK = struct.Struct(">dq")
_VERSION = 8 + spec.RECORD_VALUE + spec.SIGNATURE


class Name(NamedTuple):
    """What a row is about, within its node."""

    kind: int
    name: bytes


class Pin(NamedTuple):
    """A version of an entry that a reader asked for by its signature."""

    public_key: bytes
    key: int
    version: Version


class Row(NamedTuple):
    """One row, in the order of its columns."""

    node: bytes
    kind: int
    name: bytes
    moment: float
    body: bytes
    sum: bytes


def row(node: bytes, name: Name, moment: float, body: bytes) -> Row:
    """The row with its checksum."""
    return Row(node, *name, moment, body, _sum(node, *name, moment, body))


def is_whole(found: tuple[object, ...]) -> bool:
    """Whether what was read is a row as it was written."""
    node, kind, name, moment, body, checksum = found
    typed = isinstance(node, bytes) and isinstance(name, bytes) and isinstance(body, bytes) and isinstance(checksum, bytes)
    return typed and type(kind) is int and type(moment) is float and _sum(node, kind, name, moment, body) == checksum  # type: ignore[arg-type]


def _sum(node: bytes, kind: int, name: bytes, moment: float, body: bytes) -> bytes:
    hashed = hashlib.blake2b(_HEAD.pack(node, kind, len(name), moment), digest_size=SUM_BYTES, person=b"p2pnb store 1")
    hashed.update(name)
    hashed.update(body)
    return hashed.digest()


# --- what a store keeps -------------------------------------------------------------------------------------------------


def value_at(key: int) -> Name:
    return Name(VALUE, _octets(key))


def vote_at(key: int, value: bytes, publisher: int | None) -> Name:
    return Name(VOTE, _octets(key) + value + _optional(publisher))


def entry_at(point: int) -> Name:
    return Name(ENTRY, _octets(point))


def body_of(kept: Kept) -> bytes:
    """What a row of `kept` has to say that is neither in its name nor its moment."""
    if isinstance(kept, KeptValue):
        return bytes([kept.publisher is not None]) + _octets(kept.publisher or 0) + kept.value
    if isinstance(kept, KeptVote):
        return b""
    return kept.public_key + _octets(kept.key) + b"".join(map(_version, kept.versions))


def kept_of(name: Name, since: float, body: bytes) -> Kept | None:
    """What `body_of` wrote, set `since`; None when it cannot be that, though its checksum is right."""
    key = int.from_bytes(name.name[:BYTES], "big")
    if name.kind == VALUE:
        value = body[1 + BYTES :]
        publisher = int.from_bytes(body[1 : 1 + BYTES], "big") if body[:1] == b"\1" else None
        return KeptValue(key, value, publisher, since) if hashlib.sha256(value).digest() == name.name else None
    if name.kind == VOTE:
        by = name.name[2 * BYTES :]
        return KeptVote(key, name.name[BYTES : 2 * BYTES], int.from_bytes(by, "big") if by else None, since)
    public_key, inner = body[:BYTES], int.from_bytes(body[BYTES : 2 * BYTES], "big")
    versions = tuple(_read_version(body[at : at + _VERSION]) for at in range(2 * BYTES, len(body), _VERSION))
    return KeptEntry(public_key, inner, versions, since) if point_of(public_key, inner) == key else None


# --- what a network group used of its hourly allowance --------------------------------------------------------------------

Chunks = list[tuple[float, int]]  # when, and how many bytes, oldest first


def allowance_at(group: str) -> Name:
    return Name(ALLOWANCE, group.encode())


def allowance_body(chunks: Chunks, moment: float) -> bytes:
    """Their ages at `moment`, which a clock that starts anew leaves as they are."""
    return b"".join(_CHUNK.pack(moment - when, size) for when, size in chunks)


def allowance_of(body: bytes, moment: float) -> Chunks:
    """What `allowance_body` wrote."""
    return [(moment - age, size) for age, size in _CHUNK.iter_unpack(body[: len(body) // _CHUNK.size * _CHUNK.size])]


# --- what a node published and renews, and what a reader pinned -----------------------------------------------------------

Published = Set | BagAdd | NamespaceSet


def published_at(request: Published) -> Name:
    if isinstance(request, Set):
        return Name(PUBLISHED, b"v" + hashlib.sha256(request.value).digest())
    if isinstance(request, BagAdd):
        return Name(PUBLISHED, b"b" + _octets(request.key) + request.value)
    return Name(PUBLISHED, b"n" + request.public_key + _octets(request.key))


def published_body(request: Published) -> bytes:
    if isinstance(request, NamespaceSet):
        return _version(request.version)
    return request.value if isinstance(request, Set) else b""


def published_of(name: bytes, body: bytes) -> Published:
    """The request that these two say."""
    if name[:1] == b"v":
        return Set(body)
    if name[:1] == b"b":
        return BagAdd(int.from_bytes(name[1 : 1 + BYTES], "big"), name[1 + BYTES :])
    return NamespaceSet.of(name[1 : 1 + BYTES], int.from_bytes(name[1 + BYTES :], "big"), _read_version(body))


def pin_at(pin: Pin) -> Name:
    return Name(PIN, pin.public_key + _octets(pin.key) + pin.version.signature)


def pin_body(pin: Pin) -> bytes:
    return _version(pin.version)


def pin_of(name: bytes, body: bytes) -> Pin:
    """The pin that these two say."""
    return Pin(name[:BYTES], int.from_bytes(name[BYTES : 2 * BYTES], "big"), _read_version(body))


def _version(version: Version) -> bytes:
    return _SEQUENCE.pack(version.sequence) + version.value + version.signature


def _read_version(octets: bytes) -> Version:
    value = octets[8 : 8 + spec.RECORD_VALUE]
    return Version(value, octets[8 + spec.RECORD_VALUE :], _SEQUENCE.unpack(octets[:8])[0])


def _octets(number: int) -> bytes:
    return number.to_bytes(BYTES, "big")


def _optional(number: int | None) -> bytes:
    return b"" if number is None else _octets(number)
