"""The messages: one frozen dataclass for each, and one table between them and s-expressions.

A message is a vector that begins with a symbol. The symbols of requests and of replies are disjoint, so one link can
carry both, each way. Nothing here trusts its input: a datum that is not exactly a message raises `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2pnb import spec
from p2pnb.errors import ProtocolError
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.sexp import Pair, Reread, Symbol, written
from p2pnb.wire.sexp_data import WrittenVector

# --- requests ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Iam:
    """The draft's `iam uid`."""

    uid: int


@dataclass(frozen=True, slots=True)
class Peers:
    """The draft's `peers key`."""

    key: int


@dataclass(frozen=True, slots=True)
class Set:
    """The draft's `set value`; with `age`, seconds since it was first set, a hand-over between replicas."""

    value: bytes
    age: int | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """The draft's `ref key`."""

    key: int


@dataclass(frozen=True, slots=True)
class BagAdd:
    """The draft's `bag-add key value`; with `age` a hand-over, which casts no vote."""

    key: int
    value: bytes
    age: int | None = None


@dataclass(frozen=True, slots=True)
class BagPopular:
    key: int


@dataclass(frozen=True, slots=True)
class BagRecent:
    key: int


@dataclass(frozen=True, slots=True)
class BagSample:
    key: int


@dataclass(frozen=True, slots=True)
class NamespaceSet:
    """The draft's `namespace-set public-key key value signature`, with a sequence number (0 where it is left out)."""

    public_key: bytes
    key: int
    value: bytes
    signature: bytes
    sequence: int = 0
    age: int | None = None

    @classmethod
    def of(cls, public_key: bytes, key: int, version: Version, age: int | None = None) -> NamespaceSet:
        """What asks to keep `version`; with `age` a hand-over, whatever age the version itself states."""
        return cls(public_key, key, version.value, version.signature, version.sequence, age)

    @property
    def version(self) -> Version:
        """What it asks to keep."""
        return Version(self.value, self.signature, self.sequence)


@dataclass(frozen=True, slots=True)
class NamespaceRef:
    """The draft's `namespace-ref public-key key`; the optional signature selects one version."""

    public_key: bytes
    key: int
    signature: bytes | None = None


# --- replies ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """The reply to `iam`: the address the asker is seen at, and the answerer's own uid."""

    ip: str
    port: int
    uid: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """`#(peer (ip port uid) …)`: at most 20 contacts, nearest first."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """`#t` or `#f`: whether a record was taken."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class Value:
    """`#(value #u8(…) [age])`: the reply to `ref`; `age` is seconds since the value was set or renewed, None where nobody says."""

    value: bytes
    age: int | None = None


@dataclass(frozen=True, slots=True)
class BagEntry:
    """One value of a bag: how many publishers voted for it, and seconds since the newest vote."""

    value: bytes
    publishers: int
    age: int


@dataclass(frozen=True, slots=True)
class Bag:
    """`#(bag (value publishers age-seconds) …)`: at most 100 entries, in the order that was asked for."""

    entries: tuple[BagEntry, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """`#(value value signature sequence [age])`: one version of a namespace's entry; `age` as a value's, of the whole entry."""

    value: bytes
    signature: bytes
    sequence: int
    age: int | None = None

    def aged(self, age: int | None) -> Version:
        """The same version with this age."""
        return self if age == self.age else Version(self.value, self.signature, self.sequence, age)


@dataclass(frozen=True, slots=True)
class Hello:
    """`#(hello 1 uid listen-port)`: the payload of the second and third handshake message; port 0 is a client."""

    uid: int
    port: int


BagQuery = BagPopular | BagRecent | BagSample
Request = Iam | Peers | Set | Ref | BagAdd | BagPopular | BagRecent | BagSample | NamespaceSet | NamespaceRef
Reply = Welcome | Nearest | Stored | Value | Bag | Version
Message = Request | Reply

# --- the kinds of field ------------------------------------------------------------------------------------------------


def _integer(bits: int, what: str) -> Callable[[Any], int]:
    def check(datum: Any) -> int:
        if type(datum) is not int or datum < 0 or datum >> bits:
            raise ProtocolError(f"{what} is an integer of 0 to 2^{bits} - 1")
        return datum

    return check


def _octets(size: int, what: str) -> Callable[[Any], bytes]:
    def check(datum: Any) -> bytes:
        if type(datum) is not bytes or len(datum) != size:
            raise ProtocolError(f"{what} is a bytevector of {size} bytes")
        return datum

    return check


def _value(datum: Any) -> bytes:
    if type(datum) is not bytes:
        raise ProtocolError("a value is a bytevector")
    return datum


def _text(datum: Any) -> str:
    if type(datum) is not str or len(datum) > 45:
        raise ProtocolError("an ip address is a string")
    return datum


def _contact(datum: Any) -> Contact:
    if isinstance(datum, Pair):  # (ip . port)
        datum = [datum.car, datum.cdr]
    if not isinstance(datum, list) or not 2 <= len(datum) <= 3:
        raise ProtocolError("a contact is (ip port uid)")
    named = contact(_text(datum[0]), _PORT(datum[1]), _UID(datum[2]) if len(datum) == 3 else None)
    if type(datum) is Reread:
        datum.meaning = named
    return named


def _entry(datum: Any) -> BagEntry:
    if not isinstance(datum, list) or len(datum) != 3:
        raise ProtocolError("an entry of a bag is (value publishers age-seconds)")
    return BagEntry(_RECORD(datum[0]), _COUNT(datum[1]), _AGE(datum[2]))


_UID = _integer(256, "a uid")
_KEY = _integer(256, "a key")
_PORT = _integer(16, "a port")
_AGE = _integer(63, "an age in seconds")
_COUNT = _integer(63, "a number of publishers")
_SEQUENCE = _integer(63, "a sequence number")
_RECORD = _octets(spec.RECORD_VALUE, "a value of a bag or namespace")
_PUBLIC_KEY = _octets(spec.PUBLIC_KEY, "a public key")
_SIGNATURE = _octets(spec.SIGNATURE, "a signature")

# --- the table: symbol, class, fields, how many of them may be left out at the end --------------------------------------

_REQUESTS: tuple[tuple[str, type, tuple[Callable[[Any], Any], ...], int], ...] = (
    ("iam", Iam, (_UID,), 0),
    ("peers", Peers, (_KEY,), 0),
    ("set", Set, (_value, _AGE), 1),
    ("ref", Ref, (_KEY,), 0),
    ("bag-add", BagAdd, (_KEY, _RECORD, _AGE), 1),
    ("bag-popular", BagPopular, (_KEY,), 0),
    ("bag-recent", BagRecent, (_KEY,), 0),
    ("bag-sample", BagSample, (_KEY,), 0),
    ("namespace-set", NamespaceSet, (_PUBLIC_KEY, _KEY, _RECORD, _SIGNATURE, _SEQUENCE, _AGE), 2),
    ("namespace-ref", NamespaceRef, (_PUBLIC_KEY, _KEY, _SIGNATURE), 1),
)

REPLIES_TO: dict[type, tuple[type, ...]] = {
    Iam: (Welcome,),
    Peers: (Nearest,),
    Set: (Stored,),
    Ref: (Value, Nearest),
    BagAdd: (Stored,),
    BagPopular: (Bag, Nearest),
    BagRecent: (Bag, Nearest),
    BagSample: (Bag, Nearest),
    NamespaceSet: (Stored,),
    NamespaceRef: (Version, Nearest),
}

_PARSERS = {name: (kind, fields, len(fields) - optional) for name, kind, fields, optional in _REQUESTS}
VERBS: dict[type, Symbol] = {kind: Symbol(name) for name, kind, _, _ in _REQUESTS}
_WELCOME, _PEER, _VALUE, _BAG, _HELLO = map(Symbol, ("welcome", "peer", "value", "bag", "hello"))


def is_request(datum: Any) -> bool:
    """Whether `datum` begins like a request (it may still be malformed), or is one: all a transport needs to count requests."""
    kind = type(datum)
    if kind is tuple or kind is WrittenVector:
        return bool(datum) and type(datum[0]) is Symbol and datum[0] in _PARSERS
    return kind in VERBS


def to_datum(message: Message) -> Any:
    """The s-expression of `message`."""
    kind = type(message)
    if kind in VERBS:
        fields = [getattr(message, name) for name in kind.__slots__]
        while fields and fields[-1] is None:
            fields.pop()
        return (VERBS[kind], *fields)
    if isinstance(message, Nearest):
        return (_PEER, *[each.datum for each in message.contacts])
    if isinstance(message, Stored):
        return message.accepted
    if isinstance(message, Value):
        return (_VALUE, message.value) if message.age is None else (_VALUE, message.value, message.age)
    if isinstance(message, Welcome):
        return (_WELCOME, message.ip, message.port, message.uid)
    if isinstance(message, Bag):
        return (_BAG, *[[entry.value, entry.publishers, entry.age] for entry in message.entries])
    assert isinstance(message, Version)
    signed = (_VALUE, message.value, message.signature, message.sequence)
    return signed if message.age is None else (*signed, message.age)


def to_written(request: Request) -> Any:
    """The same, to be sent to several: written out once. (A verb and a number are written as soon as they are remembered.)"""
    datum = to_datum(request)
    return datum if len(datum) == 2 and type(datum[1]) is int else written(datum)


def parse_request(datum: Any) -> Request:
    """The request that `datum` is, or already is. Raises `ProtocolError` for anything else."""
    if type(datum) in VERBS:
        return datum  # type: ignore[no-any-return]
    if not is_request(datum):
        raise ProtocolError("not a request")
    kind, fields, required = _PARSERS[datum[0]]
    if not required < len(datum) <= len(fields) + 1:
        raise ProtocolError(f"{datum[0]} takes {required} to {len(fields)} arguments, not {len(datum) - 1}")
    request: Request = kind(*[check(field) for check, field in zip(fields, datum[1:], strict=False)])
    return request


def parse_reply(datum: Any) -> Reply:
    """The reply that `datum` is, or already is. Raises `ProtocolError` for anything else."""
    if type(datum) is bool:
        return Stored(datum)
    if type(datum) is not tuple or not datum:
        if isinstance(datum, Reply):
            return datum
        raise ProtocolError("not a reply")
    head, size = datum[0], len(datum) - 1
    if type(head) is not Symbol:
        raise ProtocolError("not a reply")
    if head == _PEER:
        if size > spec.MAX_CONTACTS:
            raise ProtocolError(f"at most {spec.MAX_CONTACTS} contacts may be named, not {size}")
        return Nearest(tuple([each.meaning if type(each) is Reread and each.meaning else _contact(each) for each in datum[1:]]))
    if head == _VALUE and 1 <= size <= 2:
        return Value(_value(datum[1]), _AGE(datum[2]) if size == 2 else None)
    if head == _VALUE and 3 <= size <= 4:
        return Version(_RECORD(datum[1]), _SIGNATURE(datum[2]), _SEQUENCE(datum[3]), _AGE(datum[4]) if size == 4 else None)
    if head == _WELCOME and size == 3:
        return Welcome(_text(datum[1]), _PORT(datum[2]), _UID(datum[3]))
    if head == _BAG and size <= spec.MAX_BAG_REPLY:
        return Bag(tuple([_entry(each) for each in datum[1:]]))
    raise ProtocolError("not a reply")


def hello_datum(hello: Hello) -> Any:
    return (_HELLO, spec.HELLO_VERSION, hello.uid, hello.port)


def parse_hello(datum: Any) -> Hello:
    """The greeting inside a handshake; elements after the fourth are for later versions and ignored."""
    if type(datum) is not tuple or len(datum) < 4 or type(datum[0]) is not Symbol or type(datum[1]) is not int:
        raise ProtocolError("not a greeting")
    if datum[0] != _HELLO or datum[1] != spec.HELLO_VERSION:
        raise ProtocolError("not a greeting of version 1")
    return Hello(_UID(datum[2]), _PORT(datum[3]))
