"""The one text of every datum, and that whatever a receiver would refuse is refused before it is sent."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np
import pytest

from p2pnb.errors import LocalProtocolError
from p2pnb.uid import Key
from p2pnb.wire.contact import contact
from p2pnb.wire.sexp import Pair, Symbol, Written, dumps, loads, written

S = Symbol


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("datum", "text"),
    [
        ([], b"()"),
        ((), b"#()"),
        ([1, (), [S("a")]], b"(1 #() (a))"),
        (Pair(1, 2), b"(1 . 2)"),
        (Pair(1, Pair(S("a"), "b")), b'(1 a . "b")'),
        (Pair(1, []), b"(1)"),
        (Pair(1, Pair(2, [3, 4])), b"(1 2 3 4)"),
        (Pair(1, (2,)), b"(1 . #(2))"),
        (Pair(Pair(1, 2), Pair(3, 4)), b"((1 . 2) 3 . 4)"),
        (0, b"0"),
        (-(10**100) + 1, b"-" + b"9" * 100),
        (2**256 - 1, b"115792089237316195423570985008687907853269984665640564039457584007913129639935"),
        (True, b"#t"),
        (False, b"#f"),
        (b"", b"#u8()"),
        (b"\x00\x09\x0a\x63\x64\xff", b"#u8(0 9 10 99 100 255)"),
        (bytearray(b"\1"), b"#u8(1)"),
        (Key(bytes(31) + b"\1"), b"#u8(" + b"0 " * 31 + b"1)"),
        (S("bag-add"), b"bag-add"),
        ("", b'""'),
        ("127.0.0.1", b'"127.0.0.1"'),
        ('"\\\a\b\t\n\r|', rb'"\"\\\a\b\t\n\r|"'),
        ("\x00\x01\x0b\x0c\x1b\x7f", b'"\x00\x01\x0b\x0c\x1b\x7f"'),
        ("é\u2028😀\ufeff", '"é\u2028😀\ufeff"'.encode()),
        (Colour.RED, b"1"),
        (Point(1, 2), b"#(1 2)"),
        ((S("peer"), contact("::1", 9000, 5).datum, contact("::1", 9001).datum), b'#(peer ("::1" 9000 5) ("::1" 9001))'),
    ],
)
def test_canonical_text(datum: Any, text: bytes) -> None:
    assert dumps(datum) == text
    assert dumps(loads(text)) == text


NO_DATA = [1.0, None, {}, {1}, object(), 1j, range(3), np.int64(1), np.zeros(3), memoryview(b"a"), dumps]


@pytest.mark.parametrize("datum", NO_DATA, ids=lambda thing: type(thing).__name__)
def test_other_types_have_no_text(datum: Any) -> None:
    for nested in (datum, [datum], (S("a"), [datum]), Pair(1, datum), Pair(datum, 1)):
        with pytest.raises(TypeError, match=type(datum).__name__):
            dumps(nested)


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a b", "é", "a\n", "a_b", "a|", "a" * 70 + "!"])
def test_only_the_symbols_of_the_protocol_are_written(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a symbol"):
        dumps((S(name),))


def nested(levels: int) -> Any:
    datum: Any = []
    for level in range(levels - 1):
        datum = [datum] if level % 2 else (datum,)
    return datum


@pytest.mark.parametrize(
    ("datum", "why"),
    [
        (10**100, "100 digits"),
        (-(10**100), "100 digits"),
        ("\ud800", "surrogate"),
        (["a\udfffb"], "surrogate"),
        (nested(65), "64 deep"),
        (["a" * 600_000, "b" * 600_000], "1,000,000 bytes"),
        ("a" * 1_000_001, "1,000,000 bytes"),
        ("\a" * 600_000, "1,000,000 bytes"),
        (b"\xff" * 250_000, "1,000,000 bytes"),
        (bytes(2_000_000), "1,000,000 bytes"),
        ([0] * 20_000, "20,000 data"),
        ([contact("a", 1, 2).datum] * 5_000, "20,000 data"),
        ([0] * 600_000, "1,000,000 bytes"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_beyond_the_limits(datum: Any, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        dumps(datum)


def test_limits_are_those_of_the_reader() -> None:
    contacts = [contact("a", 1, 2).datum] * 4_999
    for datum in (nested(64), [0] * 19_999, contacts, "a" * 999_998, b"\xff" * 249_998 + b"\1", Pair(0, tuple([0] * 19_997))):
        assert loads(dumps(datum)) == datum
    chain: Any = 0
    for _ in range(19_998):
        chain = Pair(0, chain)
    assert loads(dumps(chain)) == chain
    assert len(dumps((S("value"), b"\xff" * 249_996))) == 999_997


def test_endless_data_are_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(LocalProtocolError, match="64 deep"):
        dumps(ring)
    pair = Pair(1, 2)
    pair.cdr = pair
    with pytest.raises(LocalProtocolError, match="20,000 data"):
        dumps(pair)


def test_a_written_list_is_written_once() -> None:
    items = Written(["127.0.0.1", 9000, 5])
    assert items == ["127.0.0.1", 9000, 5]
    assert items.text == b""
    assert dumps((S("peer"), items)) == b'#(peer ("127.0.0.1" 9000 5))'
    assert items.text == b'("127.0.0.1" 9000 5)'
    items.text = b"(remembered)"
    assert dumps(items) == b"(remembered)"
    assert dumps([items, items]) == b"((remembered) (remembered))"
    with pytest.raises(LocalProtocolError, match="Written"):
        dumps(Written([[1]]))
    deep: Any = items
    for _ in range(64):
        deep = [deep]
    with pytest.raises(LocalProtocolError, match="64 deep"):
        dumps(deep)


def test_a_written_vector_is_the_same_vector() -> None:
    vector = (S("set"), b"value", 5)
    once = written(vector)
    assert once == vector
    assert isinstance(once, tuple)
    assert dumps(once) == dumps(vector) == b"#(set #u8(118 97 108 117 101) 5)"
    assert dumps(once) is dumps(once)
    assert dumps([once]) == b"(" + dumps(vector) + b")"
    with pytest.raises(TypeError):
        written((1.5,))


def test_pairs_compare_and_show_themselves() -> None:
    assert Pair(1, Pair(2, 3)) == Pair(1, Pair(2, 3))
    assert Pair(1, Pair(2, 3)) != Pair(1, Pair(2, 4))
    assert Pair(1, Pair(2, 3)) != Pair(1, 2)
    assert Pair(1, 2) != [1, 2]
    assert Pair(1, 2) != Pair(2, 2)
    assert repr(Pair(S("a"), Pair("b", 3))) == "Pair(Symbol('a'), Pair('b', 3))"
    match Pair(1, "x"):
        case Pair(car, cdr):
            assert (car, cdr) == (1, "x")
    long, same = Pair(0, 0), Pair(0, 0)
    for _ in range(100_000):
        long, same = Pair(0, long), Pair(0, same)
    assert long == same
    assert repr(long).endswith("))")
