"""What the reader takes, what it refuses, and that no bytes at all bring out anything but `SexpError`."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pnb import spec
from p2pnb.errors import ProtocolError
from p2pnb.wire.sexp import Pair, SexpError, Symbol, dumps, loads

S = Symbol
LARGEST = 10**spec.MAX_DIGITS - 1

READ: list[tuple[bytes, Any]] = [
    # lists, vectors, pairs
    (b"()", []),
    (b"( )", []),
    (b"#()", ()),
    (b"(a b)", [S("a"), S("b")]),
    (b" \t\r\n\f(a\f\r\n\tb ) \n", [S("a"), S("b")]),
    (b"(a . b)", Pair(S("a"), S("b"))),
    (b"(1 2 . 3)", Pair(1, Pair(2, 3))),
    (b"(1 . (2 . 3))", Pair(1, Pair(2, 3))),
    (b"(1 . (2 . (3 . ())))", [1, 2, 3]),
    (b"(1 . #(2))", Pair(1, (2,))),
    (b"#((1 . 2) ())", (Pair(1, 2), [])),
    (b'(1"a"#(2)(3)"b"c)', [1, "a", (2,), [3], "b", S("c")]),
    # integers
    (b"0", 0),
    (b"-0", 0),
    (b"+5", 5),
    (b"-007", -7),
    (b"%d" % LARGEST, LARGEST),
    (b"-%d" % LARGEST, -LARGEST),
    (b"#xFf", 255),
    (b"#X-1f", -31),
    (b"#b+101", 5),
    (b"#o17", 15),
    (b"#d10", 10),
    (b"#e10", 10),
    (b"#e#x10", 16),
    (b"#x#E10", 16),
    (b"4/2", 2),
    (b"-4/2", -2),
    # booleans
    *[(text, True) for text in (b"#t", b"#T", b"#true", b"#True", b"#TRUE")],
    *[(text, False) for text in (b"#f", b"#F", b"#false", b"#False")],
    (b"(#t #f)", [True, False]),
    # bytevectors
    (b"#u8()", b""),
    (b"#u8(0 255)", b"\0\xff"),
    (b"#vu8(1 2)", b"\1\2"),
    (b"#u8( 1\n2\t3\r\f)", b"\1\2\3"),
    (b"#u8(#xff #b1 #X1F #o17 #d9)", b"\xff\1\x1f\x0f\x09"),
    (b"#u8(+1 01 -0)", b"\1\1\0"),
    (b"(#u8(1)#u8(2))", [b"\1", b"\2"]),
    # strings
    (b'""', ""),
    (b'"\xc3\xa9\xf0\x9f\x98\x80"', "é😀"),
    (rb'"\a\b\t\n\v\f\r\"\\\|"', '\a\b\t\n\v\f\r"\\|'),
    (b'"a\x00\x01\x7f\t\n\r\nb"', "a\x00\x01\x7f\t\n\r\nb"),
    (rb'"\x41;\x3bb;\x0;\x1F600;\x0000041;"', "Aλ\0😀A"),
    (rb'"\\x41;"', r"\x41;"),
    (rb'"\\\x41;\\\\n\\"', "\\A\\\\n\\"),
    (rb'"\x5c;n\x22;"', '\\n"'),
    (b'"a\\\n   b"', "ab"),
    (b'"a\\ \t\r\n\t b\\\n\\\n"', "ab"),
    (b'"a\\\n\\tb"', "a\tb"),
    # symbols
    (b"bag-add", S("bag-add")),
    (b"list->vector", S("list->vector")),
    *[(word, S(word.decode())) for word in b"+ - ... .. .b ->x -a +.a <=? set! a.b a@b :a foo: @a -- FooBar a# b#b0".split()],
    *[(word, S(word.decode())) for word in b"1+ -1x 0x10 1a 1_000 1.2.3 +inf +inf.f -infinity.0 1e e1".split()],
    *[(word.encode(), S(word)) for word in ("λ", "日本", "😀", "½", "a\xa0b", "\u200b", "ABC" * 50, "a" * 65)],
    (b"|a b|", S("a b")),
    (b"||", S("")),
    (rb"|a\|b\\\"c|", S('a|b\\"c')),
    (rb"|\x41;\a\n|", S("A\a\n")),
    (b"|a(;'\n#|", S("a(;'\n#")),
    # quotations
    (b"'a", [S("quote"), S("a")]),
    (b"''a", [S("quote"), [S("quote"), S("a")]]),
    (b"' ( a )", [S("quote"), [S("a")]]),
    (b"`(a ,b ,@c)", [S("quasiquote"), [S("a"), [S("unquote"), S("b")], [S("unquote-splicing"), S("c")]]]),
    (b"(a . 'b)", [S("a"), S("quote"), S("b")]),
    (b"#('a)", ([S("quote"), S("a")],)),
    (b"#`a", [S("quasisyntax"), S("a")]),
]

REFUSED = [
    # not one datum; dots out of place
    *rb"#t#f 1) ) ( (a #(a (() ' (') (a] . (.) '.".split(),
    *[b"", b" ", b"1 2", b"(a . b", b"a b", b"() ()", b"(. a)", b"(a .)", b"(a . )", b"(a . b c)", b"(a . b . c)", b"#(a . b)"],
    # numbers that are not exact integers, and integers that are too long
    *rb"1.0 1. .5 -.5 1e5 1E+5 1s2 1f5 1d5 1l5 1# 1#.# +inf.0 -INF.0 +nan.0 +i -1i 1+i 1+2i 1@2 +inf.0i 1/3 1/0 0/0 1#/2 1e400".split(),
    *rb"#i5 #e1.5 #xg #b2 #o8 #x #d #e#e1 #e#x#e1 #x1/2 #x_1".split(),
    *[b"%d" % (LARGEST + 1), b"-%d" % (LARGEST + 1), b"0" * 101, b"#x" + b"f" * 100, b"#b" + b"1" * 101, b"9" * 1_000_000],
    *[b"1" * 101 + b"/1", b"1/" + b"1" * 101],
    # comments, labels, characters, directives, objects without a text, reader macros, brackets
    *[b"a ; b", b"; b\na", b";", b"#;a b", b"(a #;b)", b"#|a|# b", b"(a #| x |# b)", b"#0=(a . #0#)", b"#!fold-case a", b"#.(+ 1 2)"],
    *rb"#0=a #0# #\a (#\x41) #!eof #!void #!unspecific #<eof> #<void> #,(a) #'a #s(a) #&a #:a [a] {a} #{a}# ([b])".split(),
    # things that look like the allowed ones
    *rb"""# ## #a #tr #truex #t1 #fa #3(a) #A(1) #u8 #U8(1) #u9(1) #s8(1) #u8[1] #'(a) #"a" a|b| |a|b |a||b| a'b a`b a,b 1'2 \a""".split(),
    *[b"# (a)", b"#u8 (1)", rb"a\ b", b"a\x00b", b"\x00", b"a\x07", b"a\x7f", b"a\x1a", b"\x0b", b"(a\x0bb)"],
    # bytevectors
    *rb"#u8(256) #u8(-1) #u8(1.0) #u8(a) #u8(1 #u8(#u8()) #u8((1)) #u8(0x1) #u8(#x100) #u8(1_0) #u8('1) #u8(4/3)".split(),
    *[b"#u8(1 2", b"#u8(1 . 2)", b"#u8(1 #t)", b"#u8(1;2\n)", b"#u8(1\x0b2)", b"#u8(1\x002)", b"#u8(\xc2\xa01)", b"#vu8(300)"],
    *[b"#u8(" + b"1" * 101 + b")", b"#u8(" + b"0" * 70_000 + b")", b"#u8( " + b"0" * 70_000 + b")"],
    # strings and symbols in bars
    *rb'''" "a "\" "\q" "\x41" "\x;" "\xg;" "\X41;" "\u0041" "\0" "\101" "\xD800;" "\xdfff;" "\x110000;" "\xffffffff;"'''.split(),
    *[rb'"\ a"', b'"\\\v\n"', b'"a\\', rb'"\x000000041;"', b'"a" "b"', b"|a", rb"|\q|", rb"|\x7|"],
    # UTF-8, and the byte order mark
    *[b'"\xff"', b"a\xffb", b"|a\xff|", b'"\xc3"', b"\xc3", b'"\\n\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'],
    *[b'"\xed\xa0\xbd\xed\xb8\x80"', b"\xef\xbb\xbf", b"\xef\xbb\xbfa", b"\xef\xbb\xbf(a)", b"(a\xef\xbb\xbfb)"],
]  # fmt: skip


@pytest.mark.parametrize(("text", "datum"), READ)
def test_reads(text: bytes, datum: Any) -> None:
    assert repr(loads(text)) == repr(datum)
    assert loads(text) == datum
    assert repr(loads(b"#(" + text + b" (" + text + b"))")) == repr((datum, [datum]))


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_refuses(text: bytes) -> None:
    with pytest.raises(SexpError) as caught:
        loads(text)
    assert 0 <= caught.value.offset <= len(text)
    assert isinstance(caught.value, ProtocolError)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (b"", 0),
        (b"(a", 2),
        (b"(a ; b", 3),
        (b"#(ref 1.5)", 6),
        (b'(a "\xc3\xa9\xff")', 6),
        (b'(a "bc\\q")', 6),
        (b"a  b", 3),
        (b"#u8(1 2 256 3)", 8),
        (b"#u8(" + b"1 " * 50_000 + b"1000)", 4 + 100_000),
        (b"(a) )", 4),
        (b"(a . b c)", 8),
        (b"((a)\x00", 4),
        (b"1" * (spec.MAX_MESSAGE + 1), spec.MAX_MESSAGE),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_says_where(text: bytes, offset: int) -> None:
    with pytest.raises(SexpError, match=f"at byte {offset}$") as caught:
        loads(text)
    assert caught.value.offset == offset


def test_limits_are_exact() -> None:
    deep = b"(" * 64 + b")" * 64
    assert dumps(loads(deep)) == deep
    assert loads(b"'" * 64 + b"a")
    for text in (b"(" * 65 + b")" * 65, b"#(" * 65 + b")" * 65, b"'" * 65 + b"a", b"(" * 64 + b"'a" + b")" * 64):
        with pytest.raises(SexpError, match="64 deep"):
            loads(text)

    wide = b"(" + b"1 " * 19_998 + b"1)"
    assert len(loads(wide)) == 19_999
    assert len(loads(b"(" + b"'a " * 6_666 + b"1)")) == 6_667  # (quote a) is three data
    assert loads(b"(" + b"1 " * 19_997 + b"1 . 2)")
    for text in (b"(1 " + wide[1:], b"(" + b"() " * 20_000 + b")", b"(" + b"'a " * 6_667 + b")"):
        with pytest.raises(SexpError, match="20,000 data"):
            loads(text)

    assert len(loads(b'"' + b"a" * 999_998 + b'"')) == 999_998
    assert len(loads(b'"' + rb"\x41;" * 19_999 + b'"')) == 19_999
    for text in (b'"' + rb"\x41;" * 20_001 + b'"', b"(" + (b'"' + rb"\x41;" * 11_000 + b'"') * 2 + b")", b'"' + b"\\\n" * 20_001 + b'"'):
        with pytest.raises(SexpError, match="too many escapes"):
            loads(text)
    with pytest.raises(SexpError, match="1,000,000 bytes"):
        loads(b" " * 999_999 + b"()")


def test_takes_whatever_holds_bytes_and_nothing_else() -> None:
    for text in (b"#(ref 5)", b'#(peer ("a" 1))', b"#t", b"(a #u8(1))"):
        assert loads(bytearray(text)) == loads(memoryview(text)) == loads(text)
    for thing in ("#t", 5, None):
        with pytest.raises(TypeError):
            loads(thing)  # type: ignore[arg-type]


def test_lists_are_fresh_or_refuse_to_change() -> None:
    text = dumps((Symbol("bag"), ["a", 9000, 1]))
    first = loads(text)
    first[1][0] = "changed"
    assert loads(text)[1] == ["a", 9000, 1]
    (_, named) = loads(dumps((Symbol("peer"), ["127.0.0.1", 9000, 1])))
    for change in (lambda: named.append(2), named.pop, named.sort, lambda: named.__setitem__(0, "b"), named.clear):
        with pytest.raises(TypeError, match="make a list"):
            change()
    with pytest.raises(TypeError, match="make a list"):
        named += [2]
    assert loads(dumps((Symbol("peer"), ["127.0.0.1", 9000, 1])))[1] == ["127.0.0.1", 9000, 1] == list(named)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_the_one_error(text: bytes) -> None:
    outcome(text)


PIECES = [text for text, _ in READ] + REFUSED[:150] + b"( ) #( #u8( \" | ' . \\".split()


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_pieces_of_syntax_raise_only_the_one_error(pieces: list[bytes]) -> None:
    outcome(b"".join(pieces))
    outcome(b" ".join(pieces))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_messages_raise_only_the_one_error(seed: int) -> None:
    rng = random.Random(seed)
    whole = [text for text, _ in READ if len(text) < 300]
    whole.append(dumps((S("peer"), *[[f"127.0.0.{i}", 9000 + i, rng.getrandbits(256)] for i in range(5)])))
    whole.append(dumps((S("value"), rng.randbytes(200))))
    for _ in range(10_000):
        text = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 3)):
            match rng.randrange(4):
                case 0 if text:
                    text[rng.randrange(len(text))] = rng.choice(b"()#u8 \"'1a.|\\;\x00\xff\xc3\n-+x/")
                case 1:
                    text.insert(rng.randint(0, len(text)), rng.randrange(256))
                case 2 if text:
                    del text[rng.randrange(len(text)) :][: rng.randint(1, 5)]
                case _:
                    at = rng.randint(0, len(text))
                    text[at:at] = rng.choice(whole)[: rng.randint(1, 40)]
        try:
            outcome(bytes(text))
        except Exception as problem:
            raise AssertionError(f"seed {seed}: {bytes(text)!r}") from problem


def outcome(text: bytes) -> Any:
    """The datum of `text`, or its `SexpError`; anything else comes out as it is and fails the test."""
    try:
        return loads(text)
    except SexpError as raised:
        error = raised
    assert 0 <= error.offset <= len(text)
    return error


FULL = 1_000_000
HOSTILE: dict[str, bytes] = {
    "parentheses": b"(" * 500_000,
    "quotes": b"'" * FULL,
    "digits": b"1" * FULL,
    "dots": b"." * FULL,
    "white space": b" " * FULL,
    "empty lists": b"(" + b"() " * 333_000 + b")",
    "one symbol": b"a" * FULL,
    "odd symbols": b"(" + (b"A" * 48 + b" ") * 19_990 + b")",
    "one string": b'"' + b"a" * (FULL - 2) + b'"',
    "no end": b'"' + b"\\n" * (FULL // 2 - 1),
    "simple escapes": b'"' + b"\\n" * (FULL // 2 - 1) + b'"',
    "backslashes": b'"' + b"\\\\" * (FULL // 2 - 1) + b'"',
    "hexadecimal escapes": b'"' + b"\\x1;" * 19_990 + b"a" * 900_000 + b'"',
    "too many of them": b'"' + b"\\x1;" * 249_000 + b'"',
    "line ends": b'"' + b"a\\\n" * 19_990 + b"\\n" * 460_000 + b'"',
    "symbol in bars": b"|" + b"\\|" * (FULL // 2 - 1) + b"|",
    "canonical bytes": b"#u8(" + b"0 " * 499_990 + b"1)",
    "hexadecimal bytes": b"#u8(" + b"#xFF " * 199_990 + b"1)",
    "other bytes": b"#u8(" + b"+1\n" * 333_000 + b"1)",
    "all other bytes": b"#u8(" + b" ".join([b"0" * (i // 256 % 90) + b"%d" % (i % 256) for i in range(21_000)]) + b")",
    "not quite bytes": b"#u8(" + b"+1 " * 333_000 + b"256)",
    "bytes spelled in many ways": b"#u8(" + b" ".join([b"%d/%d" % (i % 256 * (i // 256 + 1), i // 256 + 1) for i in range(100_000)]) + b")",
    "blank bytes": b"#u8(" + b"\n" * 999_995 + b")",
    "small bytevectors": b"#(" + (b"#u8(" + b"+1 " * 14 + b") ") * 19_990 + b")",
    "contacts": b"#(peer " + b'("" 0) ' * 142_000 + b'("" 0))',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_full_message_never_takes_much_memory(name: str) -> None:
    text = HOSTILE[name]
    assert 400_000 < len(text) <= FULL
    tracemalloc.start()
    try:
        outcome(text)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
