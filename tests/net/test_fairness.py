"""Who works next: others first, then whoever used least of the time, and nobody for long. On a clock that only work moves."""

from __future__ import annotations

import asyncio
import random
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from p2pnb.net import listener, turns
from p2pnb.net.turns import LEAD, LEAST, LONG, MOST_REMEMBERED, PASS, SHARE, Turns
from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.sexp import Symbol

US = 1e-6


class Loop:
    """As much of an event loop as turns use; time passes only in work."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._ready: deque[Callable[[], None]] = deque()
        self.errors: list[Exception] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    def turn(self) -> None:
        """One pass: what was ready when it began."""
        for _ in range(len(self._ready)):
            try:
                self._ready.popleft()()
            except ZeroDivisionError as error:
                self.errors.append(error)


class Town:
    """Turns, and who did what in them."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.turns = Turns(self.loop)  # type: ignore[arg-type]
        self.done: list[Any] = []
        self.spent: dict[Any, float] = {}

    def work(self, who: Any, seconds: float, pieces: int = 1) -> None:
        def piece() -> None:
            self.loop.now += seconds
            self.done.append(who)
            self.spent[who] = self.spent.get(who, 0.0) + seconds

        for _ in range(pieces):
            self.turns.add(piece, who)

    def others(self, seconds: float, each: float) -> None:
        """So long, others do work in every pass; then nobody does."""
        until = self.loop.now + seconds
        while self.loop.now < until:
            self.turns.busy = True
            self.loop.now += each
            self.loop.turn()


@pytest.mark.parametrize("piece", [50 * US, 1_000 * US, 3_000 * US, 20_000 * US])
def test_as_long_as_others_work_they_get_most_of_the_time(piece: float) -> None:
    """And less than one in a hundred things that others do, at 250 us each, meets a piece that is much longer."""
    town = Town()
    town.work("flood", piece, pieces=20_000)
    begun = town.loop.now
    town.others(5.0, each=100 * US)
    share = 1 / (1 + (1 / SHARE - 1) * max(1.0, piece / LONG))
    assert town.spent["flood"] <= share * (town.loop.now - begun) + piece
    assert town.spent["flood"] >= 0.7 * share * 5.0, "and no less: its turn always comes"
    assert piece <= LONG or len(town.done) / 5.0 * 250 * US < 0.01
    at = len(town.done)
    for _ in range(10):
        town.turns.busy = True
        town.loop.turn()
    assert len(town.done) - at <= 1, "nor are two pieces done in a row"


def test_when_nobody_else_works_it_gets_all_the_time_in_short_passes() -> None:
    town = Town()
    town.work("flood", 50 * US, pieces=100)
    longest = passes = 0.0
    while town.turns:
        before, passes = town.loop.now, passes + 1
        town.loop.turn()
        longest = max(longest, town.loop.now - before)
    assert longest <= PASS + 50 * US
    assert passes <= 100 * 50 * US / PASS + 2


def test_what_others_are_about_to_do_goes_first_for_one_pass() -> None:
    """It may be such work, and then that shows; a task that is always ready and does nothing holds nobody up."""
    town = Town()
    town.work("flood", 1_000 * US, pieces=100)
    town.loop.turn()
    for number in range(1, 11):
        town.loop.call_soon(lambda: None)
        town.loop.turn()
        assert len(town.done) == 1 + number // 2
    at = len(town.done)
    for _ in range(8):

        def works() -> None:
            town.turns.busy = True

        town.loop.call_soon(works)
        town.loop.turn()
    assert len(town.done) == at


@pytest.mark.parametrize("seed", range(5))
def test_accounts_share_by_time_and_not_by_count(seed: int) -> None:
    """Whatever the pieces are that they bring."""
    rng, town = random.Random(seed), Town()
    sizes = {who: rng.uniform(20, 3_000) * US for who in "abcdef"}
    for who, size in sizes.items():
        town.work(who, size, pieces=int(2 / size))
    town.others(20.0, each=100 * US)
    assert max(town.spent.values()) - min(town.spent.values()) <= 2 * max(sizes.values()), f"seed {seed}"


def test_one_who_comes_now_and_then_goes_before_a_thousand_who_flood() -> None:
    town = Town()
    for flooder in range(1_000):
        town.work(flooder, 1_000 * US, pieces=60)
    town.others(300.0, each=10_000 * US)
    for _ in range(20):
        at = len(town.done)
        town.work("honest", 500 * US)
        while "honest" not in town.done[at:]:
            town.others(0.01, each=1_000 * US)
        assert len(town.done) - at <= 3
        town.others(1.0, each=1_000 * US)


def test_a_pause_saves_up_no_more_than_the_lead() -> None:
    town = Town()
    town.work("flood", 1_000 * US, pieces=2_000)
    town.others(10.0, each=1_000 * US)
    town.work("late", 1_000 * US, pieces=2_000)
    at = len(town.done)
    town.others(5.0, each=1_000 * US)
    ahead = town.done[at:].count("late") - town.done[at:].count("flood")
    assert 0 <= ahead * 1_000 * US <= LEAD + 2_000 * US
    assert town.done[at:][-100:].count("late") in range(45, 56), "after that, they share"


def test_leaving_and_coming_back_is_no_way_to_the_front() -> None:
    """An account that never has more than one piece waiting is no newcomer each time."""
    town = Town()
    town.work("flood", 1_000 * US, pieces=500)
    for _ in range(4_000):
        if "sly" not in town.turns._queues:
            town.work("sly", 1_000 * US)
        town.others(0.001, each=1_000 * US)
    assert town.spent["sly"] - town.spent["flood"] <= LEAD + 2_000 * US


def test_pieces_of_one_account_keep_their_order_and_one_that_fails_stops_nobody() -> None:
    town, seen = Town(), list[Any]()
    for number in range(3):
        town.turns.add(lambda number=number: seen.append(number), "a")  # type: ignore[misc]
    town.turns.add(lambda: seen.append(1 // 0), "a")
    town.turns.add(lambda: town.turns.add(lambda: seen.append("last"), "a"), "a")
    town.turns.add(lambda: seen.append("b"), "b")
    for _ in range(10):
        town.loop.turn()
    assert [each for each in seen if each != "b"] == [0, 1, 2, "last"]
    assert seen.index("b") == 1, "where time stands still, one piece of each"
    assert len(town.loop.errors) == 1
    assert not town.turns


def test_work_that_brings_work_of_another_makes_no_second_pass() -> None:
    """The last piece empties the list and adds to it: there is one who serves it, and he finds something whenever he comes."""
    town = Town()
    town.turns.add(lambda: town.work("second", US), "first")
    for _ in range(5):
        town.loop.turn()
    assert town.done == ["second"]
    assert not town.turns


def test_a_million_accounts_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST_REMEMBERED", 64)
    town = Town()
    for number in range(1_000):
        town.work(number, LEAST)
        town.loop.turn()
        assert len(town.turns._used) <= 64
    assert MOST_REMEMBERED < 10_000


# --- on real sockets ----------------------------------------------------------------------------------------------------


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports have taken all the connections that they take as they come."""
    monkeypatch.setattr(listener, "BURST", 0.0)


def stranger(node: Any, ip: str) -> socket.socket:
    try:
        return socket.create_connection((node.ip, node.port), source_address=(ip, 0))
    except OSError:
        pytest.skip("loopback has one address here")


def answered(sockets: list[socket.socket]) -> int:
    return len(select.select(sockets, [], [], 0)[0])


def test_a_few_connections_are_taken_as_they_come(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        node = await tcp.node()
        waiting = list[Callable[[], None]]()
        monkeypatch.setattr(Turns, "add", lambda _, work, __: waiting.append(work))
        few = [stranger(node, "127.0.0.1") for _ in range(int(listener.BURST))]
        await tcp.until(lambda: len(node._links) == listener.BURST)
        one_more = stranger(node, "127.0.0.1")
        await tcp.until(lambda: waiting)
        assert len(node._links) == listener.BURST
        waiting[0]()
        assert len(node._links) == listener.BURST + 1
        for each in (*few, one_more):
            each.close()
        monkeypatch.undo()
        await tcp.until(lambda: not node._links)

    tcp.run(test)


def test_an_address_that_floods_with_handshakes_waits_behind_itself(tcp: Any, crowded: None) -> None:
    async def test() -> None:
        node = await tcp.node()
        flood = [stranger(node, "127.0.0.2") for _ in range(60)]
        honest = stranger(node, "127.0.0.3")
        await tcp.until(lambda: len(node._links) == 61)
        first = NoiseChannel(True, tcp.key(), 0, "").start()
        for each in (*flood, honest):
            each.sendall(first)
        while not answered([honest]):  # noqa: ASYNC110 (in every pass)
            await asyncio.sleep(0)
        assert answered(flood) <= 10
        await tcp.until(lambda: answered(flood) == 60)
        for each in (*flood, honest):
            each.close()
        await tcp.until(lambda: not node._links)

    tcp.run(test)


def test_a_link_that_is_known_goes_before_all_strangers(tcp: Any, crowded: None) -> None:
    async def test() -> None:
        node = await tcp.node()
        friend = await tcp.greeted(node)
        strangers = [stranger(node, f"127.0.0.{2 + number % 8}") for number in range(40)]
        await tcp.until(lambda: len(node._links) == 41)
        first = NoiseChannel(True, tcp.key(), 0, "").start()
        for each in strangers:
            each.sendall(first)
        friend.say((Symbol("ref"), 1))
        await tcp.take(node, 1)
        assert answered(strangers) <= 10
        for each in strangers:
            each.close()
        await tcp.until(lambda: len(node._links) == 1)

    tcp.run(test)


def test_what_waits_for_its_turn_waits_in_the_kernel(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that sends without end is not read without end: what was not read is nobody's memory here, and nothing is lost of it."""

    async def test() -> None:
        node = await tcp.node()
        raw = await tcp.greeted(node)
        (link,) = node.links
        held, run = list[Callable[[], None]](), Turns.add
        monkeypatch.setattr(Turns, "add", lambda _, work, __: held.append(work))
        for _ in range(8):
            raw.say(tcp.filling(200_000))
        await tcp.settled()
        assert link.held < 200_000 + 65_536 * 6
        monkeypatch.setattr(Turns, "add", run)
        for work in held:
            tcp.carrier.turns.add(work, link)
        assert len(await tcp.take(node, 8)) == 8

    tcp.run(test)
