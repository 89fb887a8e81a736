"""Seventeen Schemes, measured: what at least four of Guile, Chicken, Gambit, MIT and Chibi read back, we read too.

`write.jsonl` has, for several hundred data, each text that some Scheme writes for it and who reads that text back as the
datum; `read.jsonl` has texts, canonical and odd, with what R7RS wants and who agrees. Held back, by the protocol's own
rules: characters, reals, rationals, labels, comments, and integers of more than 100 digits.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from p2pnb.errors import LocalProtocolError
from p2pnb.spec import MAX_DIGITS
from p2pnb.wire.sexp import Pair, SexpError, Symbol, dumps, loads

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors" / "scheme"
FIVE = ("chibi-", "chicken-", "gambit-", "mit-", "guile-3.0.8", "guile-r7rs-srfi4-3.0.8")  # Guile in either of its modes

Row = dict[str, Any]


class NoSuchDatum(Exception):
    """A datum that no message may hold."""


def rows(name: str) -> list[Row]:
    path = VECTORS / name
    if not path.exists():
        pytest.skip(f"the vectors of other Schemes are not here: {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def schemes(names: list[str]) -> int:
    """How many of the five are among `names`."""
    return len({name.split("-")[0] for name in names if name.startswith(FIVE)})


def datum(node: Row) -> Any:
    value = node.get("v")
    match node["t"]:
        case "bv":
            return bytes.fromhex(value)
        case "int" if len(value.lstrip("-")) <= MAX_DIGITS:
            return int(value)
        case "sym":
            return Symbol(value)
        case "str" | "bool":
            return value
        case "nil":
            return []
        case "list":
            return [datum(each) for each in value]
        case "vec":
            return tuple([datum(each) for each in value])
        case "dotted":
            cars, last = [datum(each) for each in value], datum(node["tail"])
            return cars + last if isinstance(last, list) else reduce(lambda rest, car: Pair(car, rest), reversed(cars), last)
    raise NoSuchDatum(node["t"])


def wanted(node: Row) -> tuple[Any, ...]:
    try:
        return (datum(node),)
    except NoSuchDatum:
        return ()


def read(text: bytes) -> tuple[Any, ...]:
    try:
        return (loads(text),)
    except SexpError as refused:
        offset = refused.offset
    assert 0 <= offset <= len(text)
    return ()


def test_what_schemes_write() -> None:
    required = 0
    for row in rows("write.jsonl"):
        text, want = bytes.fromhex(row["hex"]), wanted(row["datum"])
        if schemes(row["read_as_datum_by"]) >= 4 and not row["id"].startswith(("shared", "cycle")):
            assert repr(read(text)) == repr(want), row["id"]
            required += bool(want)
        if b"#!" in text or b"#<" in text or b"#{" in text:  # end of file, "unspecified" and other objects without a text
            assert read(text) == () or b"|" in text or b'"' in text, row["id"]
    assert required > 500


def test_what_schemes_read() -> None:
    by_id = {row["id"]: row["datum"] for row in rows("write.jsonl")}
    required = refused = 0
    for row in rows("read.jsonl"):
        text, standard = bytes.fromhex(row["hex"]), row["r7rs"]
        if isinstance(standard, str) and standard.startswith("datum "):
            standard = [by_id[standard.removeprefix("datum ")]]
        agree = [name for result in row["results"] if result["got"] == "as-wanted" for name in result["by"]]
        if standard == "error":
            assert read(text) == (), row["id"]
            refused += 1
        elif standard is not None and schemes(agree) >= 4:
            want = wanted(standard[0]) if len(standard) == 1 and not row["id"].startswith("sample comment") else ()
            assert repr(read(text)) == repr(want), row["id"]
            required += bool(want)
            refused += not want
    assert required > 350
    assert refused > 100


def test_what_we_write_is_what_all_five_read() -> None:
    """Wherever our text of a datum was measured, all five read it back equal."""
    measured = 0
    for row in rows("write.jsonl"):
        for want in wanted(row["datum"]):
            with suppress(LocalProtocolError):  # symbols that the protocol does not have
                if dumps(want).hex() != row["hex"]:
                    continue
                assert schemes(row["read_as_datum_by"]) == 5, row["id"]
                measured += 1
    assert measured > 100
