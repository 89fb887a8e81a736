"""Reading one datum, from bytes that anybody may have sent.

The draft: "the procedure used to parse messages from the network must be safe". So: one pass over the bytes with one
regular expression for the words, whose parts are all possessive (no backtracking); a stack of our own instead of
recursion; limits on size, nesting, digits and data that are checked before anything is built; and a single kind of
failure, `SexpError`. Nothing is evaluated, shared or looked up by name.

What is read is R7RS external representations and what Schemes `write` beside them, as far as most Schemes read it back
(held against vectors of 17 implementations): `#vu8(…)`, `#x1F`, `#true`, `|a b|`, `'a`, `1+`. Refused although valid
Scheme: comments, labels, characters, reals, rationals, directives, brackets; more than one datum; and whatever two
Schemes read differently.

Three shapes that make up most traffic have a short way: `#(verb integer)`, `#(value #u8(…) integer)`, and `#(peer (ip port uid) …)`, whose
contacts a peer reads again and again. A text that is not exactly of these shapes takes the general way, with the same result.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from p2pnb.spec import MAX_DATA, MAX_DIGITS, MAX_MESSAGE, MAX_NESTING
from p2pnb.wire.bytevector import read_bytevector
from p2pnb.wire.sexp_data import Pair, Reread, SexpError, Symbol
from p2pnb.wire.sexp_number import NotAnInteger, integer
from p2pnb.wire.sexp_string import ESCAPE, read_escaped, read_plain

_BLANK = rb"[ \t\n\r\f]*+"
_END = rb'(?=[ \t\n\r\f()"]|\Z)'
_FORMS = (  # the common ones first
    rb"([a-z][a-z0-9-]{0,63}+)" + _END,  # symbol
    rb"([+-]?[0-9]{1,%d}+)" % MAX_DIGITS + _END,  # integer
    rb'"([^"\\]*+)"',  # string without escapes
    rb"(\))",  # end of a list or vector
    rb"(\()",  # list
    rb"(\#\()",  # vector
    rb"(['`]|,@?|\#`)",  # quotation
    rb"\#v?u8(\()",  # bytevector
    rb'"([^"\\]*+(?:' + ESCAPE + rb'[^"\\]*+)*+)"',  # string with escapes
    rb"\|([^|\\]*+(?:" + ESCAPE + rb"[^|\\]*+)*+)\|" + _END,  # symbol in bars
    rb"([^\x00-\x20\x7f\"'(),;\[\\\]`{|}]++)" + _END,  # booleans, integers in other spellings, other symbols, the dot
)
_TOP, _SYMBOL, _INTEGER, _STRING, _CLOSE, _LIST, _VECTOR, _QUOTATION, _BYTEVECTOR, _ESCAPED, _BARRED, _OTHER = range(12)
_form = re.compile(_BLANK + rb"(?:" + rb"|".join(_FORMS) + rb")").match
_blank = re.compile(_BLANK).match

_QUOTATIONS = {b"'": "quote", b"`": "quasiquote", b",": "unquote", b",@": "unquote-splicing", b"#`": "quasisyntax"}
_BOOLEANS = {b"#t": True, b"#true": True, b"#f": False, b"#false": False}

_verb_and_integer = re.compile(rb"#\(([a-z][a-z0-9-]{0,63}+) (0|[1-9][0-9]{0,%d}+)\)" % (MAX_DIGITS - 1)).fullmatch
_contact = re.compile(rb'"([0-9A-Za-z.:]{0,45}+)" (0|[1-9][0-9]{0,4}+)(?: (0|[1-9][0-9]{0,77}+))?+').fullmatch
_PEER = Symbol("peer")
_octets_head = re.compile(rb"#\((set|value) #u8\(").match
_age_and_end = re.compile(rb"(?: (0|[1-9][0-9]{0,%d}+))?+\)" % (MAX_DIGITS - 1)).fullmatch
_PEER_REPLY = 4_096  # bytes: one with 20 contacts has at most 2,800


class _OtherShape(Exception):
    """Not a contact in canonical text: for the general way to judge."""


def loads(data: bytes) -> Any:
    """The datum that `data` spells: all of it, but for white space around.

    A vector is a tuple, a list a list (a fresh one, or `Reread`), a bytevector bytes; else `Pair`, `Symbol`, int, str or bool. Raises
    `SexpError` for whatever is not exactly one datum within the limits: 1,000,000 bytes, 64 levels, 20,000 data (a
    bytevector is one), integers of 100 digits.
    """
    if type(data) is not bytes:
        data = bytes(memoryview(data))
    if len(data) == 2 and data in _BOOLEANS:
        return _BOOLEANS[data]
    match = _verb_and_integer(data)
    if match is not None:
        return _symbol(match[1]), int(match[2])
    if data[:8] == b"#(peer (" and data[-2:] == b"))" and len(data) <= _PEER_REPLY:
        try:
            return (_PEER, *map(_fields, data[8:-2].split(b") (")))
        except _OtherShape:
            pass
    match = _octets_head(data)
    if match is not None and len(data) <= MAX_MESSAGE:
        start = match.end()
        end = data.find(b")", start)
        tail = _age_and_end(data, end + 1)
        if tail is not None:
            octets, unusual = read_bytevector(data, start, end, MAX_DATA - 3)
            if not unusual:
                head = _symbol(match[1])
                return (head, octets) if tail[1] is None else (head, octets, int(tail[1]))
    return read(data)


def read(data: bytes) -> Any:
    """`loads`, by the general way."""
    if len(data) > MAX_MESSAGE:
        raise SexpError(f"a message has at most {MAX_MESSAGE:,} bytes", MAX_MESSAGE)
    # the compound datum being read: its kind, its items so far, how many of them stand before a dot; then those around it
    kind, items, dot = _TOP, list[Any](), -1
    outer: list[tuple[int, list[Any], int]] = []
    position, allowed = 0, MAX_DATA
    datum: Any
    while True:
        match = _form(data, position)
        if match is None:
            raise _refusal(data, position)
        form = match.lastindex or 0
        position = match.end()
        allowed -= 1
        if form == _CLOSE:
            datum = _closed(kind, items, dot, position - 1)
            kind, items, dot = outer.pop()
            allowed += 1
        elif allowed < 0:
            raise SexpError(f"a message has at most {MAX_DATA:,} data", match.start(form))
        elif form == _SYMBOL:
            datum = _symbol(match[form])
        elif form == _INTEGER:
            datum = int(match[form])
        elif form == _STRING:
            datum = read_plain(match[form], match.start(form))
        elif form in (_LIST, _VECTOR, _QUOTATION):
            if len(outer) == MAX_NESTING:
                raise SexpError(f"nested more than {MAX_NESTING} deep", match.start(form))
            outer.append((kind, items, dot))
            kind, items, dot = form, [], -1
            if form == _QUOTATION:
                items.append(Symbol(_QUOTATIONS[match[form]]))
                allowed -= 1
            continue
        elif form == _OTHER and match[form] == b".":
            if kind != _LIST or not items or dot >= 0:
                raise SexpError("a dot out of place", position - 1)
            dot = len(items)
            allowed += 1
            continue
        else:
            datum, position, cost = _atom(form, match, data, allowed)
            allowed -= cost
        items.append(datum)
        while kind == _QUOTATION:
            datum = items
            kind, items, dot = outer.pop()
            items.append(datum)
        if kind == _TOP:
            return _alone(datum, data, position)


def _atom(form: int, match: re.Match[bytes], data: bytes, allowed: int) -> tuple[Any, int, int]:
    """A datum in a less common form; where it ends; and how many of the `allowed` data its spelling costs."""
    start, end = match.start(form), match.end()
    if form == _BYTEVECTOR:
        close = data.find(b")", end)
        if close < 0:
            raise SexpError("a bytevector without an end", start)
        octets, cost = read_bytevector(data, end, close, allowed)
        return octets, close + 1, cost
    if form == _OTHER:
        return _other(match[form], start), end, 0
    text, cost = read_escaped(match[form], start, allowed)
    return text if form == _ESCAPED else Symbol(text), end, cost


def _closed(kind: int, items: list[Any], dot: int, offset: int) -> Any:
    """The list or vector that a `)` ends."""
    if kind == _VECTOR:
        return tuple(items)
    if kind != _LIST:
        raise SexpError("a parenthesis that closes nothing", offset)
    if dot < 0:
        return items
    if dot != len(items) - 1:
        raise SexpError("one datum stands between a dot and the end of its list", offset)
    datum = items.pop()
    if isinstance(datum, list):
        return items + datum
    for car in reversed(items):
        datum = Pair(car, datum)
    return datum


def _alone(datum: Any, data: bytes, position: int) -> Any:
    if position < len(data):
        rest = _blank(data, position)
        if rest is not None and rest.end() < len(data):
            raise SexpError("more than one datum", rest.end())
    return datum


@lru_cache(maxsize=1_024)
def _symbol(name: bytes) -> Symbol:
    return Symbol(name.decode())


def _other(text: bytes, offset: int) -> bool | int | Symbol:
    """A word that is neither a common symbol nor an integer as we write them."""
    truth = _BOOLEANS.get(text)
    if truth is None and text[:1] == b"#":
        truth = _BOOLEANS.get(text.lower())
    if truth is not None:
        return truth
    try:
        number = integer(text)
    except NotAnInteger as problem:
        raise SexpError(str(problem), offset) from None
    if number is not None:
        return number
    if text[:1] == b"#":
        raise SexpError("not a form that a message may have", offset)
    name = read_plain(text, offset)
    if "\ufeff" in name:
        raise SexpError("a byte order mark", offset)
    return Symbol(name)


@lru_cache(maxsize=32_768)
def _fields(text: bytes) -> Reread:
    """The fields of a contact in canonical text, without its parentheses."""
    match = _contact(text)
    if match is None:
        raise _OtherShape
    ip, port, uid = match.groups()
    return Reread([ip.decode(), int(port)] if uid is None else [ip.decode(), int(port), int(uid)])


_REFUSALS = (
    (re.compile(rb";|#[;|]"), "a comment"),
    (re.compile(rb"#[0-9]+[=#]"), "a label"),
    (re.compile(rb"#\\"), "a character"),
    (re.compile(rb"#!"), "a directive, or an object that cannot be written"),
    (re.compile(rb"[\[\]{}]"), "a bracket or brace"),
    (re.compile(rb"\x00"), "a NUL"),
)
_IN_QUOTES = re.compile(rb"([\"|])(?:[^\"|\\]|" + ESCAPE + rb"|(?!\1)[\"|])*+")


def _refusal(data: bytes, position: int) -> SexpError:
    """Why nothing that is allowed begins after `position`."""
    blank = _blank(data, position)
    position = blank.end() if blank is not None else position
    if position == len(data):
        return SexpError("the text ends before its datum does", position)
    for pattern, what in _REFUSALS:
        if pattern.match(data, position):
            return SexpError(f"{what} is not allowed in a message", position)
    quoted = _IN_QUOTES.match(data, position)
    if quoted is not None:
        return SexpError("a string or symbol without an end, or an unknown escape", quoted.end())
    return SexpError("not a form that a message may have", position)
