"""Messages of a megabyte that were looked for because they are hard to read: each is legal up to a limit, or just not.

What makes reading slow is many small things (20,000 data, each in the slowest form it has), much to copy (escapes), much to
look at before it is refused (numbers that are none, what has no end), and spellings that no table knows.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2pnb.spec import MAX_DATA, MAX_MESSAGE

MANY = MAX_DATA - 10


def each(unit: bytes, count: int = MANY, head: bytes = b"#(", tail: bytes = b")") -> bytes:
    """As many of `unit` as are data allowed and fit; blanks fill the rest."""
    count = min(count, (MAX_MESSAGE - len(head) - len(tail)) // len(unit))
    body = head + unit * count
    return body + b" " * (MAX_MESSAGE - len(body) - len(tail)) + tail


def different(units: Iterable[bytes], head: bytes = b"#(", tail: bytes = b")") -> bytes:
    """As many of `units`, which are all different, as fit."""
    body = head + b" ".join(units)
    return body[: body.rfind(b" ", 0, MAX_MESSAGE - len(tail))] + tail if len(body) > MAX_MESSAGE - len(tail) else body + tail


def quoted(inside: bytes, tail: bytes = b"") -> bytes:
    return b'"' + inside[: MAX_MESSAGE - 2 - len(tail)] + tail + b'"'


HALF, GRIN = MAX_MESSAGE // 2, "😀".encode()
WORST: dict[str, bytes] = {
    # nesting
    "as deep as allowed, again and again": each(b"#(" * 62 + b")" * 62 + b" ", 322),
    "vectors of vectors": each(b"#(#()) ", MANY // 2),
    "empty vectors": each(b"#() "),
    "deep and never closed": b"(" * 64 + b"a " * 499_000,
    "quotations": each(b"'a ", MANY // 3),
    "quotations of quotations": each(b"'" * 60 + b"a ", MANY // 61),
    "pairs": each(b"(a . b) ", MANY // 3),
    "a chain of pairs": b"(" + b"a " * MANY + b". b)",
    "long lists behind dots": b"".join(b"(" + b"a " * 300 + b". " for _ in range(63)) + b"()" + b")" * 63,
    # symbols
    "tiny symbols": each(b"a "),
    "different symbols": different(b"s%06d" % i + b"x" * 40 for i in range(MANY)),
    "different symbols of another kind": different(b"S%06d" % i + b"X" * 41 for i in range(MANY)),
    "symbols of other letters": each("λ".encode() * 24 + b" "),
    "symbols in bars": each(b"|" + b"\\n" * 23 + b"| "),
    "symbols in bars, of other letters": each(b"|" + GRIN * 11 + b"| "),
    "one symbol in bars, all in code points": b"|" + b"\\x1F600;" * MANY + b"a" * 800_000 + b"|",
    # strings
    "empty strings": each(b'"" '),
    "strings": each(b'"' + b"a" * 45 + b'" '),
    "strings with escapes": each(b'"' + b"\\n" * 22 + b'" '),
    "strings with code points": each(b'"\\x41;\\x1F600;abcdefghijklmnop" ', MANY // 3),
    "one string, all escapes": quoted(b'\\a\\b\\t\\n\\v\\f\\r\\"\\|\\\\' * 49_999),
    "one string, code points": quoted(b"\\x1F600;" * MANY + b"a" * 800_000),
    "one string, the last code point is none": quoted(b"\\x1F600;" * (MANY - 1) + b"a" * 800_000, b"\\x110000;"),
    "one string, lines": quoted((b"\\" + b" " * 24 + b"\n" + b" " * 24) * MANY),
    "one string, escapes before one wide letter": quoted(b"\\n" * (HALF - 5), GRIN),
    "one string, escapes and no end": b'"' + b"a|\\x41;\\\\" * 100_000,
    # numbers
    "integers of 100 digits": each(b"9" * 99 + b" "),
    "quotients of 100 digits": each(b"9" * 100 + b"/" + b"9" * 100 + b" "),
    "different quotients": different(b"%d/1" % (10**44 + i) for i in range(MANY)),
    "hexadecimal integers": each(b"#x" + b"F" * 46 + b" "),
    "binary integers": each(b"#b" + b"1" * 100 + b" "),
    "an integer of a million digits": b"1" * MAX_MESSAGE,
    "a quotient of a million digits": b"1" * HALF + b"/" + b"1" * (HALF - 1),
    "almost a complex number": b"1." + b"1" * 300_000 + b"@" + b"1" * 600_000 + b"x",
    "signs": b"+1" * HALF,
    "a number with lost digits": b"1" + b"#" * (MAX_MESSAGE - 1),
    # bytevectors
    "empty bytevectors": each(b"#u8() "),
    "small bytevectors, all different": different(b"#u8(%d %d %d %d)" % (i % 256, i // 256, i % 7, i % 11) for i in range(MANY)),
    "bytevectors just beyond the short way": each(b"#u8(" + b"1 " * 255 + b"123) "),
    "odd spacing": each(b"1\t\r\n\f ", MAX_MESSAGE, b"#u8("),
    "one odd byte a piece": each(b"255 " * 16_000 + b"+1 ", 15, b"#u8("),
    "hexadecimal bytes": each(b"#xFF ", MAX_MESSAGE, b"#u8("),
    "hexadecimal bytes, the last too large": each(b"#xFF ", MAX_MESSAGE, b"#u8(", b"999)"),
    "bytes in as many spellings as allowed": different((b"%d/%d" % (i % 256 * 9, 9) for i in range(MANY)), b"#u8("),
    "bytes in too many spellings": different((b"%d/%d" % (i % 256 * (i // 256 + 1), i // 256 + 1) for i in range(110_000)), b"#u8("),
    "bytes with zeros before": different((b"0" * (i % 97) + b"%d" % (i % 256) for i in range(19_000)), b"#u8("),
    "bytevectors in bytevectors": b"#(" + b"#u8(" * 249_000,
    # messages
    "more contacts than anybody may name": each(b'("127.0.0.1" 9000 ' + b"1" * 77 + b") ", MANY // 4, b"#(peer "),
    "contacts without an end": b"#(peer (" + b'"1" 2) (' * 124_000,
    "blanks, then a comment": b" " * (MAX_MESSAGE - 1) + b";",
    "zeros": b"#(" + b"a " * 19_000 + b"\0" * 900_000,
}  # fmt: skip
