"""Round trips of any datum, and that the short ways of reading never differ from the general one."""

from __future__ import annotations

import random
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pnb.spec import MAX_DATA
from p2pnb.wire import bytevector, sexp_read
from p2pnb.wire.bytevector import read_bytevector, write_bytevector
from p2pnb.wire.sexp import Pair, SexpError, Symbol, Written, dumps, loads, written

LARGEST = 10**100 - 1
symbols = st.from_regex(r"[a-z][a-z0-9-]{0,70}", fullmatch=True).map(Symbol)
integers = st.one_of(st.integers(-300, 300), st.integers(0, 2**256 - 1), st.integers(-LARGEST, LARGEST))
atoms = st.one_of(symbols, integers, st.booleans(), st.text(max_size=30), st.binary(max_size=80))


def pair(cars: list[Any], last: Any) -> Any:
    return reduce(lambda rest, car: Pair(car, rest), reversed(cars), last)


data = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.lists(atoms, max_size=4).map(Written),
        st.builds(pair, st.lists(inner, min_size=1, max_size=4), st.one_of(atoms, st.lists(inner, max_size=3).map(tuple))),
    ),
    max_leaves=25,
)


@given(data)
def test_round_trip(datum: Any) -> None:
    text = dumps(datum)
    again = loads(text)
    assert again == datum
    assert repr(again) == repr(datum)  # the same types too: a symbol is no string, True is not 1
    assert dumps(again) == text
    assert dumps(datum) == text


@given(st.lists(data, max_size=4).map(tuple))
def test_round_trip_of_what_is_written_once(vector: tuple[Any, ...]) -> None:
    assert repr(loads(dumps(written(vector)))) == repr(vector)


@given(st.lists(data, max_size=5), st.lists(st.sampled_from([b" ", b"\n", b"\t ", b"\r\n", b"\f"]), min_size=1))
def test_white_space_does_not_matter(items: list[Any], blanks: list[bytes]) -> None:
    text = blanks[0] + b"#(" + b"".join([dumps(item) + blanks[at % len(blanks)] for at, item in enumerate(items)]) + b")" + blanks[-1]
    assert repr(loads(text)) == repr(tuple(items))


def outcome(read: Any, text: bytes) -> Any:
    try:
        return repr(read(text))
    except SexpError as error:
        return str(error), error.offset


verbs = st.one_of(symbols.map(str), st.sampled_from(["ref", "peers", "peer", "value", "Ref", "", "1", "a b"]))
numbers = st.one_of(integers.map(str), st.sampled_from(["007", "+1", "1.5", "", "-0", "#x1", "a", "9" * 100, "9" * 101]))
ips = st.one_of(st.ip_addresses().map(str), st.sampled_from(["", "é", "a b", 'a\\"b', ") (", "x" * 45, "x" * 46, '"', "host name"]))
contacts = st.builds(lambda ip, fields: f'("{ip}" {" ".join(fields)})', ips, st.lists(numbers, max_size=3))
gaps = st.sampled_from([" ", " ", "  ", "", "\n"])
replies = st.builds(lambda inner, gap: f"#(peer {gap.join(inner)})", st.lists(contacts, max_size=5), gaps)
requests = st.builds(lambda verb, number: f"#({verb} {number})", verbs, numbers)
octet_words = st.one_of(st.integers(0, 255).map(str), st.sampled_from(["256", "07", "#xFF", "+1", "", "\n", "a", "(1", "#u8("]))
values = st.builds(
    lambda octets, rest: f"#(value #u8({' '.join(octets)}){rest}",
    st.lists(octet_words, max_size=6),
    st.sampled_from([")", " 0)", " 86399)", " 007)", "  5)", " -1)", " 1 2)", " a)", "", "))", ") ", f" {'9' * 100})", f" {'9' * 101})"]),
)


others = st.sampled_from(["#t", "#f", "#T", "()", "#(peer ())", "#(peer (1 2) (3 4))", '#(peer ("a" 1) . ("b" 2))'])


@given(st.one_of(requests, replies, values, others))
def test_the_short_ways_agree_with_the_general_one(text: str) -> None:
    octets = text.encode("utf-8")
    assert outcome(loads, octets) == outcome(sexp_read.read, octets)


def test_a_value_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [(Symbol("value"), b"some bytes"), (Symbol("value"), b""), (Symbol("value"), bytes(range(256)), 86_399)]
    texts = [dumps(reply) for reply in replies]
    monkeypatch.setattr(sexp_read, "read", None)
    assert [loads(text) for text in texts] == replies


def test_twenty_contacts_take_the_short_way() -> None:
    """Otherwise the property above would hold for a short way that is never taken."""
    rng = random.Random(5)
    reply = (Symbol("peer"), *[["2001:db8:1234:5678:9abc:def0:1234:5678", 65_535, 2**255 + rng.getrandbits(255)] for _ in range(20)])
    before = sexp_read._fields.cache_info()
    assert repr(loads(dumps(reply))) == repr(reply)
    assert repr(loads(dumps(reply))) == repr(reply)
    after = sexp_read._fields.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (20, 20)
    assert after.maxsize == 32_768


@given(st.binary(max_size=2_000), st.integers(0, 2**32))
def test_every_spelling_of_a_bytevector(octets: bytes, seed: int) -> None:
    rng = random.Random(seed)
    spellings = ("{}", "#x{:x}", "#x{:02X}", "+{}", "{:03}", "#b{:b}", "#o{:o}", "#e{}")
    words = [rng.choice(spellings).format(byte).encode() for byte in octets]
    text = b"".join([word + rng.choice([b" ", b"\n", b"  ", b"\r\n"]) for word in words])
    unusual = sum(1 for word in words if word[:1] == b"+" or word[:2] in (b"#b", b"#o", b"#e") or (word[:1] == b"0" and word != b"0"))
    assert read_bytevector(b"#u8(" + text + b")", 4, 4 + len(text), 20_000) == (octets, unusual)


@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 64, 127, 128, 129, 170, 171, 300, 1_000, 16_383, 16_384, 16_385, 65_536, 200_000])
def test_bytevectors_of_all_sizes(size: int) -> None:
    rng = random.Random(size)
    for octets in (rng.randbytes(size), bytes(size), b"\xff" * size, b"\x0a" * size, bytes(rng.choices([9, 10, 99, 100], k=size))):
        text = write_bytevector(octets)
        assert text == ("#u8(" + " ".join(map(str, octets)) + ")").encode()
        assert read_bytevector(text, 4, len(text) - 1, 0) == (octets, 0)


NAMES = [b"%d" % octet for octet in range(256)]
LONG = bytes(at * 7 % 256 for at in range(50_000))


@pytest.mark.parametrize("word", ["256", "00", "01", "1000", "999", "-1", "a", "1;", "1.0", "+7", "#x7", "", " ", "\t", "\v", "é", "\0"])
@pytest.mark.parametrize("place", [0, 1, 700, 40_000, -1])
def test_arrays_take_canonical_text_and_nothing_else(word: str, place: int) -> None:
    """One odd word anywhere in a long text: read as the words say, or refused; never misread."""
    before, after = LONG[: place % len(LONG)], LONG[place % len(LONG) + 1 :]
    text = b" ".join([*map(NAMES.__getitem__, before), word.encode(), *map(NAMES.__getitem__, after)])
    try:
        expected: bytes | None = before + bytes([int(each) for each in word.encode().replace(b"#x", b"").split()]) + after
    except ValueError:
        expected = None
    if b"\v" in text:
        expected = None
    try:
        got: bytes | None = read_bytevector(b"#u8(" + text + b")", 4, 4 + len(text), 1)[0]
    except SexpError:
        got = None
    assert got == expected


def test_the_array_way_is_taken() -> None:
    assert bytevector._canonical(b"1 22 255") == b"\1\x16\xff"
    for text in (b"1  2", b" 1", b"1 ", b"", b"256", b"300", b"01", b"1 0022", b"1\n2", b"1/2", b"1;2", b"1000", b"+1"):
        assert bytevector._canonical(text) is None


@pytest.mark.parametrize("word", [b"+5", b"005", b"#b101", b"10/2", b"#e5"])
def test_bytes_in_an_unusual_spelling_count_as_data(word: bytes) -> None:
    """So they cost no more than as many data do, in one bytevector or in many."""
    for head, unit, tail in ((b"#u8(", word + b" ", b"5)"), (b"#(", b"#u8(" + (word + b" ") * 49 + b"5) ", b"#t)")):
        each = unit.count(word) + unit.count(b"#u8(")  # as data
        fitting = (MAX_DATA - head.count(b"#(") - 1) // each
        assert loads(head + unit * fitting + tail)
        with pytest.raises(SexpError, match=r"unusual|20,000 data"):
            loads(head + unit * (fitting + 1) + tail)
    usual = b"#u8(" + b"#x05 5 " * 142_000 + b"5)"
    assert loads(usual) == b"\5" * 284_001
