"""Messages: each survives the way over the wire, and a datum that is not exactly a message is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pnb import spec
from p2pnb.errors import ProtocolError
from p2pnb.wire import messages
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import (
    REPLIES_TO,
    VERBS,
    Bag,
    BagAdd,
    BagEntry,
    BagPopular,
    BagRecent,
    BagSample,
    Hello,
    Iam,
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
    hello_datum,
    is_request,
    parse_hello,
    parse_reply,
    parse_request,
    to_datum,
)
from p2pnb.wire.sexp import Pair, Symbol, dumps, loads, written

S = Symbol
KEY = 2**256 - 1
PK, RECORD, SIG = b"p" * 32, b"r" * 32, b"s" * 64

REQUESTS: list[tuple[Any, bytes]] = [
    (Iam(5), b"#(iam 5)"),
    (Peers(KEY), b"#(peers %d)" % KEY),
    (Set(b"\0\1"), b"#(set #u8(0 1))"),
    (Set(b"", 7), b"#(set #u8() 7)"),
    (Ref(0), b"#(ref 0)"),
    (BagAdd(1, RECORD), b"#(bag-add 1 " + dumps(RECORD) + b")"),
    (BagAdd(1, RECORD, 86_399), b"#(bag-add 1 " + dumps(RECORD) + b" 86399)"),
    (BagPopular(2), b"#(bag-popular 2)"),
    (BagRecent(3), b"#(bag-recent 3)"),
    (BagSample(4), b"#(bag-sample 4)"),
    (NamespaceSet(PK, 1, RECORD, SIG), b"#(namespace-set " + dumps(PK) + b" 1 " + dumps(RECORD) + b" " + dumps(SIG) + b" 0)"),
    (NamespaceSet(PK, 1, RECORD, SIG, 9, 8), b"#(namespace-set " + dumps(PK) + b" 1 " + dumps(RECORD) + b" " + dumps(SIG) + b" 9 8)"),
    (NamespaceRef(PK, 1), b"#(namespace-ref " + dumps(PK) + b" 1)"),
    (NamespaceRef(PK, 1, SIG), b"#(namespace-ref " + dumps(PK) + b" 1 " + dumps(SIG) + b")"),
]
REPLIES: list[tuple[Any, bytes]] = [
    (Welcome("127.0.0.1", 9000, KEY), b'#(welcome "127.0.0.1" 9000 %d)' % KEY),
    (Nearest(()), b"#(peer)"),
    (Nearest((contact("::1", 1, 2), contact("10.0.0.1", 65_535))), b'#(peer ("::1" 1 2) ("10.0.0.1" 65535))'),
    (Stored(True), b"#t"),
    (Stored(False), b"#f"),
    (Value(b"\xff"), b"#(value #u8(255))"),
    (Value(RECORD, 0), b"#(value " + dumps(RECORD) + b" 0)"),
    (Bag(()), b"#(bag)"),
    (Bag((BagEntry(RECORD, 3, 120),)), b"#(bag (" + dumps(RECORD) + b" 3 120))"),
    (Version(RECORD, SIG, 2**63 - 1), b"#(value " + dumps(RECORD) + b" " + dumps(SIG) + b" %d)" % (2**63 - 1)),
    (Version(RECORD, SIG, 0, 2**63 - 1), b"#(value " + dumps(RECORD) + b" " + dumps(SIG) + b" 0 %d)" % (2**63 - 1)),
]


@pytest.mark.parametrize(("message", "text"), REQUESTS, ids=lambda value: type(value).__name__)
def test_requests(message: Any, text: bytes) -> None:
    assert dumps(to_datum(message)) == text
    assert parse_request(loads(text)) == message
    assert type(parse_request(loads(text))) is type(message)
    assert is_request(loads(text))
    assert dumps(written(to_datum(message))) == text
    assert parse_request(written(to_datum(message))) == message  # as carriers hand it over that do not write it
    with pytest.raises(ProtocolError):
        parse_reply(loads(text))


@pytest.mark.parametrize(("message", "text"), REPLIES, ids=lambda value: type(value).__name__)
def test_replies(message: Any, text: bytes) -> None:
    assert dumps(to_datum(message)) == text
    assert parse_reply(loads(text)) == message
    assert type(parse_reply(loads(text))) is type(message)
    assert parse_reply(to_datum(message)) == message
    assert not is_request(loads(text))
    with pytest.raises(ProtocolError):
        parse_request(loads(text))


def test_every_message_is_here() -> None:
    assert {type(message) for message, _ in REQUESTS} == set(VERBS) == set(REPLIES_TO)
    assert {type(message) for message, _ in REPLIES} == {kind for kinds in REPLIES_TO.values() for kind in kinds}


def test_four_arguments_mean_sequence_0() -> None:
    assert parse_request((S("namespace-set"), PK, 1, RECORD, SIG)) == NamespaceSet(PK, 1, RECORD, SIG, 0)


def test_addresses_as_the_draft_has_them_are_read_too() -> None:
    assert parse_reply(loads(b'#(peer ("10.0.0.1" . 9000))')) == Nearest((contact("10.0.0.1", 9000),))
    assert parse_reply(loads(b'#(peer ("10.0.0.1" 9000))')) == Nearest((contact("10.0.0.1", 9000),))


BAD_KEYS: list[Any] = [-1, 2**256, True, "1", b"\1" * 32, S("a"), [], (), Pair(1, 2)]
BAD_RECORDS: list[Any] = [b"", b"r" * 31, b"r" * 33, "r" * 32, 5, [0] * 32, tuple(RECORD), True]
BAD_VALUES: list[Any] = ["a", 5, [], (), True, S("a")]
BAD_AGES: list[Any] = [-1, 2**63, True, "1", b"", []]
BAD_PORTS: list[Any] = [-1, 65_536, True, "9000", b"", []]
BAD_TEXTS: list[Any] = [S("localhost"), b"127.0.0.1", 127, "1" * 46, True]
BAD_SIGNATURES: list[Any] = [b"s" * 63, b"s" * 65, "s" * 64, True, 0]

# verb, good arguments, what may not stand in each place
SHAPES: list[tuple[str, list[Any], list[list[Any]]]] = [
    ("iam", [1], [BAD_KEYS]),
    ("peers", [1], [BAD_KEYS]),
    ("set", [b"a", 5], [BAD_VALUES, BAD_AGES]),
    ("ref", [1], [BAD_KEYS]),
    ("bag-add", [1, RECORD, 5], [BAD_KEYS, BAD_RECORDS, BAD_AGES]),
    ("bag-popular", [1], [BAD_KEYS]),
    ("bag-recent", [1], [BAD_KEYS]),
    ("bag-sample", [1], [BAD_KEYS]),
    ("namespace-set", [PK, 1, RECORD, SIG, 0, 5], [BAD_RECORDS, BAD_KEYS, BAD_RECORDS, BAD_SIGNATURES, BAD_AGES, BAD_AGES]),
    ("namespace-ref", [PK, 1, SIG], [BAD_RECORDS, BAD_KEYS, BAD_SIGNATURES]),
]
LEAST = {"set": 1, "bag-add": 2, "namespace-set": 4, "namespace-ref": 2}


@pytest.mark.parametrize(("verb", "arguments", "bad"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_malformed_requests(verb: str, arguments: list[Any], bad: list[list[Any]]) -> None:
    head = S(verb)
    parse_request((head, *arguments))
    for count in range(len(arguments)):
        if count >= LEAST.get(verb, 1):
            parse_request((head, *arguments[:count]))
        else:
            with pytest.raises(ProtocolError, match="arguments"):
                parse_request((head, *arguments[:count]))
    with pytest.raises(ProtocolError, match="arguments"):
        parse_request((head, *arguments, 1))
    for place, things in enumerate(bad):
        for thing in things:
            with pytest.raises(ProtocolError):
                parse_request((head, *arguments[:place], thing, *arguments[place + 1 :]))
    for other in ([head, *arguments], (verb, *arguments), (S(verb.upper()), *arguments), Pair(head, arguments[0])):
        assert not is_request(other)
        with pytest.raises(ProtocolError):
            parse_request(other)


NO_REQUESTS = [(), [], 5, "iam", S("iam"), b"", True, (5,), ((),), (S("unknown"), 1), (S("welcome"), 1), (b"iam", 1), (["iam"], 1)]


@pytest.mark.parametrize("datum", NO_REQUESTS, ids=repr)
def test_what_is_no_request(datum: Any) -> None:
    assert not is_request(datum)
    with pytest.raises(ProtocolError):
        parse_request(datum)


CONTACT = ["10.0.0.1", 1, 2]
ENTRY = [RECORD, 1, 2]
NO_REPLIES: list[Any] = [
    *[(), [], 0, 1, "#t", S("t"), b"", (True,), (5,), ("peer",), (S("peers"), 1), (S("bags"),), [S("peer")]],
    *[(S("welcome"), text, 1, 2) for text in BAD_TEXTS],
    *[(S("welcome"), "::1", port, 2) for port in BAD_PORTS],
    *[(S("welcome"), "::1", 1, uid) for uid in BAD_KEYS],
    *[(S("welcome"),), (S("welcome"), "::1", 1), (S("welcome"), "::1", 1, 2, 3)],
    (S("peer"), *[CONTACT] * (spec.MAX_CONTACTS + 1)),
    *[(S("peer"), [text, 1, 2]) for text in BAD_TEXTS],
    *[(S("peer"), ["::1", port, 2]) for port in BAD_PORTS],
    *[(S("peer"), ["::1", 1, uid]) for uid in BAD_KEYS],
    *[(S("peer"), Pair("::1", port)) for port in BAD_PORTS],
    *[(S("peer"), each) for each in ([], ["::1"], [*CONTACT, 3], tuple(CONTACT), "::1", 5, Pair("::1", Pair(1, 2)), [CONTACT])],
    (S("peer"), CONTACT, 5),
    *[(S("value"), value) for value in BAD_VALUES],
    *[(S("value"),), (S("value"), RECORD, SIG), (S("value"), RECORD, SIG, 0, 0, 0)],
    *[(S("value"), RECORD, age) for age in BAD_AGES],
    *[(S("value"), RECORD, SIG, 0, age) for age in BAD_AGES],
    *[(S("value"), record, SIG, 0) for record in BAD_RECORDS],
    *[(S("value"), RECORD, signature, 0) for signature in BAD_SIGNATURES],
    *[(S("value"), RECORD, SIG, sequence) for sequence in BAD_AGES],
    (S("bag"), *[ENTRY] * (spec.MAX_BAG_REPLY + 1)),
    *[(S("bag"), [record, 1, 2]) for record in BAD_RECORDS],
    *[(S("bag"), [RECORD, count, 2]) for count in BAD_AGES],
    *[(S("bag"), [RECORD, 1, age]) for age in BAD_AGES],
    *[(S("bag"), each) for each in ([], [RECORD], [RECORD, 1], [*ENTRY, 3], tuple(ENTRY), RECORD, 5)],
]  # fmt: skip


@pytest.mark.parametrize("datum", NO_REPLIES, ids=lambda datum: repr(datum)[:40])
def test_malformed_replies(datum: Any) -> None:
    with pytest.raises(ProtocolError):
        parse_reply(datum)


def test_as_many_contacts_and_entries_as_allowed() -> None:
    contacts = tuple([contact("10.0.0.1", port, port) for port in range(1, spec.MAX_CONTACTS + 1)])
    assert parse_reply(loads(dumps(to_datum(Nearest(contacts))))) == Nearest(contacts)
    bag = Bag(tuple([BagEntry(bytes([at]) * 32, at, at) for at in range(spec.MAX_BAG_REPLY)]))
    assert parse_reply(loads(dumps(to_datum(bag)))) == bag


def test_the_largest_value_fits_and_one_byte_more_does_not() -> None:
    largest = Value(b"\xff" * spec.MAX_VALUE)
    for with_age in (Value(b"\xff" * (spec.MAX_VALUE - 1), 86_399), Set(b"\xff" * (spec.MAX_VALUE - 1), 86_399)):
        assert len(dumps(to_datum(with_age))) <= spec.MAX_MESSAGE
    assert parse_reply(loads(dumps(to_datum(largest)))) == largest
    assert len(dumps(to_datum(largest))) <= spec.MAX_MESSAGE
    with pytest.raises(ProtocolError):
        dumps(to_datum(Value(b"\xff" * (spec.MAX_VALUE + 1))))


def test_greetings() -> None:
    hello = Hello(KEY, 9000)
    assert dumps(hello_datum(hello)) == b"#(hello 1 %d 9000)" % KEY
    assert parse_hello(loads(dumps(hello_datum(hello)))) == hello
    assert parse_hello((*hello_datum(hello), "later", [S("versions")])) == hello
    assert parse_hello((S("hello"), 1, 5, 0)) == Hello(5, 0)


@pytest.mark.parametrize(
    "datum",
    [
        *[(), [], 5, S("hello"), (S("hello"),), (S("hello"), 1, 2), [S("hello"), 1, 2, 3], ("hello", 1, 2, 3), (S("iam"), 1, 2, 3)],
        *[(S("hello"), version, 2, 3) for version in (0, 2, True, "1", [], S("a"))],
        *[(S("hello"), 1, uid, 3) for uid in BAD_KEYS],
        *[(S("hello"), 1, 2, port) for port in BAD_PORTS],
    ],
    ids=repr,
)
def test_malformed_greetings(datum: Any) -> None:
    with pytest.raises(ProtocolError):
        parse_hello(datum)


things = st.recursive(
    st.one_of(
        st.integers(-2, 2**256), st.booleans(), st.text(max_size=5), st.sampled_from([b"", RECORD, SIG]),
        st.sampled_from(["iam", "peer", "value", "bag", "welcome", "namespace-set", "set", "hello"]).map(Symbol),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.lists(inner, max_size=7).map(tuple), st.builds(Pair, inner, inner)),
    max_leaves=12,
)  # fmt: skip


@given(things)
def test_any_datum_is_a_message_or_refused(datum: Any) -> None:
    for parse in (parse_request, parse_reply, parse_hello):
        try:
            message = parse(datum)
        except ProtocolError:
            continue
        if not isinstance(message, Hello):
            assert parse(loads(dumps(to_datum(message)))) == message


def test_contacts_are_shared() -> None:
    text = dumps(to_datum(Nearest((contact("10.1.1.1", 5, 6),))))
    one, other = parse_reply(loads(text)), parse_reply(loads(text))
    assert isinstance(one, Nearest)
    assert isinstance(other, Nearest)
    assert one.contacts[0] is other.contacts[0]
    assert messages.to_datum(one)[1] is messages.to_datum(other)[1]
