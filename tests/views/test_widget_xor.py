"""`xor_space()`: distances, bad input, and what the browser says."""

from __future__ import annotations

from typing import Any

import pytest

from p2pnb import xor_space
from p2pnb.views.widgets.xor import Row, picture, rows


def test_nodes_are_listed_by_distance() -> None:
    assert rows(6, [2, 3, 7, 12], 4) == [Row(7, 1, 3), Row(2, 4, 1), Row(3, 5, 1), Row(12, 10, 0)]
    assert rows(6, [6], 4) == [Row(6, 0, 4)], "a node at the target itself shares all bits"


def test_the_picture_has_each_uid_and_the_bits_that_differ() -> None:
    drawn = picture(6, [2, 7], 4)
    assert drawn.count('fill-opacity="') == 16
    assert drawn.count('class="bold"') == 2, "one of 7 and one of 2"
    assert "distance 4" in drawn


def test_it_is_the_same_each_time_and_hears_the_browser() -> None:
    space = xor_space()
    assert space.state == xor_space().state
    assert len(space.uids) == 12
    assert not space.beats, "it needs no kernel"
    space._handle_custom_msg({"target": 200}, [])
    assert (space.target, space.said) == (200, "")
    space._handle_custom_msg({"target": 256}, [])
    assert (space.target, space.said) == (200, "a target has 8 bits: 0 to 255, not 256")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"bits": 9}, "bits is 3 to 8"),
        ({"uids": 0}, "there are 1 to 256 uids"),
        ({"uids": [1, 99], "bits": 4}, "a uid of 4 bits is 0 to 15, not 99"),
        ({"target": -1}, "a uid of 8 bits is 0 to 255, not -1"),
    ],
)
def test_bad_input(how: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        xor_space(**how)
