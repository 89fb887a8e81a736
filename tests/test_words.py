"""How a number of things is said."""

from __future__ import annotations

import pytest

from p2pnb.words import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 bits"), (1, "1 bit"), (2, "2 bits"), (1_024, "1,024 bits")])
def test_one_is_one_and_thousands_are_set_apart(number: int, said: str) -> None:
    assert counted(number, "bit") == said
