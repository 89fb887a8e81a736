"""Message sequences, replicas near a key, entries of namespaces: each row has its marks, and they say what the rows say."""

from __future__ import annotations

import re
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from p2pnb.views import pictures, svg

Rows = list[dict[str, Any]]
KEY = Random(9).getrandbits(256)
TIP = re.compile(r"<title>(#[^<]*)</title>")


def request(time: float, peer: int | None, **other: Any) -> dict[str, Any]:
    row = {"time": time, "node": 3, "peer": peer, "verb": "ref", "outcome": "value", "rtt": 0.002, "cause": "ref#1", "words": None}
    return {**row, **other}


def nodes(count: int, dead: frozenset[int] = frozenset()) -> Rows:
    rng = Random(1)
    return [{"node": i, "uid": rng.getrandbits(256), "alive": i not in dead} for i in range(count)]


def nearest(rows: Rows) -> list[int]:
    return [row["node"] for row in sorted((row for row in rows if row["alive"]), key=lambda row: row["uid"] ^ KEY)]


# --- sequence ---------------------------------------------------------------------------------------------------------


def test_a_request_is_two_arrows_and_one_without_a_reply_ends_at_a_cross() -> None:
    picture = pictures.sequence([request(1.0, 5, words=["#(ref 7)", "#(value #u8(1))"]), request(1.001, 6, rtt=None, outcome="timeout")])
    tips = re.findall(r'<g class="p2p-message" data-row="(\d)"><title>([^<]*)</title>', picture)
    assert tips == [
        ("0", "ref · #3 → #5 · at 0.00 ms\n#(ref 7)"),
        ("0", "value · #3 ← #5 · after 2.00 ms\n#(value #u8(1))"),
        ("1", "ref · #3 → #6 · at 1.00 ms · timeout"),
    ]


def test_time_runs_down_and_replies_come_after_their_requests() -> None:
    rng = Random(3)
    rows = [request(rng.random(), rng.randrange(4), rtt=rng.random()) for _ in range(30)]
    picture = pictures.sequence(rows)
    arrows = re.findall(r'data-row="(\d+)"><title>[^<]*</title><path d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', picture)
    out, back = arrows[::2], arrows[1::2]
    assert len(out) == len(back) == 30
    starts = [float(y1) for _, _, y1, _, _ in out]
    assert starts == sorted(starts), "in the order of asking"
    for (i, x1, y1, x2, y2), (j, x3, y3, x4, y4) in zip(out, back, strict=True):
        assert (i, x1, x2, y2) == (j, x4, x3, y3), "the reply leaves where the request arrived"
        assert float(y1) < float(y2) < float(y4)


def test_long_sequences_are_cut_and_say_so() -> None:
    picture = pictures.sequence([request(i, i % 5) for i in range(100)], most=10)
    assert len(re.findall(r'class="p2p-message"', picture)) == 20
    assert "the first 10 of 100 requests" in picture


def test_messages_of_strangers_stay_text() -> None:
    picture = pictures.sequence([request(0.0, None, words=["</title><script>", "\x1b\u202e"], outcome="<b>", cause="<i>")])
    root = ElementTree.fromstring(picture)
    assert {element.tag.split("}")[1] for element in root.iter()} == {"svg", "title", "desc", "style", "rect", "path", "text", "g"}
    assert "elsewhere" in picture


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_twenty_may_accept_the_nearest_should_and_holders_are_filled() -> None:
    rows = nodes(64)
    order = nearest(rows)
    holders = {order[0], order[1], order[2], order[4], order[25]}
    picture = pictures.replicas(rows, KEY, holders)
    states = {int(node): state for node, state in re.findall(r"<title>#(\d+) · \w{4} · ([^<]*)</title>", picture)}
    assert {node for node, state in states.items() if state == "has the record"} == holders
    assert states[order[3]] == "should have it, and has not"
    assert {states[node] for node in order[5:20]} == {"may accept it"}
    assert {states[node] for node in order[20:32]} == {"farther away", "has the record"}
    assert set(states) == set(order[:32])
    assert "5 replicas, 4 of the 5 nearest" in picture


def test_the_dead_have_no_rank_and_those_that_had_the_record_are_told_from_others() -> None:
    alive = nearest(nodes(40))
    rows = nodes(40, dead=frozenset(alive[:2]))
    picture = pictures.replicas(rows, KEY, [alive[2]], had=alive[:1])
    assert re.search(rf"#{alive[0]} · \w{{4}} · dead, had the record", picture)
    assert re.search(rf"#{alive[1]} · \w{{4}} · dead<", picture)
    assert "1 replica, 1 of the 5 nearest" in picture
    ranks = [int(text) for text in re.findall(r'font-size="11">(\d+)</text>', picture.partition(">rank</text>")[2])]
    assert sorted(rank for rank in ranks[:20]) == list(range(20))


# --- namespace --------------------------------------------------------------------------------------------------------


def version(node: int, sequence: int, **other: Any) -> dict[str, Any]:
    return {"node": node, "sequence": sequence, "value": bytes([sequence]) * 32, "signature": bytes([sequence]) * 64, "age_s": 2.0, **other}


def test_versions_stand_newest_first_with_a_mark_for_each_node() -> None:
    picture = pictures.namespace(nodes(4), [version(0, 1), version(0, 0), version(1, 0), version(9, 5)])
    assert re.findall(r'class="bold">(\d+)</text>', picture) == ["1", "0"], "what a node that has no column holds is left out"
    marks = re.findall(r"<title>#(\d) (has|does not have|refused) version (\d)", picture)
    assert marks == [
        ("0", "has", "1"), ("1", "does not have", "1"), ("2", "does not have", "1"), ("3", "does not have", "1"),
        ("0", "has", "0"), ("1", "has", "0"), ("2", "does not have", "0"), ("3", "does not have", "0"),
    ]  # fmt: skip
    assert "1 of 4 · what readers get" in picture
    assert "2 of 4</text>" in picture


def test_what_was_refused_is_crossed_out_and_never_the_newest() -> None:
    forged = [version(0, 9, reason="its signature does not hold"), version(1, 9, reason="its signature does not hold")]
    picture = pictures.namespace(nodes(3), [version(0, 1)], forged)
    assert "refused by 2: its signature does not hold" in picture
    assert picture.index("what readers get") > picture.index("refused by 2")
    assert picture.count("H162") == 1, "one line is struck out"
    assert "refused version 9: its signature does not hold" in picture
    assert "no node has this entry" in pictures.namespace(nodes(3), [])


# --- looks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stage() -> Any:
    svg.set_look(svg.STAGE)
    yield
    svg.set_look(svg.SCREEN)


def test_legends_go_on_in_another_line() -> None:
    entries = [("disc", svg.BLUE, "some words")] * 6
    assert svg.legend_height(entries, 14, 2000) == 0
    assert svg.legend_height(entries, 14, 300) == 36
    assert svg.legend(entries, 14, 18, 300).count('y="36"') == 2


@pytest.mark.usefixtures("stage")
def test_on_a_stage_text_has_18_pixels_and_nodes_the_beginning_of_their_uid() -> None:
    picture = pictures.sequence([request(0.0, 5)], uids={3: KEY, 5: KEY})
    root = ElementTree.fromstring(picture)
    scale = float(root.get("width", 0)) / float(root.get("viewBox", "").split()[2])
    assert 12 * scale == 18
    assert f"#3 · {KEY:064x}"[:9] in picture
    assert svg.name_of(None, KEY) == f"{KEY:064x}"[:4] + "…"
    assert svg.name_of(None) == "?"
