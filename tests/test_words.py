"""How a number of things, and several of them, are said."""

from __future__ import annotations

import pytest

from p2pnb.words import counted, shortened


@pytest.mark.parametrize(("number", "said"), [(0, "0 bits"), (1, "1 bit"), (2, "2 bits"), (1_024, "1,024 bits")])
def test_one_is_one_and_thousands_are_set_apart(number: int, said: str) -> None:
    assert counted(number, "bit") == said


@pytest.mark.parametrize(("n", "said"), [(0, ""), (1, "#0"), (3, "#0, #1, #2"), (4, "#0, #1, #2 and 1 more"), (9, "#0, #1, #2 and 6 more")])
def test_how_many_more_there_are_is_said(n: int, said: str) -> None:
    assert shortened([f"#{i}" for i in range(n)], 3) == said
