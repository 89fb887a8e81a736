"""Live pictures without a browser: from what was read to what is drawn, and how news from the browser changes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from p2pnb.dht.candidate import Event
from p2pnb.dht.lookup import Lookup
from p2pnb.uid import Key
from p2pnb.views.widgets import sight, steps
from p2pnb.views.widgets.sight import BagView, History, Replicas, bag_state, namespace_state, replicas_state, sequence_state
from p2pnb.views.widgets.steps import Replay, Step, Stepper, run_state, shortlist, stepper_state
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import Bag, BagEntry

KEY = Key.from_int(Random(9).getrandbits(256))
UIDS = {node: Random(node).getrandbits(256) for node in range(30)}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    for widget in list(_instances.values()):
        widget.close()


def entry(letter: str, publishers: int, age: int) -> BagEntry:
    return BagEntry(letter.encode() * 32, publishers, age)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_messages_are_counted_and_drawn() -> None:
    row = {"time": 1.0, "node": 1, "peer": 2, "verb": "ref", "outcome": "value", "rtt": 0.1, "cause": "ref#1", "words": ["#(ref 1)", "#t"]}
    state = sequence_state([row, {**row, "rtt": None}], UIDS)
    assert state["status"] == "2 requests, 1 without a reply"
    assert "#(ref 1)" in state["svg"]
    assert sequence_state([], {})["status"] == "0 requests"


# --- a bag ------------------------------------------------------------------------------------------------------------

ANSWERS = {
    "popular": [Bag((entry("a", 3, 50), entry("b", 1, 5))), Bag((entry("a", 3, 51),)), Bag((entry("a", 2, 50), entry("b", 1, 6)))],
    "recent": [Bag((entry("b", 1, 5), entry("a", 3, 50))), Bag((entry("a", 3, 51),)), Bag((entry("b", 1, 6), entry("a", 2, 50)))],
}


def order(state: dict[str, Any]) -> list[str]:
    return [bytes.fromhex(value)[:1].decode() for value in re.findall(r'class="mono">([0-9a-f]{8})…</text>', state["svg"])]


def test_a_bag_is_ordered_as_its_reader_would_see_it() -> None:
    assert order(bag_state(ANSWERS, "popular")) == ["a", "b"]
    assert order(bag_state(ANSWERS, "recent")) == ["b", "a"]
    state = bag_state(ANSWERS, "popular")
    assert state["status"] == "2 values at 3 replicas"
    assert state["words"].startswith("All replicas agree on 1 of 2")
    samples = [order(bag_state(ANSWERS, "sample", draw)) for draw in range(20)]
    assert {tuple(each) for each in samples} == {("a", "b"), ("b", "a")}, "another draw, another order"
    assert samples[3] == order(bag_state(ANSWERS, "sample", 3))


def test_an_empty_bag_and_a_large_one() -> None:
    assert bag_state({"popular": [], "recent": []}, "popular")["status"] == "0 values at 0 replicas"
    many = [Bag(tuple(BagEntry(bytes([i]) * 32, 1, 1) for i in range(50)))]
    state = bag_state({"popular": many, "recent": many}, "recent")
    assert "the first 20 are drawn" in state["words"]
    assert len(order(state)) == 20


def test_tabs_of_a_bag() -> None:
    view = BagView(KEY, lambda: ANSWERS, None)  # type: ignore[arg-type]
    for tab in ("recent", "sample", "sample", "popular"):
        view._handle_custom_msg({"tab": tab}, [])
        assert view.state["tab"] == tab
    assert view._draw == 1, "the second press draws again"
    view._handle_custom_msg({"tab": "__class__"}, [])
    assert "does not know" in view.said
    assert view.picture() == view.state["svg"]


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_what_changes_near_a_key_is_recorded_in_words() -> None:
    history = History()
    assert history.note(1.0, range(10), range(10), [1, 2])
    assert not history.note(2.0, range(10), range(10), [2, 1])
    assert history.note(3.0, range(10), [0, *range(3, 10)], [])
    assert history.note(4.0, range(10), range(2, 10), [3])
    assert history.note(5.0, range(10), range(2, 10), [4])
    said = [moment.said for moment in history.moments]
    assert said == ["as it was found", "#1, #2 died", "#0 died; #2 came back; #3 took it", "#4 took it; #3 gave it up"]
    assert history.moments[1].had == {1, 2}
    assert history.moments[-1].had == {1}, "who came back has nothing any more"


def test_only_so_many_moments_are_kept() -> None:
    history = History()
    for i in range(1000):
        history.note(float(i), range(10), range(10), [i % 7])
    assert len(history.moments) == sight.MOST_MOMENTS
    assert history.moments[-1].time_s == 999.0


def test_kills_can_be_rewound() -> None:
    alive, holders = set(UIDS), {1, 2}
    view = Replicas(KEY, lambda: (0.0, UIDS, alive, holders), 5, None)  # type: ignore[arg-type]
    assert view.state["status"] == "live"
    alive -= {1}
    holders -= {1}
    view.refresh()
    view._handle_custom_msg({"at": 0}, [])
    assert view.state["status"] == "rewound by 1 of 1 changes"
    assert "dead, had the record" not in view.state["svg"]
    serial = view.state["steps"]["serial"]
    alive -= {2}
    holders.clear()
    view.refresh()
    assert (view.state["steps"]["at"], view.state["steps"]["of"], view.state["steps"]["serial"]) == (0, 2, serial)
    assert view.state["steps"]["words"].endswith("(now 0 have it)")
    view._handle_custom_msg({"at": 2}, [])
    assert view.state["status"] == "live"
    view._handle_custom_msg({"at": "0"}, [])
    assert "does not know" in view.said
    uids = {**UIDS, 99: KEY.int ^ 1}
    view._read = lambda: (9.0, uids, {*alive, 99}, {99})
    view.refresh()
    assert view.state["steps"]["words"] == "9.0 s: #99 came; #99 took it"
    assert "#99" in view.state["svg"]
    view._handle_custom_msg({"at": 1}, [])
    assert "#99" not in view.state["svg"], "there was no such node then"
    json.dumps(replicas_state(UIDS, KEY, view._history.moments, 1, 5), allow_nan=False)


# --- an entry ---------------------------------------------------------------------------------------------------------


def test_an_entry_says_where_its_newest_version_is() -> None:
    nodes = [{"node": node, "uid": UIDS[node]} for node in range(3)]
    row = {"node": 0, "sequence": 4, "value": bytes(32), "signature": bytes(64), "age_s": 1.0}
    refused = [{**row, "node": 2, "sequence": 9, "signature": b"x" * 64, "reason": "its signature does not hold"}]
    state = namespace_state(nodes, [row, {**row, "node": 1, "sequence": 3}], refused)
    assert state["status"] == "version 4 at 1 of 3 nodes, 1 refused"
    assert "refused by 1: its signature does not hold" in state["svg"]
    assert namespace_state(nodes, [], [])["status"] == "nobody has it"


# --- lookups ----------------------------------------------------------------------------------------------------------


def events() -> tuple[list[dict[str, Any]], Lookup]:
    """A lookup of three seeds: one answers and names two, one is refuted, one is slow."""
    seeds = [contact("127.0.0.1", 9000 + node, UIDS[node]) for node in range(3)]
    lookup = Lookup(KEY.int, UIDS[20], seeds, want=3, now=10.0, alpha=3, patience=0.5)
    asked = [lookup.next(10.0) for _ in range(3)]
    assert None not in asked
    first, second, _ = asked
    lookup.replied(first, [contact("127.0.0.1", 9000 + node, UIDS[node]) for node in (5, 6)], 10.002)  # type: ignore[arg-type]
    lookup.failed(second, 10.003, dialled=True)  # type: ignore[arg-type]
    lookup.next(10.003)
    lookup.next(10.6)
    positions = {uid: node for node, uid in UIDS.items()}

    def row(event: Event) -> dict[str, Any]:
        uid = event.contact.uid
        assert uid is not None
        return {
            "time": event.time, "event": event.event, "uid": uid, "peer": positions[uid], "hop": event.hop, "told_by": event.referrer,
            "address": event.contact.address,
        }  # fmt: skip

    return [row(event) for event in lookup.events], lookup


def test_the_shortlist_is_read_off_the_events() -> None:
    rows, lookup = events()
    listed = {each.uid: each.state for each in shortlist(rows, KEY.int)}
    assert [listed[uid] for uid in sorted([UIDS[0], UIDS[1], UIDS[2]], key=lambda uid: uid ^ KEY.int)] == ["answered", "refuted", "slow"]
    assert [uid for uid, state in listed.items() if state == "answered"] == [each.uid for each in lookup.nearest]
    uids = [each.uid for each in shortlist(rows, KEY.int)]
    assert uids == sorted(uids, key=lambda uid: uid ^ KEY.int)  # type: ignore[operator]
    assert len(uids) == 5


def test_a_replay_has_a_word_for_each_moment() -> None:
    rows, _ = events()
    state = run_state(rows, KEY.int, UIDS[20], "the end")
    run = state["run"]
    assert [ms for ms, _ in run["events"]] == pytest.approx([0.0, 2.0, 3.0, 600.0])
    assert run["events"][1][1].endswith("replied")
    assert "could not be reached" in run["events"][2][1]
    assert (run["left"] < run["right"], run["end"], run["summary"]) == (True, pytest.approx(600.0), "the end")
    assert 'class="p2p-run"' in state["svg"]
    later = [*rows, {**rows[-1], "event": "outdone", "time": max(row["time"] for row in rows) + 0.1}]
    assert run_state(later, KEY.int, UIDS[20], "the end")["status"] == "700.0 ms, slowed down", "as long as the lookup, to the last event"
    json.dumps(state, allow_nan=False)
    assert run_state([], KEY.int, UIDS[20], "nothing")["run"]["events"] == []
    replay = Replay(rows, KEY, UIDS[20], "the end")
    assert not replay.beats, "it needs no kernel"


class Walk:
    """A lookup whose steps the test prepared."""

    def __init__(self) -> None:
        self.target, self.own = KEY, UIDS[20]
        self._rows, _ = events()
        self.left = [Step(number, f"{number} events") for number in range(4, len(self._rows) + 1)]
        self.steps = [Step(3, "to begin with")]

    @property
    def finished(self) -> bool:
        return not self.left

    def rows(self) -> list[dict[str, Any]]:
        return self._rows[: self.steps[-1].events]

    async def step(self) -> None:
        self.steps.append(self.left.pop(0))


def press(stepper: Stepper, at: int) -> None:
    """What the browser's button does."""
    answer = stepper.heard({"at": at})
    if answer is not None:
        with pytest.raises(StopIteration):
            answer.__await__().__next__()
    stepper.want()
    stepper.refresh()


def test_the_stepper_steps_goes_back_and_ends() -> None:
    walk = Walk()
    stepper = Stepper(walk, walk.step, {uid: node for node, uid in UIDS.items()}.get, None)  # type: ignore[arg-type]
    assert stepper.state["steps"] | {"serial": 0} == {"at": 0, "of": 0, "more": True, "words": "to begin with", "serial": 0}
    assert [cells[4] for cells in stepper.state["table"]["rows"]] == ["untried"] * 3
    total = len(walk.left)
    for number in range(1, total + 1):
        serial = stepper.state["steps"]["serial"]
        press(stepper, number)
        assert stepper.state["steps"]["at"] == number
        assert stepper.state["steps"]["serial"] > serial
    assert not stepper.state["steps"]["more"]
    assert stepper.state["status"].startswith("finished")
    assert "over" in stepper.state["table"]["kinds"]
    press(stepper, total + 1)
    assert stepper.state["steps"]["at"] == total, "there is no further step"
    press(stepper, 1)
    assert [cells[4] for cells in stepper.state["table"]["rows"]].count("in flight") == 1
    assert stepper.state["steps"]["of"] == total
    press(stepper, -3)
    assert stepper.state["steps"]["at"] == 0
    with pytest.raises(ValueError, match="does not know"):
        stepper.heard({"at": None})


def test_a_long_shortlist_is_cut() -> None:
    rows = [
        {"time": 0.0, "event": "named", "uid": uid, "peer": node, "hop": 1, "told_by": None, "address": ("127.0.0.1", node)}
        for node, uid in UIDS.items()
    ]
    state = stepper_state(rows, KEY.int, 1, [Step(30, "")], 0, finished=False, serial=0, position=lambda uid: None)
    assert len(state["table"]["rows"]) == steps.MOST_LISTED
    assert "30 untried" in state["status"]
