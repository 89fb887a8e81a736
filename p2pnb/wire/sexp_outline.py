"""A datum as people read it: the canonical text, with what is long left out and its size said.

For displays only; nobody reads it back.
"""

from __future__ import annotations

from typing import Any

from p2pnb.wire.sexp_data import Pair, Symbol
from p2pnb.wire.sexp_write import dumps

MOST_BYTES = 60  # of a bytevector, a string or a number that are shown whole
MOST_ITEMS = 24
SHOWN = 8  # of what is longer: so many bytes, letters or digits at its beginning


def outline(datum: Any) -> str:
    """The text of `datum`, on one line; bytevectors, strings and numbers beyond 60 bytes, and lists beyond 24 items, are cut short.

    `#(set #u8(104 101 108 108 111))` stays as it is; a value of 250 kB becomes `#(set #u8(0 1 2 3 4 5 6 7 … 250,000 bytes))`.
    """
    if isinstance(datum, (bytes, bytearray)) and len(datum) > MOST_BYTES:
        return f"#u8({' '.join(map(str, datum[:SHOWN]))} … {len(datum):,} bytes)"
    if isinstance(datum, str) and not isinstance(datum, Symbol) and len(datum) > MOST_BYTES:
        return f"{outline(datum[:SHOWN])[:-1]}… {len(datum):,} letters\""
    if isinstance(datum, int) and not isinstance(datum, bool) and len(text := str(datum)) > MOST_BYTES:
        return f"{text[:SHOWN]}…{text[-4:]}"
    if isinstance(datum, Pair):
        return f"({outline(datum.car)} . {outline(datum.cdr)})"
    if isinstance(datum, (list, tuple)):
        shown = [outline(item) for item in datum[:MOST_ITEMS]]
        shown += [f"… {len(datum):,} items"] if len(datum) > MOST_ITEMS else []
        return f"{'#' * isinstance(datum, tuple)}({' '.join(shown)})"
    return dumps(datum).decode()
