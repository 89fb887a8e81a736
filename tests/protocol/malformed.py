"""Texts and bytes that a peer must read, or must refuse, for PROTOCOL.md: spelling by spelling, layer by layer."""

from __future__ import annotations

from typing import Any

from blocks import table

from p2pnb.errors import LocalProtocolError
from p2pnb.wire.sexp import dumps, loads

MUST = [
    "#( ref  5 )", "#(ref +5)", "#(ref 005)", "#(ref #x1F)", "#(ref #b101)", "#vu8(1 2)", "#u8(#xFF #b1 007)", "#true", "#FALSE",
    '#(peer ("127.0.0.1" . 9003))', '#(peer("127.0.0.1"9003 5))', r'"\x41;\x3bb;"', "(a . (b . (c)))",
]  # fmt: skip
MAY = ["#(ref #e5)", "#(ref 10/2)", "'a", "`(a ,b)", "list->vector"]


def reading() -> str:
    rows = [(word, each) for word, texts in (("must", MUST), ("may", MAY)) for each in texts]
    return table(("", "read", "the same, as it would be written"), [(word, _code(text), _code(_written(text))) for word, text in rows])


def _written(text: str) -> str:
    try:
        return dumps(loads(text.encode())).decode()
    except LocalProtocolError:
        return ""  # a symbol that has no canonical form


def _code(text: str) -> str:
    """A span of code; two ticks where the text has one."""
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{' ' * (len(ticks) - 1)}{text}{' ' * (len(ticks) - 1)}{ticks}" if text else "none"


Refusal = tuple[str, Any, str]
_V, _PK, _SIG = ("#u8(" + " ".join([str(each)] * size) + ")" for each, size in ((1, 32), (2, 32), (3, 64)))

MALFORMED: list[Refusal] = [
    ("frame", b"\0\0\0\0", "a size of 0"),
    ("frame", b"\0\x0f\x42\x41", "a size of 1,000,001"),
    ("frame", b"\xff\xff\xff\xff", "a size of 4,294,967,295; nothing is kept for it"),
    ("text", "", "no datum"),
    ("text", "#(ref 5", "it ends inside a datum"),
    ("text", "#(ref 5) #t", "more than one datum"),
    ("text", "#(ref 5))", "a parenthesis that closes nothing"),
    ("text", "#(ref 5.0)", "a real"),
    ("text", "#(ref 1/3)", "a rational"),
    ("text", "#(ref 1e3)", "a real"),
    ("text", "(a . b c)", "two data after a dot"),
    ("text", "#(a . b)", "a dot in a vector"),
    ("text", "#u8(256)", "more than a byte"),
    ("text", "#u8(-1)", "less than a byte"),
    ("text", "#u8(1 #(2))", "no byte"),
    ("text", r'"\x41"', "an escape without its semicolon"),
    ("text", r'"\xd800;"', "a surrogate"),
    ("text", r'"\q"', "an escape that does not exist"),
    ("text", "#0=(a . #0#)", "a label"),
    ("text", "#(ref 5) ; five", "a comment"),
    ("text", b"#|a|# #t", "a comment"),
    ("text", r"#\a", "a character"),
    ("text", "#!eof", "a directive"),
    ("text", "#.(f)", "a reader macro"),
    ("text", "[ref 5]", "brackets"),
    ("text", b'"\xff"', "not UTF-8"),
    ("text", b"\xef\xbb\xbf#t", "a byte order mark"),
    ("text", b"#(ref 5)\0", "a NUL"),
    ("text", [("(", 65), (")", 65)], "nested 65 deep"),
    ("text", [("1", 101)], "an integer of 101 digits"),
    ("text", [("(", 1), ("1 ", 20_000), (")", 1)], "20,001 data"),
    ("request", "#()", "no head"),
    ("request", "(ref 5)", "a list"),
    ("request", '#("ref" 5)', "the head is a string"),
    ("request", "#(REF 5)", "an unknown procedure: symbols have a case"),
    ("request", "#(frobnicate 5)", "an unknown procedure"),
    ("request", "#(iam)", "too few arguments"),
    ("request", "#(iam 1 2)", "too many arguments"),
    ("request", "#(iam -1)", "a uid below 0"),
    ("request", f"#(peers {2**256})", "a key of 2^256"),
    ("request", f"#(ref {_V})", "a key is an integer"),
    ("request", '#(set "hello")', "a value is a bytevector"),
    ("request", "#(set #u8(1) -1)", "an age below 0"),
    ("request", f"#(set #u8(1) {2**63})", "an age of 2^63"),
    ("request", "#(bag-add 5 #u8(1))", "a value of a bag has 32 bytes"),
    ("request", f"#(namespace-set {_PK} 5 {_V} {_SIG} {2**63})", "a sequence number of 2^63"),
    ("request", f"#(namespace-set {_PK} 5 {_V} {_PK})", "a signature has 64 bytes"),
    ("request", f"#(namespace-ref {_PK} 5 #f)", "a signature is left out, not `#f`"),
    ("reply", "#(value)", "too few elements"),
    ("reply", "#(value #u8(1) -1)", "an age below 0"),
    ("reply", f"#(value {_V} {_SIG})", "an age is an integer"),
    ("reply", f"#(value {_V} {_SIG} 1 60 0)", "too many elements"),
    ("reply", '#(welcome "127.0.0.1" 9001)', "too few elements"),
    ("reply", '#(peer ("127.0.0.1"))', "no contact"),
    ("reply", '#(peer ("127.0.0.1" 65536 5))', "no port"),
    ("reply", '#(peer #("127.0.0.1" 9001 5))', "a contact is a list"),
    ("reply", [("#(peer", 1), (' ("127.0.0.1" 9001 5)', 21), (")", 1)], "21 contacts"),
    ("reply", "#(bag (#u8(1) 1 1))", "a value of a bag has 32 bytes"),
    ("reply", f"#(bag ({_V} -1 1))", "fewer than no publishers"),
    ("reply", [("#(bag", 1), (f" ({_V} 1 1)", 101), (")", 1)], "101 entries"),
    ("first bytes", b"\0\0\0\x0a#(iam 5)\n", "a message in the clear: its first two bytes are no length of message 1"),
    ("first bytes", b"GET / HTTP/1.1\r\n", "the same"),
    ("first bytes", b"\0\x21", "message 1 has 32 bytes"),
    ("first bytes", b"\0\x20" + bytes(32), "a public key with which every result is zero"),
    ("second message", b"\0\x5f", "message 2 has at least 96 bytes"),
    ("second message", b"\x02\x01", "a handshake message has at most 512 bytes"),
    ("record", b"\0\x10", "a record has at least 17 bytes"),
    ("record", b"\0\x11" + bytes(17), "not sealed by the other end"),
]  # fmt: skip


def malformed() -> str:
    return table(("layer", "input", "why it is refused"), [(layer, _input(what), reason) for layer, what, reason in MALFORMED])


def _input(what: Any) -> str:
    if isinstance(what, bytes):
        return f"hex `{what.hex()}`"
    if isinstance(what, list):
        return " then ".join(f"`{text}` × {times:,}" if times > 1 else f"`{text}`" for text, times in what)
    return f"`{what}`" if what else "nothing"
