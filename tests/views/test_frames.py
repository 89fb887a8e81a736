"""Frames: fixed columns, dtypes and index, full or empty; units; uids short on screen and whole in the data."""

from __future__ import annotations

import io
import math
from random import Random
from typing import Any

import pandas as pd
import pytest

from p2pnb.uid import Key, common_prefix_length
from p2pnb.views import frames
from p2pnb.wire import messages

RNG = Random(11)
UIDS = [RNG.getrandbits(256) for _ in range(4)]
VALUE = RNG.randbytes(32)
ROWS: dict[str, list[dict[str, Any]]] = {
    "nodes": [
        {"node": n, "uid": uid, "alive": n != 2, "ip": "127.0.0.1", "port": 60_000 + n, "contacts": 3, "links": 2, "values": 1, "bags": 0,
         "namespaces": 0, "stored_bytes": 250_000, "requests_in": 4, "requests_out": 5, "errors": 0}
        for n, uid in enumerate(UIDS)
    ],
    "routing": [
        {"node": 1, "bucket": 0, "uid": UIDS[0], "peer": 0, "ip": "127.0.0.1", "port": 60_000, "age_s": 1.5, "rtt_ms": 2.0, "failures": 0,
         "dialled": True, "cached": False},
        {"node": 0, "bucket": 3, "uid": UIDS[3], "peer": -1, "ip": "::1", "port": 9, "age_s": None, "rtt_ms": None, "failures": 2,
         "dialled": False, "cached": True},
    ],
    "values": [{"node": 3, "key": UIDS[0], "size": 100, "age_s": 2.0, "expires_s": 86_398.0}],
    "bag": [{"node": 3, "value": VALUE, "publishers": {UIDS[0], UIDS[1]}, "age_s": 2.0}],
    "namespaces": [
        {"node": 3, "public_key": Key(VALUE), "key": UIDS[0], "sequence": 2**63 - 1, "value": VALUE, "signature": bytes(64), "age_s": 1.0}
    ],
    "traffic": [
        {"time": 5.0, "node": 0, "peer": 1, "verb": "ref", "outcome": "value", "bytes_out": 10, "bytes_in": 200, "rtt": 0.003,
         "cause": "ref"}
    ],
    "dealings": [
        {"node": 0, "peer": 1, "uid": UIDS[1], "ip": "127.0.0.1", "links": 1, "requests_in": 3, "requests_out": 2, "bytes_in": 300,
         "bytes_out": 200, "refused": 1, "closed": 2, "reasons": "reset 2", "stored": 1_000, "quota": 0},
        {"node": 0, "peer": None, "uid": None, "ip": "", "links": 0, "requests_in": 0, "requests_out": 0, "bytes_in": 900,
         "bytes_out": 0, "refused": 0, "closed": 9, "reasons": "not-a-peer 9", "stored": 0, "quota": 0},
    ],
    "events": [
        {"time": 5.0, "node": 0, "peer": None, "verb": "ref", "outcome": "timeout", "bytes_out": 10, "bytes_in": 0, "rtt": None,
         "cause": "ref"}
    ],
    "lookup": [
        {"time": 7.0, "event": "asked", "uid": UIDS[0], "peer": 0, "hop": 0, "told_by": None},
        {"time": 7.004, "event": "replied", "uid": UIDS[0], "peer": 0, "hop": 0, "told_by": None},
        {"time": 7.004, "event": "asked", "uid": None, "peer": None, "hop": None, "told_by": UIDS[0]},
    ],
    "lookups": [
        {"time": 1.0, "target": UIDS[1], "verb": "ref", "hops": 2, "rpcs": 5, "dials": 1, "failed": 1, "duration": 0.25, "found": True,
         "cause": "ref#7"},
        {"time": 2.0, "target": UIDS[2], "verb": "peers", "hops": 1, "rpcs": 3, "dials": 0, "failed": 0, "duration": 0.1, "found": None,
         "cause": "upkeep"},
    ],
    "published": [
        {"kind": "value", "key": UIDS[0], "renewed_s": 5.0, "replicas": 0, "trouble": "no peer could be reached"},
        {"kind": "bag", "key": UIDS[1], "renewed_s": None, "replicas": None, "trouble": ""},
    ],
    "faults": [{"time": 1.0, "fault": "Crashes(5)", "what": "crashes", "node": 3, "peer": None}],
    "where": [
        {"node": 0, "uid": UIDS[0], "kind": "value", "age_s": 4.0}, {"node": 0, "uid": UIDS[0], "kind": "bag", "age_s": 2.0},
        {"node": 1, "uid": UIDS[1], "kind": None, "age_s": None},
    ],
}  # fmt: skip


def build(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return getattr(frames, name)(rows, *([UIDS[1]] if name in {"lookup", "where"} else []))


@pytest.mark.parametrize("name", frames.SCHEMAS)
@pytest.mark.parametrize("full", [True, False], ids=["full", "empty"])
def test_columns_and_dtypes_are_fixed(name: str, full: bool) -> None:
    frame, schema = build(name, ROWS[name] if full else []), frames.SCHEMAS[name]
    assert list(frame.columns) == [column.name for column in schema.columns]
    assert [str(dtype) for dtype in frame.dtypes] == [column.dtype for column in schema.columns]
    assert frame.index.name == schema.index.name
    assert str(frame.index.dtype) == schema.index.dtype
    assert frame.empty == (not full and name != "traffic")


@pytest.mark.parametrize("name", frames.SCHEMAS)
def test_rows_may_carry_more_than_the_columns(name: str) -> None:
    rows = [{**row, "extra": object()} for row in ROWS[name]]
    pd.testing.assert_frame_equal(build(name, rows), build(name, ROWS[name]))


def test_full_hex_comes_last_and_its_abbreviation_early() -> None:
    for name, schema in frames.SCHEMAS.items():
        names = [column.name for column in schema.columns]
        if "id" in names:
            assert names[-1] in frames.HEX_COLUMNS, name
            assert names.index("id") <= 4


def test_uids_are_short_on_screen_and_whole_in_the_data() -> None:
    frame = frames.nodes(ROWS["nodes"])
    whole = f"{UIDS[0]:064x}"
    assert frame["uid"].iloc[0] == whole
    assert whole not in repr(frame[["uid"]])
    assert whole not in (frame._repr_html_() or "")
    assert f"{whole[:8]}…{whole[-4:]}" in repr(frame[["uid"]])
    assert f"{whole[:8]}…&NoBreak;{whole[-4:]}" in (frame._repr_html_() or "")
    csv = pd.read_csv(io.StringIO(frame.to_csv()))
    assert csv["uid"].tolist() == [f"{uid:064x}" for uid in UIDS]
    assert frame["id"].tolist() == [f"{uid:064x}"[:8] + "…" for uid in UIDS]


def test_numbers_have_three_decimals_on_screen_and_all_in_the_data() -> None:
    frame = frames.Frame({"rtt_ms": [1 / 3]})
    assert "0.333" in repr(frame)
    assert "0.3333" not in repr(frame)
    assert frame["rtt_ms"].iloc[0] == 1 / 3


def test_a_selection_keeps_the_display() -> None:
    frame = frames.nodes(ROWS["nodes"])
    assert f"{UIDS[1]:064x}" not in repr(frame[frame["alive"]][["uid"]])
    assert frame.loc[2, "port"] == 60_002


def test_units() -> None:
    routing = frames.routing(ROWS["routing"])
    assert routing["rtt_ms"].tolist()[1] == pytest.approx(2.0)
    assert math.isnan(routing["age_s"].tolist()[0])
    assert routing["peer"].isna().tolist() == [True, False]
    assert routing.index.tolist() == [0, 1]


def test_a_bag_counts_each_publisher_and_holder_once() -> None:
    a, b, c = UIDS[:3]
    rows = [
        {"node": 0, "value": b"x" * 32, "publishers": [a, b], "age_s": 9.0},
        {"node": 1, "value": b"x" * 32, "publishers": [b, c], "age_s": 4.0},
        {"node": 1, "value": b"y" * 32, "publishers": [c], "age_s": 1.0},
    ]
    frame = frames.bag(rows)
    assert frame["value"].tolist() == [(b"x" * 32).hex(), (b"y" * 32).hex()]
    assert frame["publishers"].tolist() == [3, 1]
    assert frame["holders"].tolist() == [2, 1]
    assert frame["agreement"].tolist() == [1.0, 0.5]
    assert frame["age_s"].tolist() == [4.0, 1.0]


def test_traffic_lists_every_verb_of_the_protocol() -> None:
    assert tuple(messages.VERBS.values()) == frames.VERBS
    frame = frames.traffic([])
    assert frame.index.tolist() == list(frames.VERBS)
    assert frame["count"].sum() == 0
    assert frame["p50_ms"].isna().all()


def test_traffic_sums_and_percentiles() -> None:
    base = ROWS["traffic"][0]
    rows = [{**base, "rtt": ms / 1000} for ms in range(1, 101)] + [{**base, "rtt": None, "bytes_in": 0}, {**base, "verb": "odd"}]
    frame = frames.traffic(rows)
    ref = frame.loc["ref"]
    assert (ref["count"], ref["failed"], ref["bytes_out"], ref["bytes_in"]) == (101, 1, 1010, 20_000)
    assert ref["p50_ms"] == pytest.approx(50.5)
    assert ref["p95_ms"] == pytest.approx(95.05)
    assert frame.index[-1] == "odd"


def test_a_lookup_counts_time_and_bits_from_its_start_and_target() -> None:
    frame = frames.lookup(ROWS["lookup"], UIDS[1])
    assert frame["time_ms"].tolist() == pytest.approx([0.0, 4.0, 4.0])
    assert frame["shared_bits"].tolist()[:2] == [common_prefix_length(UIDS[0], UIDS[1])] * 2
    assert frame["shared_bits"].isna().tolist() == [False, False, True]
    assert frame["told_by"].tolist()[2] == f"{UIDS[0]:064x}"
    assert frame["teller"].isna().tolist() == [True, True, False]
    assert frame["teller"].tolist()[2] == 0
    assert f"{UIDS[0]:064x}" not in repr(frame[["told_by"]])
    assert frame.index.tolist() == [0, 1, 2]


def test_where_ranks_the_living_by_distance() -> None:
    uids = [RNG.getrandbits(256) for _ in range(40)]
    key = uids[7]
    order = sorted(range(40), key=lambda node: uids[node] ^ key)
    stray = order[30]
    rows = [
        {"node": node, "uid": uids[node], "kind": "value" if node in {order[0], stray} else None, "age_s": 3.0} for node in range(40)
    ]
    frame = frames.where([*rows, {**rows[order[0]], "kind": "bag"}], key, replication=6)
    assert frame.index.tolist() == [order[0], *order[:20], stray], "a row a kind; beyond the 20 nearest only who has it"
    assert frame["rank"].tolist() == [0, *range(20), 30]
    assert frame["should_hold"].sum() == 7
    assert not frame["may_hold"].iloc[-1]
    assert frame["holds"].tolist() == [True, True, *[False] * 19, True]
    assert frame["shared_bits"].iloc[0] == 256
    assert frame["kind"].isna().sum() == 19
