"""Pairing, limits and deadlines of requests, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from pigeons import Wire
from town import simulate

from p2pnb import spec
from p2pnb.errors import P2PError, PeerUnreachable, RemoteProtocolError, RequestTimeout
from p2pnb.net.sending import Sending
from p2pnb.peer.requests import Outcome, Requests
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Iam, Nearest, Peers, Welcome
from p2pnb.wire.sexp import Symbol


class Timer:
    def __init__(self, when: float, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._when, self.call, self.args, self.dead = when, call, args, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.dead = True


class Clock:
    """Time and timers of a loop that does not run: the test says how late it is."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(self.now + delay, call, args)
        self.timers.append(timer)
        return timer

    def call_soon(self, call: Callable[..., object], *args: Any) -> Timer:
        return self.call_later(0.0, call, *args)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while due := sorted((t for t in self.timers if not t.dead and t.when() <= until), key=Timer.when):
            self.now = max(self.now, due[0].when())
            self.timers.remove(due[0])
            due[0].call(*due[0].args)
        self.now = until


class Desk:
    """`Requests` with a carrier and a clock in the test's hands."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wires: dict[int, Wire] = {}
        self.sent: list[tuple[Any, Wire]] = []
        self.outcomes: list[Outcome] = []
        self.events: list[Any] = []
        loop: Any = self.clock
        self.requests = Requests(self._send, loop, self.clock.time, lambda *_: None, self.events.append, own=1)

    def _send(self, ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> Wire:
        assert uid is not None
        if uid not in self.wires or self.wires[uid].closed:
            self.wires[uid] = Wire(uid, ip, port)
        self.sent.append((payload, self.wires[uid]))
        return self.wires[uid]

    def ask(self, whom: Contact, request: Any) -> None:
        self.requests.ask(whom, request, lambda _, outcome: self.outcomes.append(outcome))


A, B = contact("127.0.0.1", 1, 11), contact("127.0.0.1", 2, 22)


def test_replies_belong_to_requests_in_order() -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    desk.ask(A, Peers(5))
    wire = desk.wires[11]
    desk.requests.received(wire.received((Symbol("welcome"), "127.0.0.1", 9, 11)))
    desk.requests.received(wire.received((Symbol("peer"), ["127.0.0.1", 3, 33])))
    assert desk.outcomes == [Welcome("127.0.0.1", 9, 11), Nearest((contact("127.0.0.1", 3, 33),))]
    assert not len(desk.requests)


@pytest.mark.parametrize(
    "payload",
    [
        (Symbol("value"), b"x"),
        True,
        (Symbol("welcome"), "127.0.0.1", 9, 12),
        (Symbol("welcome"), "127.0.0.1", 9),
        7,
    ],
)
def test_a_reply_of_another_kind_fails_the_request(payload: Any) -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    with pytest.raises(RemoteProtocolError):
        desk.requests.received(desk.wires[11].received(payload))
    assert isinstance(desk.outcomes[0], RemoteProtocolError)


def test_21_contacts_are_too_many() -> None:
    desk = Desk()
    desk.ask(A, Peers(1))
    contacts = [["127.0.0.1", 1 + i, 100 + i] for i in range(21)]
    with pytest.raises(RemoteProtocolError):
        desk.requests.received(desk.wires[11].received((Symbol("peer"), *contacts)))


def test_a_reply_that_nobody_asked_for() -> None:
    desk = Desk()
    with pytest.raises(RemoteProtocolError, match="nobody asked"):
        desk.requests.received(Wire(11).received(True))


def test_five_seconds_and_not_longer() -> None:
    """Whatever the moments of asking, each request ends at most 5 s later, and its link is closed."""
    for seed in range(50):
        rng = random.Random(seed)
        desk = Desk()
        asked: list[float] = []
        ended: list[float] = []
        for i in range(20):
            desk.clock.advance(rng.uniform(0, 2))
            whom = contact("127.0.0.1", 1 + i, 100 + i)
            asked.append(desk.clock.now)
            desk.requests.ask(whom, Iam(1), lambda *_, desk=desk, ended=ended: ended.append(desk.clock.now))
        desk.clock.advance(20)
        assert len(ended) == 20, seed
        assert all(abs(end - start - spec.REQUEST_TIMEOUT) < 1e-6 for start, end in zip(asked, ended, strict=True)), seed
        assert all(wire.closed and wire.why == "timeout" for wire in desk.wires.values()), seed


def test_a_timeout_says_so_and_is_logged() -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    desk.clock.advance(5.1)
    assert isinstance(desk.outcomes[0], RequestTimeout)
    assert isinstance(desk.outcomes[0], TimeoutError)
    assert desk.events[0].outcome == "timeout"
    assert desk.events[0].rtt is None


def test_whoever_was_never_reached_is_unreachable_even_if_his_dial_ends_a_moment_later() -> None:
    async def test() -> None:
        loop, outcomes = asyncio.get_running_loop(), []
        requests = Requests(lambda *_, uid: Sending(b"", True, uid), loop, loop.time, lambda *_: None, lambda _: None, own=1)
        for whom in (A, contact("127.0.0.1", 3)):
            requests.ask(whom, Iam(1), lambda _, outcome: outcomes.append(outcome))
        await asyncio.sleep(spec.REQUEST_TIMEOUT + 0.1)
        assert [type(outcome) for outcome in outcomes] == [PeerUnreachable] * 2
        assert {outcome.reason for outcome in outcomes} == {"timeout"}
        requests.close()

    simulate(test)


@pytest.mark.parametrize("replies_at", [6.0, 8.9, None])
def test_a_dial_that_took_long_is_not_in_vain(replies_at: float | None) -> None:
    """The request ends after its 5 s, but its link has 5 s from when it was sent: the late reply is told by its place."""

    async def test() -> None:
        loop, wire = asyncio.get_running_loop(), Wire(11)
        dialling = Sending(b"", True, 11)
        sent: list[Any] = []
        ended: list[tuple[float, Any]] = []

        def send(ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> Any:
            sent.append(payload)
            return dialling if len(sent) == 1 else wire

        def ask(request: Any) -> None:
            requests.ask(A, request, lambda _, outcome: ended.append((loop.time() - began, outcome)))

        requests, began = Requests(send, loop, loop.time, lambda *_: None, lambda _: None, own=1), loop.time()
        ask(Peers(1))
        await asyncio.sleep(4.0)
        dialling.outcome = wire  # type: ignore[assignment]
        heard, dialling._heard = dialling._heard, None
        assert heard is not None
        heard(wire)
        await asyncio.sleep(1.5)
        assert [(round(when, 3), type(outcome)) for when, outcome in ended] == [(5.0, RequestTimeout)]
        assert not wire.closed
        ask(Peers(2))
        assert len(sent) == 2, "on the link that was so dear"
        if replies_at is None:
            await asyncio.sleep(began + 8.99 - loop.time())
            assert not wire.closed
            await asyncio.sleep(0.02)
            assert wire.why == "timeout"
        else:
            await asyncio.sleep(began + replies_at - loop.time())
            requests.received(wire.received((Symbol("peer"), ["127.0.0.1", 1, 1])))
            assert len(ended) == 1, "nobody waits for that one any more"
            requests.received(wire.received((Symbol("peer"), ["127.0.0.1", 2, 2])))
            assert (round(ended[1][0], 6), ended[1][1]) == (replies_at, Nearest((contact("127.0.0.1", 2, 2),)))
            await asyncio.sleep(10.0)
            assert not wire.closed
        requests.close()

    simulate(test)


def test_sixteen_unanswered_and_no_more() -> None:
    desk = Desk()
    for i in range(40):
        desk.ask(A, Peers(i))
    assert len(desk.sent) == spec.MAX_UNANSWERED
    wire = desk.wires[11]
    for answered in range(40):
        desk.requests.received(wire.received((Symbol("peer"),)))
        assert len(desk.sent) == min(40, spec.MAX_UNANSWERED + answered + 1)
    assert [payload[1] for payload, _ in desk.sent] == list(range(40)), "they wait in order"
    assert len(desk.outcomes) == 40


def test_a_lost_link_fails_what_was_asked_on_it_alone() -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    desk.ask(B, Iam(1))
    desk.wires[11].close("reset")
    desk.requests.lost(desk.wires[11])
    assert [type(outcome) for outcome in desk.outcomes] == [PeerUnreachable]
    desk.requests.received(desk.wires[22].received((Symbol("welcome"), "127.0.0.1", 9, 22)))
    assert len(desk.outcomes) == 2


def test_asked_again_keeps_its_first_deadline() -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    desk.clock.advance(3)
    first = desk.wires[11]
    first.closed = True
    desk.requests.lost(first)
    assert len(desk.sent) == 2
    desk.clock.advance(1.9)
    assert desk.outcomes == []
    desk.clock.advance(0.2)
    assert isinstance(desk.outcomes[0], RequestTimeout)


def test_what_waits_for_a_dial_shares_its_fate() -> None:
    """Requests for a peer that is being dialled are kept back, go out in order, or fail with the dial."""

    async def whole(succeeds: bool) -> list[Any]:
        loop = asyncio.get_running_loop()
        dial: asyncio.Future[Wire] = loop.create_future()
        sent: list[Any] = []
        outcomes: list[Any] = []

        async def dialled(payload: Any) -> Wire:
            wire = await dial
            sent.append(payload)
            return wire

        def send(ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> Any:
            if dial.done():
                sent.append(payload)
                return dial.result()
            return dialled(payload)

        requests = Requests(send, loop, loop.time, lambda *_: None, lambda _: None, own=1)
        for i in range(5):
            requests.ask(A, Peers(i), lambda _, outcome: outcomes.append(outcome))
        await asyncio.sleep(0)
        if succeeds:
            dial.set_result(Wire(11))
        else:
            dial.set_exception(PeerUnreachable("nobody", "refused"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        requests.close()
        return [payload[1] for payload in sent] if succeeds else outcomes

    assert asyncio.run(whole(True)) == [0, 1, 2, 3, 4]
    failed = asyncio.run(whole(False))
    assert len(failed) == 5
    assert all(isinstance(outcome, P2PError) for outcome in failed)


def test_a_dial_that_hangs_holds_up_no_other_address_of_its_uid() -> None:
    """Whoever names a silent address first would else hide that peer for 5 s, and a lookup does not wait so long."""

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        outcomes: list[Outcome] = []

        def send(ip: str, port: int, payload: Any, *, uid: int | None = None, link: Any = None) -> Any:
            return Sending(b"", True, uid) if port == 666 else Wire(11, ip, port)

        requests = Requests(send, loop, loop.time, lambda *_: None, lambda _: None, own=1)
        requests.ask(contact("127.0.0.1", 666, 11), Peers(1), lambda _, outcome: outcomes.append(outcome))
        requests.ask(contact("127.0.0.1", 1, 11), Peers(1), lambda _, outcome: outcomes.append(outcome))
        (wire,) = requests._unanswered
        requests.received(wire.received((Symbol("peer"),)))
        assert outcomes == [Nearest(())]
        requests.close()

    asyncio.run(whole())


def test_closing_fails_what_is_open_and_leaves_no_timer() -> None:
    desk = Desk()
    desk.ask(A, Iam(1))
    desk.requests.close()
    assert isinstance(desk.outcomes[0], PeerUnreachable)
    assert all(timer.dead for timer in desk.clock.timers)


def test_what_is_asked_of_a_closed_peer_fails_too() -> None:
    """Whoever goes on to the next contact when one fails would else wait for ever: nobody sweeps any more."""
    desk = Desk()
    ends: list[Outcome] = []

    def go_on(_: Contact, outcome: Outcome) -> None:
        ends.append(outcome)
        if len(ends) < 3:
            desk.requests.ask(B, Iam(1), go_on)

    desk.requests.ask(A, Iam(1), go_on)
    desk.requests.close()
    desk.clock.advance(0.0)
    assert [type(outcome) for outcome in ends] == [PeerUnreachable] * 3
    assert len(desk.sent) == 1
    assert not len(desk.requests)
    assert all(timer.dead for timer in desk.clock.timers)
