"""Data as people read them: short ones whole, long ones cut, with their size."""

from __future__ import annotations

import pytest

from p2pnb.wire.sexp import Pair, Symbol, dumps
from p2pnb.wire.sexp_outline import outline

LONG = b"\x01" * 250_000


SHORT = [(Symbol("set"), b"hello"), [1, True, "a"], Pair(1, 2), (), bytes(60), "x" * 60, 10**59, ["127.0.0.1", 80]]


@pytest.mark.parametrize("datum", SHORT)
def test_what_is_short_is_the_text_itself(datum) -> None:
    assert outline(datum) == dumps(datum).decode()


@pytest.mark.parametrize(
    ("datum", "text"),
    [
        ((Symbol("value"), LONG), "#(value #u8(1 1 1 1 1 1 1 1 … 250,000 bytes))"),
        (["a", 2**256 - 1], '("a" 11579208…9935)'),
        ("y" * 61, '"yyyyyyyy… 61 letters"'),
        (Pair(b"\x02" * 61, []), "(#u8(2 2 2 2 2 2 2 2 … 61 bytes) . ())"),
        ([0] * 30, "(" + "0 " * 24 + "… 30 items)"),
    ],
)
def test_what_is_long_is_cut_and_its_size_said(datum, text: str) -> None:
    assert outline(datum) == text


def test_lines_stay_lines() -> None:
    assert outline(("a\nb\x1b[31m",)) == '#("a\\nb\x1b[31m")'
