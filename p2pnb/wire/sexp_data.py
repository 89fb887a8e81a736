"""The data of s-expressions as Python has them, and the one error of reading.

A vector is a `tuple`, a list a `list`, a bytevector `bytes`, a string `str`; `#t` and `#f` are `bool`, exact integers
`int`. What Python lacks is here: symbols and dotted pairs. `Written` and `written` are a list and a vector that remember
their text, so that what is sent a thousand times is written once; `Reread` is a list that is read a thousand times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from p2pnb.errors import ProtocolError


class SexpError(ProtocolError):
    """Bytes that are not exactly one datum of the allowed forms; `offset` is the byte where that shows."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message}, at byte {offset}")
        self.offset = offset


class Symbol(str):
    """A symbol. It is equal to its name as a `str`; only its type tells it from a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str.__repr__(self)})"


class Pair:
    """A pair whose `cdr` is not a list: `Pair(1, 2)` is `(1 . 2)` and `Pair(1, Pair(2, 3))` is `(1 2 . 3)`.

    A chain of pairs may be long, so nothing here recurses along it.
    """

    __slots__ = ("car", "cdr")
    __match_args__ = ("car", "cdr")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, car: Any, cdr: Any) -> None:
        self.car = car
        self.cdr = cdr

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pair):
            return NotImplemented
        a: Any = self
        b: Any = other
        while isinstance(a, Pair) and isinstance(b, Pair):
            if a.car != b.car:
                return False
            a, b = a.cdr, b.cdr
        return bool(a == b)

    def __repr__(self) -> str:
        cars: list[str] = []
        rest: Any = self
        while isinstance(rest, Pair):
            cars.append(repr(rest.car))
            rest = rest.cdr
        return "".join([f"Pair({car}, " for car in cars]) + repr(rest) + ")" * len(cars)


class Written(list[Any]):
    """A list of atoms that `dumps` writes out once; it is never changed after that. Equal to a plain list.

    `text` is what it looks like on the wire, empty until then.
    """

    __slots__ = ("text",)

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(items)
        self.text = b""


class Reread(list[Any]):
    """A list of atoms that is read again and again: the reader gives the same one for the same text, so it is never changed.

    Whoever makes something of it may keep that in `meaning`. Equal to a plain list.
    """

    __slots__ = ("meaning",)

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__(items)
        self.meaning: Any = None

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("this list is the same for all who read its text: make a list(…) of it, and change that")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse


class WrittenVector(tuple[Any, ...]):
    """A vector that knows its whole text; `written()` makes it."""

    text: bytes
