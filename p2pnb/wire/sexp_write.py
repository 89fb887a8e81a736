"""Writing a datum in its one canonical text, the one that Guile, Chicken, Gambit, MIT Scheme and Chibi all read back.

One space between elements, decimal numbers, symbols of `[a-z][a-z0-9-]*`, strings in raw UTF-8. What a receiver would
refuse is refused here, before it is sent: Python values that are no datum with `TypeError`, data beyond the limits of a
message with `LocalProtocolError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from p2pnb.errors import LocalProtocolError
from p2pnb.spec import MAX_DATA, MAX_DIGITS, MAX_MESSAGE, MAX_NESTING
from p2pnb.wire.bytevector import write_bytevector
from p2pnb.wire.sexp_data import Pair, Symbol, Written, WrittenVector
from p2pnb.wire.sexp_string import write_string

_TOO_LARGE = 10**MAX_DIGITS
_is_symbol = re.compile(r"[a-z][a-z0-9-]*").fullmatch


def dumps(datum: Any) -> bytes:
    """The canonical text of `datum`: tuple, list, `Pair`, bytes, `Symbol`, int, str or bool, nested at most 64 deep.

    Raises `TypeError` for other types; `LocalProtocolError` for more than 1,000,000 bytes, 20,000 data, 64 levels or
    100 digits, for symbols outside `[a-z][a-z0-9-]*` and for strings that have no UTF-8.
    """
    if type(datum) is WrittenVector:
        return datum.text
    text = _write(datum, MAX_NESTING)
    if len(text) > MAX_MESSAGE:
        raise _too_long()
    if len(text) > 2 * MAX_DATA and _count(datum) > MAX_DATA:  # a datum takes two bytes at least
        raise LocalProtocolError(f"a message has at most {MAX_DATA:,} data")
    return text


def written(vector: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same vector, which remembers its text: to send one message to many, written out once."""
    result = WrittenVector(vector)
    result.text = dumps(vector)
    return result


def _write(datum: Any, levels: int) -> bytes:
    """The text of `datum`, in which at most `levels` lists and vectors may be nested."""
    kind = type(datum)
    if kind is Written and datum.text and levels:
        return cast(bytes, datum.text)
    write = _ATOMS.get(kind)
    if write is not None:
        return write(datum)
    if isinstance(datum, (tuple, list, Pair)):
        return _compound(datum, levels)
    for base, write in _ATOMS.items():
        if isinstance(datum, base):
            return write(datum)
    raise TypeError(f"a message holds int, bool, str, bytes, Symbol, list, tuple and Pair, not {kind.__name__}: {datum!r:.60}")


def _compound(datum: tuple[Any, ...] | list[Any] | Pair, levels: int) -> bytes:
    if not levels:
        raise LocalProtocolError(f"lists are nested at most {MAX_NESTING} deep, and not at all inside a Written one")
    levels = 0 if isinstance(datum, Written) else levels - 1
    texts = _chain(datum, levels) if isinstance(datum, Pair) else [_write(item, levels) for item in datum]
    text = (b"#(" if isinstance(datum, tuple) else b"(") + b" ".join(texts) + b")"
    if len(text) > MAX_MESSAGE:
        raise _too_long()
    if isinstance(datum, Written):
        datum.text = text
    return text


def _chain(pair: Pair, levels: int) -> list[bytes]:
    texts: list[bytes] = []
    rest: Any = pair
    while isinstance(rest, Pair):
        if len(texts) > MAX_DATA:
            raise LocalProtocolError(f"a message has at most {MAX_DATA:,} data")
        texts.append(_write(rest.car, levels))
        rest = rest.cdr
    if isinstance(rest, list):
        return texts + [_write(item, levels) for item in rest]
    return [*texts, b".", _write(rest, levels)]


def _too_long() -> LocalProtocolError:
    return LocalProtocolError(f"a message has at most {MAX_MESSAGE:,} bytes")


def _boolean(datum: bool) -> bytes:
    return b"#t" if datum else b"#f"


def _integer(datum: int) -> bytes:
    if -_TOO_LARGE < datum < _TOO_LARGE:
        return b"%d" % datum
    raise LocalProtocolError(f"an integer has at most {MAX_DIGITS} digits")


@lru_cache(maxsize=1_024)
def _symbol(name: Symbol) -> bytes:
    if _is_symbol(name) is None:
        raise LocalProtocolError(f"{name[:60]!r} is not a symbol of the protocol: [a-z][a-z0-9-]*")
    return name.encode()


def _octets(datum: bytes | bytearray) -> bytes:
    if len(datum) > MAX_MESSAGE:
        raise _too_long()
    return write_bytevector(datum)


# in the order in which a value of some derived class is matched
_ATOMS: dict[type, Callable[[Any], bytes]] = {
    Symbol: _symbol,
    str: write_string,
    bool: _boolean,
    int: _integer,
    bytes: _octets,
    bytearray: _octets,
}


def _count(datum: Any) -> int:
    """How many data `datum` is made of, as the reader counts them."""
    total, rest = 0, [datum]
    while rest:
        datum = rest.pop()
        total += 1
        if isinstance(datum, Pair):
            while isinstance(datum, Pair):
                rest.append(datum.car)
                datum = datum.cdr
            datum = datum if isinstance(datum, list) else [datum]
        if isinstance(datum, (list, tuple)):
            rest.extend(datum)
    return total
