"""What one event brings forth for one link leaves together, in order, and nothing is lost for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2pnb.net.contract import Lost, Received
from p2pnb.net.flights import Flights
from p2pnb.wire.channel import MAX_PLAINTEXT
from p2pnb.wire.sexp import Symbol

PEERS, REF, SET, VALUE = Symbol("peers"), Symbol("ref"), Symbol("set"), Symbol("value")


def answering(endpoint: Any, answer: Any) -> None:
    """Has `endpoint` answer each request in the call in which it arrives, as a peer does."""

    def take(item: Received | Lost) -> None:
        if isinstance(item, Received):
            endpoint.send(item.ip, item.port, answer(item.payload), uid=item.uid, link=item.link)

    endpoint.inbox.deliver_to(take)


def test_two_requests_that_come_together_are_answered_in_one_record(tcp: Any) -> None:
    async def test() -> None:
        hub = await tcp.node()
        answering(hub, lambda request: (VALUE, b"x") if request[0] == REF else True)
        raw = await tcp.greeted(hub)
        raw.transport.write(raw.channel.seal(b"#(ref 5)", b"#(set #u8(1))"))
        await tcp.until(lambda: len(raw.data) == 2)
        assert raw.data == [(VALUE, b"x"), True]
        assert raw.channel.records == 2, "one for the requests and one for the replies"
        (link,) = hub.links
        assert (link.requests_in, link.requests_out, link.idle) == (2, 0, True)
        raw.transport.abort()

    tcp.run(test)


def test_what_waited_for_a_dial_leaves_in_one_record(tcp: Any) -> None:
    async def test() -> None:
        a, b = await tcp.nodes(2)
        first = a.send(b.ip, b.port, (PEERS, 5), uid=b.uid)
        second = a.send(b.ip, b.port, (SET, b"1"), uid=b.uid)
        one, two = await tcp.take(b, 2)
        assert (one.payload, two.payload) == ((PEERS, 5), (SET, b"1"))
        link = await first
        assert await second is link
        assert one.link._channel.records == link._channel.records == 1
        for item in (one, two):
            b.send(item.ip, item.port, True, link=item.link)
        await tcp.take(a, 2)
        assert link._channel.records == 3, "no event brought these two forth: each went at once"

    tcp.run(test)


def test_more_than_a_record_holds_arrives_in_order(tcp: Any) -> None:
    async def test() -> None:
        hub = await tcp.node()
        answering(hub, lambda request: (VALUE, b"%d" % request[1] * 4_000))
        raw = await tcp.greeted(hub)
        raw.transport.write(raw.channel.seal(*[b"#(ref %d)" % number for number in range(16)]))
        await tcp.until(lambda: len(raw.data) == 16)
        assert [reply[1][:2] for reply in raw.data] == [b"%d" % number * (2 if number < 10 else 1) for number in range(16)]
        raw.transport.abort()

    tcp.run(test)


def test_a_link_that_finishes_in_the_same_event_says_its_last_words(tcp: Any) -> None:
    async def test() -> None:
        hub = await tcp.node()

        def take(item: Received | Lost) -> None:
            if isinstance(item, Received):
                hub.send(item.ip, item.port, True, link=item.link)
                item.link.finish("enough")

        hub.inbox.deliver_to(take)
        raw = await tcp.greeted(hub)
        raw.say((REF, 5))
        await tcp.until(lambda: raw.eof)
        assert raw.data == [True]
        raw.transport.close()

    tcp.run(test)


@pytest.mark.parametrize("end", ["close", "freeze"])
def test_what_was_kept_for_a_link_that_ends_is_dropped(tcp: Any, end: str) -> None:
    async def test() -> None:
        hub = await tcp.node()
        took: list[Any] = []

        def take(item: Received | Lost) -> None:
            if isinstance(item, Received):
                hub.send(item.ip, item.port, True, link=item.link)
                getattr(item.link, end)()
                took.append(item.link)

        hub.inbox.deliver_to(take)
        raw = await tcp.greeted(hub)
        raw.say((REF, 5))
        await tcp.until(lambda: took)
        await tcp.settled()
        assert not raw.data
        took[0].cut()
        raw.transport.abort()

    tcp.run(test)


def test_a_mistake_in_one_message_holds_nobody_elses_back(tcp: Any) -> None:
    """Whatever goes wrong while an event is dealt with, what it has brought forth so far leaves."""

    async def test() -> None:
        hub = await tcp.node()
        other = await tcp.greeted(hub)
        other.say((REF, 5))
        (asked,) = await tcp.take(hub, 1)
        raised = asyncio.get_running_loop().create_future()

        def take(item: Received | Lost) -> None:
            if isinstance(item, Received):
                hub.send(asked.ip, asked.port, True, link=asked.link)
                raise RuntimeError("a mistake")

        hub.inbox.deliver_to(take)
        raw = await tcp.greeted(hub)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.set_result(context["exception"]))
        raw.say((REF, 6))
        assert str(await raised) == "a mistake"
        await tcp.until(lambda: other.data == [True])
        other.transport.abort()

    tcp.run(test)


def test_a_flight_is_never_more_than_a_record() -> None:
    class Link:
        def __init__(self) -> None:
            self.written: list[list[int]] = []

        def write_together(self, texts: list[bytes]) -> None:
            self.written.append([len(text) for text in texts])

    flights, link = Flights(), Link()
    flights.open = True
    for size in (10, MAX_PLAINTEXT - 18, 1, MAX_PLAINTEXT - 8, MAX_PLAINTEXT, 5):
        flights.board(link, bytes(size))
    assert flights.boarded(link)
    flights.close()
    assert link.written == [[10, MAX_PLAINTEXT - 18], [1], [MAX_PLAINTEXT - 8], [MAX_PLAINTEXT], [5]]
    assert not flights.open
    assert not flights.boarded(link)
