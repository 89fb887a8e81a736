"""Writing a datum in its one canonical text, the one that Guile, Chicken, Gambit, MIT Scheme and Chibi all read back.

One space between elements, decimal numbers, symbols of `[a-z][a-z0-9-]*`, strings in raw UTF-8. What a receiver would
refuse is refused here, before it is sent: Python values that are no datum with `TypeError`, data beyond the limits of a
message with `LocalProtocolError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from p2pnb.errors import LocalProtocolError
from p2pnb.spec import MAX_DATA, MAX_DIGITS, MAX_MESSAGE, MAX_NESTING
from p2pnb.wire.bytevector import write_bytevector
from p2pnb.wire.sexp_data import Pair, Symbol, Written, WrittenVector
from p2pnb.wire.sexp_string import write_string

_LARGEST = 10**MAX_DIGITS - 1
_SMALLEST = -_LARGEST
_is_symbol = re.compile(r"[a-z][a-z0-9-]*").fullmatch


def dumps(datum: Any) -> bytes:
    """The canonical text of `datum`: tuple, list, `Pair`, bytes, `Symbol`, int, str or bool, nested at most 64 deep.

    Raises `TypeError` for other types; `LocalProtocolError` for more than 1,000,000 bytes, 20,000 data, 64 levels or
    100 digits, for symbols outside `[a-z][a-z0-9-]*` and for strings that have no UTF-8.
    """
    if type(datum) is WrittenVector:
        return datum.text
    if type(datum) is tuple and len(datum) == 2 and type(datum[0]) is Symbol and type(datum[1]) is int:  # most requests
        return b"#(%b %b)" % (_symbol(datum[0], MAX_NESTING), _integer(datum[1], MAX_NESTING))
    text = _bounded(_write(datum, MAX_NESTING))
    if len(text) > 2 * MAX_DATA and _count(datum) > MAX_DATA:  # a datum takes two bytes at least
        raise LocalProtocolError(f"a message has at most {MAX_DATA:,} data")
    return text


def written(vector: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same vector, which remembers its text: to send one message to many, written out once."""
    result = WrittenVector(vector)
    result.text = dumps(vector)
    return result


def _write(datum: Any, levels: int) -> bytes:
    """The text of `datum`, in which at most `levels` lists and vectors may be nested. One function a type does it."""
    return _WRITERS.get(type(datum), _derived)(datum, levels)


def _list(items: list[Any], levels: int) -> bytes:
    return _bounded(b"(" + b" ".join(_items(items, levels)) + b")")


def _vector(items: tuple[Any, ...], levels: int) -> bytes:
    return _bounded(b"#(" + b" ".join(_items(items, levels)) + b")")


def _pair(pair: Pair, levels: int) -> bytes:
    cars: list[Any] = []
    rest: Any = pair
    while isinstance(rest, Pair):
        if len(cars) > MAX_DATA:
            raise LocalProtocolError(f"a message has at most {MAX_DATA:,} data")
        cars.append(rest.car)
        rest = rest.cdr
    if isinstance(rest, list):
        return _list(cars + rest, levels)
    *texts, last = _items([*cars, rest], levels)
    return _bounded(b"(" + b" ".join(texts) + b" . " + last + b")")


def _remembered(items: Written, levels: int) -> bytes:
    if not items.text or not levels:
        items.text = _list(items, min(levels, 1))
    return items.text


def _items(items: list[Any] | tuple[Any, ...], levels: int) -> list[bytes]:
    if not levels:
        raise LocalProtocolError(f"lists are nested at most {MAX_NESTING} deep, and not at all inside a Written one")
    levels -= 1
    return [
        item.text if type(item) is Written and item.text and levels else _WRITERS.get(type(item), _derived)(item, levels)
        for item in items
    ]


def _bounded(text: bytes) -> bytes:
    if len(text) > MAX_MESSAGE:
        raise LocalProtocolError(f"a message has at most {MAX_MESSAGE:,} bytes")
    return text


def _boolean(datum: bool, _levels: int) -> bytes:
    return b"#t" if datum else b"#f"


def _integer(datum: int, _levels: int) -> bytes:
    if _SMALLEST <= datum <= _LARGEST:
        return b"%d" % datum
    raise LocalProtocolError(f"an integer has at most {MAX_DIGITS} digits")


@lru_cache(maxsize=1_024)
def _symbol(name: Symbol, _levels: int) -> bytes:
    if _is_symbol(name) is None:
        raise LocalProtocolError(f"{name[:60]!r} is not a symbol of the protocol: [a-z][a-z0-9-]*")
    return name.encode()


def _string(text: str, _levels: int) -> bytes:
    return write_string(text)


def _bytevector(octets: bytes | bytearray, _levels: int) -> bytes:
    if len(octets) > MAX_MESSAGE:
        raise LocalProtocolError(f"a message has at most {MAX_MESSAGE:,} bytes")
    return write_bytevector(octets)


_WRITERS: dict[type, Callable[[Any, int], bytes]] = {  # a derived class is written as the first of these that it is
    Symbol: _symbol,
    str: _string,
    bool: _boolean,
    int: _integer,
    bytes: _bytevector,
    bytearray: _bytevector,
    Written: _remembered,
    list: _list,
    tuple: _vector,
    Pair: _pair,
}


def _derived(datum: Any, levels: int) -> bytes:
    for kind, write in _WRITERS.items():
        if isinstance(datum, kind):
            return write(datum, levels)
    kinds = ", ".join([kind.__name__ for kind in _WRITERS])
    raise TypeError(f"a message holds {kinds}, not {type(datum).__name__}: {datum!r:.60}")


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
