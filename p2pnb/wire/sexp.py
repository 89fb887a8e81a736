"""S-expressions: the text of a message, to and from Python data (first version)."""

from __future__ import annotations

import re
from typing import Any

from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.spec import MAX_DATA, MAX_DIGITS, MAX_MESSAGE, MAX_NESTING


class SexpError(ProtocolError):
    """Bytes that are not one datum; `offset` is where, in bytes."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class Symbol(str):
    """A symbol; equal to its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str.__repr__(self)})"


class Pair:
    """A dotted pair `(car . cdr)` whose cdr is not a list."""

    __slots__ = ("car", "cdr")

    def __init__(self, car: Any, cdr: Any) -> None:
        self.car, self.cdr = car, cdr

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and self.car == other.car and self.cdr == other.cdr

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Pair({self.car!r}, {self.cdr!r})"


class Written(list[Any]):
    """A list that remembers its text."""

    __slots__ = ("_text",)
    _text: bytes

    @property
    def text(self) -> bytes:
        try:
            return self._text
        except AttributeError:
            self._text = _write(list(self))
            return self._text


class _WrittenVector(tuple[Any, ...]):
    """A vector that remembers its text."""

    _text: bytes


def written(vector: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same vector, which remembers its text."""
    result = _WrittenVector(vector)
    result._text = dumps(vector)
    return result


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_SYMBOL = re.compile(r"[a-z][a-z0-9-]*\Z")


def dumps(datum: Any) -> bytes:
    text = _write(datum)
    if len(text) > MAX_MESSAGE:
        raise LocalProtocolError(f"{len(text):,} bytes are more than a message may have")
    return text


def _write(datum: Any, depth: int = 0) -> bytes:
    if depth > MAX_NESTING:
        raise LocalProtocolError("nested too deeply")
    if isinstance(datum, _WrittenVector):
        return datum._text
    if isinstance(datum, Written):
        return datum.text
    if isinstance(datum, bool):
        return b"#t" if datum else b"#f"
    if isinstance(datum, int):
        if abs(datum) >= 10**MAX_DIGITS:
            raise LocalProtocolError("an integer of too many digits")
        return b"%d" % datum
    if isinstance(datum, (bytes, bytearray)):
        return b"#u8(" + " ".join(map(str, datum)).encode() + b")"
    if isinstance(datum, Symbol):
        if not _SYMBOL.match(datum):
            raise LocalProtocolError(f"not a symbol: {datum!r}")
        return datum.encode()
    if isinstance(datum, str):
        return ('"' + re.sub(r'["\\\a\b\t\n\r]', lambda m: _ESCAPES[m[0]], datum) + '"').encode()
    if isinstance(datum, (tuple, list)):
        inner = b" ".join([_write(each, depth + 1) for each in datum])
        return (b"#(" if isinstance(datum, tuple) else b"(") + inner + b")"
    if isinstance(datum, Pair):
        return b"(" + _write(datum.car, depth + 1) + b" . " + _write(datum.cdr, depth + 1) + b")"
    raise TypeError(f"{type(datum).__name__} cannot be written")


_TOKEN = re.compile(rb'\s*(#v?u8\([0-9\s]*\)|#\(|[()]|"(?:[^"\\]|\\.)*"|[^\s()"]+)')
_UNESCAPE = {'"': '"', "\\": "\\", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "r": "\r"}


def loads(data: bytes) -> Any:
    if len(data) > MAX_MESSAGE:
        raise SexpError("too long", MAX_MESSAGE)
    stack: list[tuple[bytes, list[Any]]] = []
    position, nodes = 0, 0
    while True:
        match = _TOKEN.match(data, position)
        if not match:
            raise SexpError("not a datum", position)
        token, position = match[1], match.end()
        nodes += 1
        if nodes > MAX_DATA:
            raise SexpError("too many nodes", position)
        if token in (b"(", b"#("):
            if len(stack) >= MAX_NESTING:
                raise SexpError("nested too deeply", position)
            stack.append((token, []))
            continue
        if token == b")":
            if not stack:
                raise SexpError("unexpected )", position)
            kind, items = stack.pop()
            datum = _close(kind, items, position)
        else:
            datum = _atom(token, position)
        if not stack:
            if data[position:].strip():
                raise SexpError("trailing data", position)
            if datum is _DOT:
                raise SexpError("not a datum", position)
            return datum
        stack[-1][1].append(datum)


_DOT = object()


def _close(kind: bytes, items: list[Any], position: int) -> Any:
    if kind == b"#(":
        if any(each is _DOT for each in items):
            raise SexpError("a dot in a vector", position)
        return tuple(items)
    dots = [at for at, each in enumerate(items) if each is _DOT]
    if not dots:
        return items
    if dots != [len(items) - 2] or len(items) < 3:
        raise SexpError("a misplaced dot", position)
    *head, _, tail = items
    if isinstance(tail, list):
        return head + tail
    for each in reversed(head):
        tail = Pair(each, tail)
    return tail


def _atom(token: bytes, position: int) -> Any:
    if token == b".":
        return _DOT
    if token in (b"#t", b"#true"):
        return True
    if token in (b"#f", b"#false"):
        return False
    if token.startswith((b"#u8(", b"#vu8(")):
        try:
            return bytes(map(int, token[token.index(b"(") + 1 : -1].split()))
        except ValueError:
            raise SexpError("not a byte", position) from None
    if re.fullmatch(rb"[+-]?[0-9]+", token):
        if len(token) > MAX_DIGITS + 1:
            raise SexpError("an integer of too many digits", position)
        return int(token)
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        raise SexpError("not UTF-8", position) from None
    if text[0] == '"':
        try:
            return re.sub(r"\\(.)", lambda m: _UNESCAPE[m[1]], text[1:-1])
        except KeyError:
            raise SexpError("unknown escape", position) from None
    if re.fullmatch(r"[a-z][a-z0-9-]*", text):
        return Symbol(text)
    raise SexpError("not a datum", position)
