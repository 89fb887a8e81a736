"""`node.table()`: from rows to what is drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pnb.uid import BITS, Key, key_of
from p2pnb.views.widgets.table import state, typed_key

OWN = 0b1011 << (BITS - 4)
NODE = {"node": 3, "uid": OWN, "alive": True}


def contact(bucket: int, peer: int | None = 7, cached: bool = False, **more: Any) -> dict[str, Any]:
    uid = OWN ^ (1 << (BITS - 1 - bucket)) ^ (peer or 0)
    row = {"bucket": bucket, "uid": uid, "peer": peer, "ip": "127.0.0.1", "port": 9000, "age_s": 4.2, "rtt_ms": 0.123456, "failures": 0}
    return row | {"cached": cached} | more


def test_a_row_for_each_bucket_down_to_the_deepest() -> None:
    shown = state(NODE, [contact(0), contact(0, 8, cached=True), contact(3, 9)], k=8)
    assert [row["bucket"] for row in shown["rows"]] == [0, 1, 2, 3]
    assert [row["prefix"] for row in shown["rows"]] == ["0", "11", "100", "1010"], "the last bit is where they differ"
    assert [len(row["contacts"]) for row in shown["rows"]] == [1, 0, 0, 1]
    assert (shown["known"], shown["waiting"]) == (2, 1)
    assert shown["rows"][0]["contacts"] == [[7, "30000000…", 4, 0, 0.12, "127.0.0.1:9000"]]


def test_the_row_of_a_key_is_there_though_it_is_empty() -> None:
    shown = state(NODE, [contact(0)], k=8, key=Key.from_int(OWN ^ (1 << (BITS - 6))))
    assert shown["key_bucket"] == 5
    assert [row["bucket"] for row in shown["rows"]] == [0, 5]
    assert state(NODE, [], k=8, key=Key.from_int(OWN))["rows"][0]["bucket"] == BITS, "its own uid"


def test_what_is_not_known_is_valid_json() -> None:
    shown = state(NODE, [contact(1, None, age_s=float("nan"), rtt_ms=float("nan"))], k=3)
    assert shown["rows"][1]["contacts"][0][:3] == [None, "f0000000…", None]
    json.dumps(shown, allow_nan=False)


def test_one_that_was_killed_has_no_rows() -> None:
    shown = state(NODE | {"alive": False}, [], k=8)
    assert (shown["alive"], shown["rows"]) == (False, [])


@pytest.mark.parametrize(
    ("typed", "key"),
    [("", None), ("  ", None), ("cats", key_of(b"cats")), ("ab" * 32, Key(b"\xab" * 32)), ("ab", key_of(b"ab"))],
)
def test_a_key_as_it_is_typed(typed: str, key: Key | None) -> None:
    assert typed_key(typed) == key
