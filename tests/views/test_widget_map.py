"""`cluster.map()`: from rows to what is drawn, from requests to replays, from clicks to actions. No browser."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from p2pnb.uid import BITS, Key, key_of
from p2pnb.views import frames
from p2pnb.views.widgets import base
from p2pnb.views.widgets.map import Map, Reads, ground, state
from p2pnb.views.widgets.replay import LONGEST, MOST, QUIET, STRANGER, Replays, replay


def row(node: int, uid: int, alive: bool = True, **more: int) -> dict[str, Any]:
    return {"node": node, "uid": uid, "alive": alive, "ip": "127.0.0.1", "port": 9000 + node, "contacts": 3, **more}


ROWS = [row(0, 0b110 << (BITS - 3)), row(1, 0b111 << (BITS - 3), alive=False), row(2, 0b001 << (BITS - 3))]


NOW = [(True, 3, 1), (False, 0, 0), (True, 2, 5)]


def floats(octets: bytes) -> list[float]:
    return [round(number, 3) for number in np.frombuffer(octets, np.float32).tolist()]


def test_leaves_stand_in_the_order_of_their_uids_and_arrays_in_that_of_positions() -> None:
    laid = ground(ROWS)
    assert floats(laid["x"]) == [0.5, 0.833, 0.167]
    assert laid["levels"] == [0, 1, 2, 3]
    assert floats(laid["level"]) == [3, 3, 1]
    assert len(floats(laid["branches"])) == 4 * 4
    assert laid["ids"] == bytes([0b11000000, 0, 0, 0, 0b11100000, 0, 0, 0, 0b00100000, 0, 0, 0])
    assert np.frombuffer(laid["ports"], np.uint16).tolist() == [9000, 9001, 9002]
    assert laid["key"] is None


def test_a_key_has_a_leaf_and_the_last_branch() -> None:
    laid = ground(ROWS, Key.from_int(0b101 << (BITS - 3)))
    assert laid["key"] == {"id": "a0000000…", "x": 0.375, "level": 2}
    assert floats(laid["branches"])[-2:] == [0.375, 2]
    assert floats(laid["x"]) == [0.625, 0.875, 0.125], "it takes a place among the nodes"


def test_no_nodes_are_no_mistake() -> None:
    assert ground([])["n"] == 0
    assert state([])["alive"] == 0


def test_what_nodes_are_is_in_flags() -> None:
    contacts = [{"peer": 1, "cached": False}, {"peer": None, "cached": False}, {"peer": 2, "cached": True}]
    shown = state(NOW, selected=0, contacts=contacts, requests=7, cut_off={2}, holders={0, 1})
    assert list(shown["flags"]) == [1 + 4, 4, 1 + 2]
    assert np.frombuffer(shown["records"], np.uint32).tolist() == [1, 0, 5]
    assert np.frombuffer(shown["table"], np.uint16).tolist() == [1], "neither strangers nor those that wait for a place"
    assert (shown["alive"], shown["requests"], shown["cut"], shown["holders"]) == (2, 7, 1, 2)


def test_a_thousand_nodes_are_a_few_kilobytes() -> None:
    rng = random.Random(1)
    rows = [row(node, rng.getrandbits(BITS)) for node in range(1000)]
    shown, laid = state([(True, 20, 4)] * 1000, selected=0), ground(rows)
    assert sum(len(value) for value in shown.values() if isinstance(value, bytes)) < 10_000
    assert sum(len(value) for value in laid.values() if isinstance(value, bytes)) < 50_000


# --- replays


def event(time: float, cause: str = "set#1", rtt: float | None = 0.002, **more: Any) -> dict[str, Any]:
    return {"time": time, "node": 0, "peer": 1, "verb": "set", "outcome": "stored", "rtt": rtt, "cause": cause} | more


def test_a_call_is_replayed_in_the_order_of_asking() -> None:
    late, early = event(10.003, verb="peers", outcome="nearest", peer=None), event(10.0, rtt=None, outcome="timeout", peer=2)
    shown = replay("set#1", [late, early])
    assert floats(shown["asked"]) == [0, 3]
    assert floats(shown["took"]) == [-1, 2]
    assert np.frombuffer(shown["pairs"], np.uint16).tolist() == [0, 2, 0, STRANGER]
    assert list(shown["kinds"]) == [1, 0]
    assert (shown["node"], shown["count"], shown["failed"], shown["ms"]) == (0, 2, 1, 5.0)
    assert shown["verbs"] == {"set": 1, "peers": 1}


def test_a_call_is_gathered_until_nothing_new_comes_of_it() -> None:
    replays = Replays()
    assert replays.feed([event(0)], 100.0) == []
    assert replays.feed([event(0.1), event(0.1, "ref#2")], 100.1) == []
    assert len(replays) == 2
    ready = replays.feed([event(0.2, "ref#2")], 100.1 + QUIET)
    assert [(each["cause"], each["count"]) for each in ready] == [("set#1", 2)]
    assert [each["cause"] for each in replays.feed([], 100.1 + 3 * QUIET)] == ["ref#2"]
    assert len(replays) == 0


def test_a_long_call_is_shown_while_it_goes_on() -> None:
    replays, shown = Replays(), 0
    for tick in range(100):
        shown += sum(each["count"] for each in replays.feed([event(tick / 10)], tick / 10))
    assert shown > 100 - 11 * LONGEST


def test_upkeep_is_not_waited_for_and_much_of_anything_is_cut() -> None:
    assert [each["cause"] for each in Replays().feed([event(0, "upkeep")], 0.0)] == ["upkeep"]
    assert replay("add#1", [event(i) for i in range(MOST + 10)])["count"] == MOST


# --- the widget


class Home:
    def post(self, function: Any, *args: Any) -> None:
        function(*args)

    def later(self, seconds: float, function: Any) -> Any:
        raise AssertionError("nothing is displayed")

    def submit(self, coroutine: Any) -> None:
        with pytest.raises(StopIteration):
            coroutine.send(None)


class World:
    """A cluster, as a map sees it."""

    def __init__(self) -> None:
        self.rows = list(ROWS)
        self.events: list[Any] = []
        self.done: list[Any] = []
        asked = {name: self.action(name) for name in ("kill", "partition", "restart", "add", "heal", "close")}
        reads = Reads(
            lambda: self.rows,
            lambda: [(row["alive"], row["contacts"], 1) for row in self.rows],
            lambda node: [{"node": node, "peer": 2, "cached": False}],
            lambda key: {2},
            set,
            self.new,
            lambda: ["loss", "loss"],
            lambda position: f"node {position}",
            lambda: len(self.rows),
        )
        self.map = Map(reads, asked, None, 2.0, base.Stage(Home()))
        self.sent: list[Any] = []
        self.map.send = lambda content, buffers=None: self.sent.append((content, buffers))

    def action(self, name: str) -> Any:
        def act(**how: Any) -> Any:
            if how.get("fraction") == 2:
                raise ValueError("a fraction is a number of 0 to 1, not 2")
            self.done.append((name, how))
            return frames.nodes([])  # something done already, which is not to be awaited

        return act

    def new(self) -> list[Any]:
        new, self.events = self.events, []
        return new

    def hear(self, news: Any) -> None:
        self.map._handle_custom_msg(news, [])
        self.map.refresh()


@pytest.mark.parametrize(
    ("news", "done"),
    [
        ({"do": "kill", "nodes": [1], "silent": True}, ("kill", {"nodes": [1], "silent": True})),
        ({"do": "kill", "fraction": 0.3}, ("kill", {"fraction": 0.3})),
        ({"do": "partition", "nodes": [0], "nonsense": 1}, ("partition", {"nodes": [0]})),
        ({"do": "restart"}, ("restart", {})),
        ({"do": "add", "n": 3}, ("add", {"n": 3})),
        ({"do": "heal"}, ("heal", {})),
        ({"do": "close"}, ("close", {})),
    ],
)
def test_a_button_is_an_action(news: Any, done: Any) -> None:
    world = World()
    world.hear(news)
    assert (world.done, world.map.said) == ([done], "")


@pytest.mark.parametrize(
    ("news", "said"),
    [
        ({"do": "__class__"}, "a map can kill, partition"),
        ({"do": "kill", "fraction": 2}, "a fraction is a number of 0 to 1"),
        ({"select": 99}, "there is no node 99"),
        ({"select": "x"}, "there is no node 'x'"),
        ({"key": 5}, "Cluster does not know what to do"),
    ],
)
def test_nonsense_is_said(news: Any, said: str) -> None:
    world = World()
    world.hear(news)
    assert world.map.said.startswith(said)
    assert world.done == []


def test_selecting_and_typing_a_key_change_what_is_shown() -> None:
    world = World()
    world.hear({"select": 0})
    assert world.map.state["selected"] == 0
    assert world.map.selected == "node 0"
    assert world.map.state["faults"] == ["loss"]
    assert np.frombuffer(world.map.state["table"], np.uint16).tolist() == [2]
    world.hear({"key": "cats"})
    assert world.map.ground["key"]["id"].startswith(str(key_of(b"cats"))[:8])
    assert world.map.state["holders"] == 1
    world.hear({"key": ""})
    assert world.map.ground["key"] is None
    world.hear({"select": None})
    assert world.map.state["selected"] is None
    assert "<svg" in world.map.picture()


def test_new_nodes_lay_out_the_trie_anew_and_nothing_else_does() -> None:
    world, laid = World(), []
    world.map.observe(laid.append, "ground")
    world.map.want()
    world.map.refresh()
    assert laid == []
    world.rows.append(row(3, 1))
    world.map.refresh()
    assert world.map.ground["n"] == 4


def test_requests_are_replayed_once_unless_the_pace_is_nought() -> None:
    world = World()
    world.events = [event(0, "upkeep")]
    world.map.want()
    world.map.refresh()
    [(content, buffers)] = world.sent
    assert content["replay"]["cause"] == "upkeep"
    assert [len(buffer) for buffer in buffers] == [4, 4, 4, 1]
    world.sent.clear()
    world.hear({"pace": 0})
    world.events = [event(0, "upkeep")]
    world.map.want()
    world.map.refresh()
    assert (world.sent, world.map.state["requests"]) == ([], 2)
