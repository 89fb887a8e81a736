r"""The insides of strings and of `|symbols|`: escapes, to and from text.

Written are raw UTF-8 and the seven escapes `\" \\ \a \b \t \n \r` that every Scheme reads alike; never `\x…;`, which
some do not. Read are those of R7RS (also `\|`, `\x41;` and a line that ends in a backslash) and the `\v` and `\f` that
Schemes write beside them. Nothing here works character by character: a megabyte of simple escapes is a few `replace`.
The two kinds that take longer, `\x41;` and line ends, count as data, of which a message holds at most 20,000.
"""

from __future__ import annotations

import re

from p2pnb.errors import LocalProtocolError
from p2pnb.spec import MAX_MESSAGE
from p2pnb.wire.sexp_data import SexpError

ESCAPE = rb"\\(?:[abtnvfr\"\\|]|x[0-9A-Fa-f]{1,8};|[ \t]*+(?:\r\n?|\n)[ \t]*+)"

_WRITTEN = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\a", b"\\a"), (b"\b", b"\\b"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))
_has_to_escape = re.compile(rb'[\\"\a\b\t\n\r]').search

_SIMPLE = tuple([(b"\\" + bytes([name]), bytes([meaning])) for name, meaning in zip(b'abtnvfr"|', b'\a\b\t\n\v\f\r"|', strict=True)])
_NEVER_IN_UTF8 = b"\xff"
_LINE_END = re.compile(rb"\\[ \t]*+(?:\r\n?|\n)[ \t]*+")
_HEX = re.compile(rb"\\x([0-9A-Fa-f]++);")


def write_string(text: str) -> bytes:
    """`text` between double quotes. Raises `LocalProtocolError` for lone surrogates, which UTF-8 does not have."""
    if len(text) > MAX_MESSAGE:
        raise LocalProtocolError(f"a string of {len(text):,} characters does not fit into a message of {MAX_MESSAGE:,} bytes")
    try:
        octets = text.encode()
    except UnicodeEncodeError as problem:
        raise LocalProtocolError(f"a string with a lone surrogate ({text[problem.start]!r}) has no UTF-8") from None
    if _has_to_escape(octets):
        for character, escape in _WRITTEN:
            octets = octets.replace(character, escape)
    return b'"' + octets + b'"'


def read_plain(octets: bytes, offset: int) -> str:
    """The text of `octets`, which hold no escape and stand at `offset` in the message."""
    try:
        return octets.decode()
    except UnicodeDecodeError as problem:
        raise SexpError("not UTF-8", offset + problem.start) from None


def read_escaped(octets: bytes, offset: int, allowed: int) -> tuple[str, int]:
    """The text of `octets`, in which every backslash begins an `ESCAPE`, and how many of the slow kinds it took.

    Raises `SexpError` for more than `allowed` of them, for characters that do not exist, and for lone surrogates.
    """
    if not octets.isascii():
        read_plain(octets, offset)
    # from here on an escaped backslash is a byte that UTF-8 never has: what looks like an escape now, is one
    octets = octets.replace(b"\\\\", _NEVER_IN_UTF8)
    text = _simple(octets)
    slow = text.count(b"\\")
    if slow > allowed:
        raise SexpError("too many escapes", offset)
    if slow:
        try:
            text = _HEX.sub(_of_code, _simple(_LINE_END.sub(b"", octets)))
        except (ValueError, OverflowError):
            raise SexpError("an escape that is no character", offset) from None
    return text.replace(_NEVER_IN_UTF8, b"\\").decode(), slow


def _simple(octets: bytes) -> bytes:
    for escape, character in _SIMPLE:
        octets = octets.replace(escape, character)
    return octets


def _of_code(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode()
