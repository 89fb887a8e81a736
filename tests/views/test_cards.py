"""Cards: HTML and text say the same, nothing from the network is markup, pictures survive where style sheets do not."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest

from p2pnb.views import cards, pictures
from p2pnb.views.cards import Card

RNG = Random(2)
UID, KEY = RNG.getrandbits(256), RNG.getrandbits(256)
EVIL = "<img src=x onerror=alert(1)>\"'&\x1b[31m\u202e`<b>`"
ENTRIES: list[dict[str, Any]] = [
    {"value": RNG.randbytes(32), "publishers": i, "age": 9.0 * i, "listed_by": 5, "of": 5} for i in range(1, 4)
]
NODE: dict[str, Any] = {
    "node": 3, "uid": UID, "alive": True, "ip": "127.0.0.1", "port": 40_001, "contacts": 19, "links": 4, "values": 2, "bags": 1,
    "namespaces": 0, "stored_bytes": 1_250_000, "requests_in": 10, "requests_out": 1_234, "errors": 0,
}  # fmt: skip
PICTURE = pictures.trie([NODE])

CARDS: dict[str, Callable[[str], Card]] = {
    "cluster": lambda text: cards.cluster_card({"network": text, "host": text, "name": text, "nodes": 20, "alive": 17, "k": 20}, PICTURE),
    "closed": lambda text: cards.cluster_card({"network": text, "nodes": 20, "alive": 0, "closed": True}),
    "node": lambda text: cards.node_card({**NODE, "ip": text}, PICTURE),
    "lookup": lambda text: cards.lookup_card({"target": KEY, "node": 3, "nearest": [(1, UID, 7), (None, KEY, 256)], "hops": 2, "rpcs": 9}),
    "bag": lambda text: cards.bag_card({"kind": text, "key": KEY, "entries": ENTRIES}),
    "namespace": lambda text: cards.namespace_card({"public_key": bytes(32), "node": text, "writable": False}),
    "nodes": lambda text: cards.nodes_card({"nodes": [(1, True), (2, False)], "meaning": (text, "dead"), "key": KEY}, PICTURE),
    "watch": lambda text: cards.watch_card({"verbs": {text: 3}, "calls": 1, "bytes_out": 10, "bytes_in": 20}),
    "call": lambda text: cards.call_card({"procedure": text, "reason": text, "stored": 4, "wanted": 5, "facts": {text: text}}),
}


class Tags(HTMLParser):
    """Collects the tags and attributes of a fragment, and checks that they nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "svg" not in self.open:
            self.words.append(data)


@pytest.mark.parametrize("name", CARDS)
def test_html_nests_and_needs_nothing_from_outside(name: str) -> None:
    html = CARDS[name]("plain").html
    found = Tags(html)
    assert not found.tags & {"script", "link", "iframe", "object", "base"}
    assert not re.search(r"https?:|url\(|@import", html.replace("http://www.w3.org/2000/svg", ""))


@pytest.mark.parametrize("name", CARDS)
def test_text_from_the_network_is_never_markup(name: str) -> None:
    plain, evil = Tags(CARDS[name]("plain").html), Tags(CARDS[name](EVIL).html)
    assert evil.tags - {"code"} == plain.tags - {"code"}
    assert evil.attributes == plain.attributes
    assert not any(attribute.startswith("on") for attribute in evil.attributes)
    for shown in CARDS[name](EVIL):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


@pytest.mark.parametrize("name", CARDS)
def test_the_text_has_every_fact_of_the_html(name: str) -> None:
    card = CARDS[name]("plain")
    for fact in re.findall(r"<dd[^>]*>([^<]*)</dd>", card.html):
        assert fact in card.text
    for fact in re.findall(r'class="p2p-badge">([^<]*)<', card.html):
        assert fact in card.text.splitlines()[0]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_a_mimebundle(name: str) -> None:
    card = CARDS[name]("plain")
    assert cards.mimebundle(*card) == {"text/html": card.html, "text/plain": card.text}
    assert cards.mimebundle(*card, svg="<svg/>")["image/svg+xml"] == "<svg/>"


def test_where_style_sheets_are_removed_an_image_takes_the_place_of_the_picture() -> None:
    html = cards.node_card(NODE, PICTURE).html
    assert '.p2p-inline{display:block!important}.p2p-card .p2p-still{display:none}' in html
    assert f'<div class="p2p-inline" hidden="hidden" style="display:none">{PICTURE}</div>' in html
    still = re.search(r'<img class="p2p-still" alt="Node #3" src="data:image/svg\+xml;base64,([^"]*)">', html)
    assert still is not None
    assert base64.b64decode(still[1]).decode() == PICTURE


def test_a_large_picture_is_not_carried_twice() -> None:
    rows = [{"node": i, "uid": RNG.getrandbits(256), "alive": True} for i in range(1_000)]
    assert "<img" not in cards.cluster_card({"network": "tcp", "nodes": 1_000, "alive": 1_000}, pictures.trie(rows)).html


def test_a_cluster_says_what_to_know() -> None:
    summary = {"network": "tcp", "host": "127.0.0.1", "nodes": 20, "alive": 17, "k": 20, "uptime_s": 95.0, "seed": None}
    assert cards.cluster_card(summary).text == "Cluster · 20 nodes · 3 dead · tcp on 127.0.0.1\n  k 20 · up 1.6 min"
    assert "launch(64, k=3)" in cards.cluster_card({**summary, "complete": True}).text
    assert "<code>launch(64, k=3)</code>" in cards.cluster_card({**summary, "complete": True}).html
    closed = cards.cluster_card({**summary, "closed": True, "complete": True}).text
    assert "closed" in closed
    assert "dead" not in closed


def test_a_dead_node_says_how_to_bring_it_back() -> None:
    assert "cluster.restart(node)" in cards.node_card({**NODE, "alive": False}).text
    assert "cluster.restart(node)" not in cards.node_card(NODE).text
    assert "stored 1.25 MB" in cards.node_card(NODE).text
    assert f"{UID:064x}" in cards.node_card(NODE).text


def test_a_lookup_names_positions_or_uids() -> None:
    text = CARDS["lookup"]("").text
    assert "#1 (7 bits)" in text
    assert f"{KEY:064x}"[:8] + "… (256 bits)" in text


def test_a_bag_lists_its_first_values() -> None:
    many = [{**ENTRIES[0], "value": RNG.randbytes(32)} for _ in range(25)]
    card = cards.bag_card({"kind": "recent", "entries": many})
    assert card.text.count("1 publisher,") == cards.MOST_ENTRIES
    assert "5 more values are not shown" in card.text
    assert cards.bag_card({"kind": "recent", "entries": []}).text == "Bag · recent · 0 values"


def test_sizes_and_counts() -> None:
    assert [cards.size(octets) for octets in (0, 999, 1_000, 249_996, 1_250_000)] == ["0 B", "999 B", "1 kB", "250 kB", "1.25 MB"]
    assert cards.count(1_234_567) == "1,234,567"
