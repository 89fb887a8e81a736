"""Pictures: well-formed and self-contained, everything drawn, the same for the same rows, and right at the edges."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from p2pnb.views import pictures, svg
from p2pnb.views.pictures.bag import MOST_SQUARES
from p2pnb.views.pictures.lookup import ticks as round_ticks
from p2pnb.views.pictures.routing import prefix_of
from p2pnb.views.svg import ago, duration
from p2pnb.views.trie import layout

SVG = "{http://www.w3.org/2000/svg}"
KEY = Random(5).getrandbits(256)
Rows = list[dict[str, Any]]


def nodes(count: int, seed: int = 1) -> Rows:
    rng = Random(seed)
    return [{"node": i, "uid": rng.getrandbits(256), "alive": rng.random() > 0.2} for i in range(count)]


def steps(seed: int = 1, ip: str = "127.0.0.1") -> Rows:
    rng = Random(seed)
    rows: Rows = []
    told_by = None
    for i in range(8):
        uid = KEY ^ rng.getrandbits(250 - 8 * i)
        base = {"uid": uid, "peer": i if i % 3 else None, "hop": i, "told_by": told_by, "ip": ip}
        rows.append({**base, "time": 100 + 0.01 * i, "event": "named"})
        rows.append({**base, "time": 100 + 0.01 * i, "event": "asked"})
        rows.append({**base, "time": 100.008 + 0.01 * i, "event": ["replied", "failed", "refuted", "slow", "outdone", "found"][i % 6]})
        told_by = uid
    return rows


def contacts(seed: int = 1, k: int = 3) -> Rows:
    rng = Random(seed)
    return [
        {"bucket": b, "uid": rng.getrandbits(256), "peer": 7 * b + i, "age_s": [2.0, 5_000.0, math.nan][i % 3], "failures": int(i == 1),
         "cached": i >= k}
        for b in range(6) for i in range(k + 8 * (b == 0))
    ]  # fmt: skip


def votes(count: int = 4) -> Rows:
    rng = Random(3)
    return [{"value": rng.randbytes(32), "publishers": 7 * i, "age": 60.0 * i, "listed_by": 1 + i % 5, "of": 5} for i in range(count)]


def messages(count: int = 6) -> Rows:
    rng = Random(4)
    return [
        {"time": 5 + 0.001 * i, "node": 3, "peer": None if i == 5 else i % 4, "verb": ["peers", "set", "iam"][i % 3], "outcome": "stored",
         "rtt": None if i == 2 else rng.uniform(0.001, 0.1), "cause": f"set#{i // 4}", "words": [f"#(set {i})", "#t"] if i else None}
        for i in range(count)
    ]  # fmt: skip


def versions() -> Rows:
    return [
        {"node": node, "sequence": sequence, "value": bytes([sequence] * 32), "signature": bytes([sequence] * 64), "age_s": 3.0}
        for node in (0, 1, 4) for sequence in range(1 + (node != 4))
    ]  # fmt: skip


REFUSED = [{"node": 1, "sequence": 7, "value": bytes(32), "signature": b"z" * 64, "reason": "its signature does not hold", "age_s": 1.0}]


PICTURES: dict[str, Callable[[], str]] = {
    "trie": lambda: pictures.trie(nodes(30), [(0, 5), (0, 9)], holders=[1, 2], key=KEY, chosen=0),
    "trie of none": lambda: pictures.trie([]),
    "trie of one": lambda: pictures.trie(nodes(1)),
    "trie of many": lambda: pictures.trie(nodes(1_000), holders=range(5), key=KEY),
    "lookup": lambda: pictures.lookup(steps(), KEY, own=KEY ^ 1 << 255),
    "lookup of nobody": lambda: pictures.lookup([], KEY),
    "lookup of one moment": lambda: pictures.lookup(steps()[:1], KEY),
    "lookup that met its target": lambda: pictures.lookup([{**row, "uid": KEY} for row in steps()], KEY, own=KEY),
    "routing table": lambda: pictures.routing_table(contacts(), 3, own=KEY, key=KEY ^ 1 << 253),
    "routing table, wide": lambda: pictures.routing_table(contacts(k=20)),
    "routing table, deep": lambda: pictures.routing_table([{**row, "bucket": 40 * row["bucket"]} for row in contacts()], 3, own=1, key=0),
    "routing table, empty": lambda: pictures.routing_table([]),
    "bag": lambda: pictures.bag(votes()),
    "bag of many votes": lambda: pictures.bag([{**votes(1)[0], "publishers": 1_024}]),
    "bag, empty": lambda: pictures.bag([]),
    "sequence": lambda: pictures.sequence(messages(), uids={3: KEY}),
    "sequence of many": lambda: pictures.sequence([{**row, "peer": i} for i, row in enumerate(messages(200))]),
    "sequence of nothing": lambda: pictures.sequence([]),
    "replicas": lambda: pictures.replicas(nodes(64), KEY, [1, 2, 3], had=range(60)),
    "replicas of few": lambda: pictures.replicas(nodes(2), KEY, []),
    "replicas in no network": lambda: pictures.replicas([], KEY, []),
    "namespace": lambda: pictures.namespace(nodes(6), versions(), REFUSED),
    "namespace, empty": lambda: pictures.namespace([], []),
}


@pytest.fixture(params=["screen", "stage"])
def _look(request: pytest.FixtureRequest) -> Iterator[None]:
    svg.set_look({"screen": svg.SCREEN, "stage": svg.STAGE}[request.param])
    yield
    svg.set_look(svg.SCREEN)


@pytest.mark.usefixtures("_look")
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_self_contained(name: str) -> None:
    picture = PICTURES[name]()
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    assert root.get("role") == "img"
    outside = re.sub(r'xmlns="http://www\.w3\.org/2000/svg"', "", picture)
    assert not re.search(r"https?:|//|url\(|@import|<script|<image|<foreignObject|href|\bon\w+=", outside)
    assert "nan" not in re.sub(r"<(title|desc|style)[^>]*>.*?</\1>", "", picture).lower()


@pytest.mark.usefixtures("_look")
@pytest.mark.parametrize("name", PICTURES)
def test_everything_stays_inside(name: str) -> None:
    root = ElementTree.fromstring(PICTURES[name]())
    width, height = map(float, root.get("viewBox", "").split()[2:])
    for element in root.iter():
        for axis, most in (("x", width), ("y", height)):
            at = element.get(axis) or element.get("c" + axis)
            if at is not None:
                assert -0.5 <= float(at) <= most + 0.5, ElementTree.tostring(element)


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_rows_give_the_same_bytes(name: str) -> None:
    assert PICTURES[name]() == PICTURES[name]()


def test_the_order_of_rows_does_not_matter() -> None:
    rows = nodes(40)
    assert pictures.trie(rows) == pictures.trie(rows[::-1])


def test_ids_are_unique_to_a_picture_and_scope_its_style() -> None:
    ids = [ElementTree.fromstring(make()).get("id") for make in PICTURES.values()]
    assert len(set(ids)) == len(ids)
    for make in PICTURES.values():
        picture = make()
        root = ElementTree.fromstring(picture)
        style = root.findtext(f"{SVG}style") or ""
        for rule in re.sub(r"@media[^{]*\{(.*?\})\}", r"\1", style).split("}")[:-1]:
            assert rule.startswith(f"#{root.get('id')}"), rule


def test_colours_follow_the_theme_of_jupyterlab() -> None:
    style = PICTURES["trie"]()
    for variable in ("--jp-layout-color0", "--jp-content-font-color1", "--jp-border-color1"):
        assert f"var({variable},var(--vscode-" in style
    assert "prefers-color-scheme:dark" in style


# --- the trie ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 20, 64, 200, 1_000])
def test_every_node_is_drawn(count: int) -> None:
    rows = nodes(count)
    tips = {int(node): state for node, state in re.findall(r"<title>#(\d+) · \w{4} · (\w+)", pictures.trie(rows))}
    assert tips == {row["node"]: "live" if row["alive"] else "dead" for row in rows}


def test_small_networks_have_every_node_named() -> None:
    for count in (5, 20):
        texts = [text.text or "" for text in ElementTree.fromstring(pictures.trie(nodes(count))).iter(f"{SVG}text")]
        assert {int(text.split(" ")[0][1:]) for text in texts if text.startswith("#")} == set(range(count))


def test_a_dead_holder_is_told_from_a_live_one() -> None:
    rows = nodes(20)
    rows[3]["alive"], rows[4]["alive"] = False, True
    picture = pictures.trie(rows, holders=[3, 4])
    assert re.search(r"#3 · \w{4} · dead, had the record", picture)
    assert re.search(r"#4 · \w{4} · has the record", picture)


@pytest.mark.parametrize("seed", range(20))
def test_leaves_stand_in_order_as_deep_as_what_separates_them(seed: int) -> None:
    rng = Random(seed)
    uids = [rng.getrandbits(256) for _ in range(rng.randint(2, 60))] + [rng.getrandbits(20) for _ in range(rng.randint(0, 20))]
    tree = layout(uids)
    order = sorted(set(uids))
    assert [uid for uid, _ in sorted(tree.leaves.items(), key=lambda each: each[1].x)] == order, seed
    for uid, leaf in tree.leaves.items():
        shared = max(256 - (uid ^ other).bit_length() for other in order if other != uid)
        assert leaf.depth == shared + 1, seed
    assert len(tree.edges) == 2 * (len(order) - 1), seed
    for edge in tree.edges:
        assert edge.upper.depth < edge.lower.depth, seed
        assert (edge.lower.x > edge.upper.x) == bool(edge.bit), seed


def test_uids_made_alike_on_purpose_can_be_drawn() -> None:
    rows = [{"node": i, "uid": 1 << i, "alive": True} for i in range(256)]
    picture = pictures.trie(rows)
    assert len(re.findall(r"<title>#\d+ · ", picture)) == 256
    assert float(ElementTree.fromstring(picture).get("height", 0)) < 500


def test_two_rows_with_one_uid_are_both_drawn() -> None:
    rows = [{"node": i, "uid": 77, "alive": i > 0} for i in range(2)]
    assert len(re.findall(r"<title>#\d · ", pictures.trie(rows, key=77))) == 2


# --- the others -------------------------------------------------------------------------------------------------------


def test_a_lookup_has_a_mark_for_each_step() -> None:
    picture = pictures.lookup(steps(), KEY)
    tips = re.findall(r"<title>[^<]* · (\w+) at [^<]* ms</title>", picture)
    wanted = [row["event"] for row in steps() if row["event"] != "named"]  # all of these were asked later
    assert sorted(tips) == sorted(wanted)


def test_named_but_never_asked_contacts_are_dots() -> None:
    rows = [{**row, "event": "named"} for row in steps()[:1]]
    assert " · named at " in pictures.lookup(rows, KEY)


def test_unknown_events_and_contacts_without_uid_are_left_out() -> None:
    odd = [{**steps()[0], "event": "<b>"}, {**steps()[1], "uid": None}]
    assert pictures.lookup([*steps(), *odd], KEY) == pictures.lookup(steps(), KEY)


def test_nearer_contacts_stand_higher() -> None:
    rows = [{"time": 0.0, "event": "asked", "uid": KEY ^ (1 << bit), "peer": None, "hop": 1, "told_by": None} for bit in range(240, 256)]
    root = ElementTree.fromstring(pictures.lookup(rows, KEY))
    heights = [float(circle.get("cy", 0)) for circle in root.iter(f"{SVG}circle") if circle.find(f"{SVG}title") is not None]
    assert heights == sorted(heights)
    assert len(heights) == 16


def test_a_name_stands_beside_the_bar_of_another_contact_and_not_on_it() -> None:
    """Two bars close to each other, of which the upper one ends first: its name has to go above."""
    near = {"peer": 1, "uid": KEY ^ (1 << 254), "hop": 1, "told_by": None}
    next_to = {"peer": 2, "uid": KEY ^ ((1 << 254) + (1 << 250)), "hop": 1, "told_by": None}
    far = {"peer": 3, "uid": KEY ^ (1 << 248), "hop": 2, "told_by": None}
    rows = [{**each, "time": 0.0, "event": "asked"} for each in (near, next_to, far)]
    rows += [{**each, "time": time, "event": "replied"} for each, time in ((near, 1.0), (next_to, 2.0), (far, 3.0))]
    root = ElementTree.fromstring(pictures.lookup(rows, KEY))
    names = {each.text: float(each.get("y", 0)) for each in root.iter(f"{SVG}text") if (each.text or "").startswith("#")}
    blue = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke") == svg.BLUE]
    bars = sorted(float(y) for path in blue for y in re.findall(r"M[\d.]+ ([\d.]+)H", path))
    assert len(names) == len(bars) == 3
    assert not names["#1"] - 10.5 < bars[2] < names["#1"] + 2


def test_what_a_node_keeps_and_refused_to_take_again_is_said_to_be_both() -> None:
    """A replay of an older version: crossed out, and there all the same."""
    again = [{**versions()[0], "reason": "older than what is here"}]
    assert "3 of 6 · refused by 1: older than what is here" in pictures.namespace(nodes(6), versions(), again)


def test_a_routing_table_has_k_slots_a_bucket() -> None:
    root = ElementTree.fromstring(pictures.routing_table([row for row in contacts() if not row["cached"]][:4], 3))
    slots = [rect for rect in root.iter(f"{SVG}rect") if rect.get("width") == "29"]
    assert len(slots) == 6


def test_the_row_of_a_key_is_marked_even_where_nobody_is() -> None:
    picture = pictures.routing_table(contacts(), 3, own=KEY, key=KEY ^ 1)
    assert ">255</text>" in picture
    assert ">key</text>" in picture
    deep = pictures.routing_table([{**row, "bucket": 40 * row["bucket"]} for row in contacts()], 3, own=KEY, key=KEY ^ 1 << 250)
    lines = [int(line) for line in re.findall(r'x="14" y="[\d.]+">(\d+)</text>', deep)]
    assert lines == sorted({5, *(40 * row["bucket"] for row in contacts())}), "in its place among the others"


def test_the_bits_of_a_bucket_are_the_nodes_own_but_for_the_last() -> None:
    assert [prefix_of(0b1011 << 252, bucket) for bucket in range(4)] == ["0", "11", "100", "1010"]
    assert prefix_of(KEY, 256) == f"{KEY:0256b}", "nobody else is there"


def test_a_bag_has_a_square_for_each_publisher() -> None:
    picture = pictures.bag([{**votes(1)[0], "publishers": 9, "listed_by": 4}])
    assert len(re.findall(r"<title>\w{8}… · 9 publishers", picture)) == 9
    capped = pictures.bag([{**votes(1)[0], "publishers": 1_024}])
    assert len(re.findall(r"<title>\w{8}… · 1,024 publishers", capped)) == MOST_SQUARES


@pytest.mark.parametrize("span", [1e-6, 0.37, 1.0, 7.3, 50.0, 4_999.0, 1e6])
def test_ticks_are_round_and_few(span: float) -> None:
    ticks = round_ticks(span)
    assert ticks[0] == 0
    assert ticks[-1] <= span * (1 + 1e-9)
    assert 2 <= len(ticks) <= 10


def test_durations() -> None:
    shown = [duration(seconds) for seconds in (0.0004, 0.0123, 3.44, 59.0, 300.0, 9_000.0, 86_400.0)]
    assert shown == ["0.4 ms", "12 ms", "3.4 s", "59 s", "5 min", "2.5 h", "24 h"]
    assert [ago(seconds) for seconds in (0, 61)] == ["just now", "1 min ago"]


def test_labels_keep_apart() -> None:
    labels = svg.Labels()
    assert labels.place(10, 10, "one")
    assert not labels.place(14, 12, "two")
    assert labels.place(14, 40, "two")
    labels.keep_clear(100, 100, 5)
    assert not labels.place(98, 104, "three")
    labels.keep_clear(200, 100, 2, until=300)
    assert not labels.place(240, 104, "three")
    assert labels.place(240, 90, "three")


@pytest.mark.parametrize("hostile", ['"><script>alert(1)</script>', "a\x00b\u202ec\ud800", "]]>&amp;<!--"])
def test_text_from_the_network_stays_text(hostile: str) -> None:
    picture = svg.picture(10, 10, hostile, hostile, [svg.text(0, 0, hostile), svg.mark("disc", 1, 1, 1, svg.BLUE, hostile)])
    root = ElementTree.fromstring(picture.encode())
    assert {element.tag for element in root.iter()} == {SVG + tag for tag in ("svg", "title", "desc", "style", "rect", "text", "circle")}
    assert root.findtext(f"{SVG}text") == svg.printable(hostile)


def test_one_is_not_many() -> None:
    """Where a picture counts, in its title and in what is shown when the pointer rests on a mark."""
    one_bit = [{**steps()[0], "uid": KEY ^ 1 << 254}]
    drawn = [
        pictures.trie(nodes(1)), pictures.lookup(one_bit, KEY), pictures.routing_table(contacts()[:1], 3), pictures.sequence(messages(1)),
        pictures.bag([{**votes(1)[0], "publishers": 1, "listed_by": 1, "of": 1}]), pictures.replicas(nodes(1), KEY, [0]),
    ]  # fmt: skip
    assert "· 1 bit ·" in drawn[1] or "· 1 bit · hop" in drawn[1]
    for each in drawn:
        assert not re.findall(r"\b1 (?:bit|contact|value|request|node|publisher|replica|holder|record|hop|version)s\b", each)
