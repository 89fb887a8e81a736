"""Conformance: what every carrier's links do. Order, sizes, ends, renewal; the same for TCP and for memory."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from p2pnb import spec
from p2pnb.errors import LocalProtocolError, PeerUnreachable
from p2pnb.net.contract import Lost, Opened, Received
from p2pnb.wire.sexp import Symbol, dumps

IAM, PEERS, REF, SET, WELCOME, PEER = map(Symbol, ("iam", "peers", "ref", "set", "welcome", "peer"))


def test_a_message_and_its_reply(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (IAM, a.uid), uid=b.uid)
        assert (link.uid, link.ip, link.port, link.listens, link.outbound) == (b.uid, b.ip, b.port, True, True)
        assert link.last_sent == len(dumps((IAM, a.uid))) + 4
        assert await a.recv() == Opened(link), "announced at both ends, before anything else"
        opened, item = await b.recv(), await b.recv()
        assert opened == Opened(item.link)
        assert item == Received(a.ip, a.port, (IAM, a.uid), a.uid, item.link, link.last_sent)
        assert (item.link.uid, item.link.outbound, item.link.listens, item.link.closed) == (a.uid, False, True, False)
        assert b.send(item.ip, item.port, (WELCOME, "127.0.0.1", 1, b.uid), uid=item.uid, link=item.link) is item.link
        assert (await a.recv()).link is link
        assert not inspect.isawaitable(b.send(a.ip, a.port, (IAM, b.uid), uid=a.uid)), "the link serves both ways"
        assert (await a.recv()).uid == b.uid
        assert (len(a.links), len(b.links)) == (1, 1)

    world.run(test)


def test_without_a_uid_the_address_is_dialled_once(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (IAM, a.uid))
        assert link.uid == b.uid
        assert a.send(b.ip, b.port, (IAM, a.uid)) is link
        assert a.send("192.0.2.1", 9, (IAM, a.uid), uid=b.uid) is link, "any live link to the uid will do"

    world.run(test)


def test_everything_arrives_in_order(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (REF, 0), uid=b.uid)
        for number in range(1, 16):
            a.send(b.ip, b.port, (REF, number, "x" * (150_000 if number in (3, 4, 9) else number)), link=link)
        items = await world.take(b, 16)
        assert [item.payload[1] for item in items] == list(range(16))
        assert {item.link for item in items} == {items[0].link}
        for number in range(16):
            b.send(a.ip, a.port, (WELCOME, number, "x" * (150_000 if number in (2, 9) else number)), link=items[0].link)
        assert [item.payload[1] for item in await world.take(a, 16)] == list(range(16))

    world.run(test)


def test_a_message_of_exactly_the_limit(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, world.filling(spec.MAX_MESSAGE), uid=b.uid)
        assert link.last_sent == spec.MAX_MESSAGE + 4
        (item,) = await world.take(b, 1)
        assert item.size == spec.MAX_MESSAGE + 4
        with pytest.raises(LocalProtocolError):
            a.send(b.ip, b.port, (SET, "x" * spec.MAX_MESSAGE), link=link)
        assert not link.closed, "nothing was sent, nothing is broken"

    world.run(test)


def test_other_work_goes_on_between_big_messages(world: Any) -> None:
    async def test() -> None:
        receiver = await world.node()
        senders = await world.nodes(4)
        links = [await each.send(receiver.ip, receiver.port, (REF, 0), uid=receiver.uid) for each in senders]
        await world.take(receiver, 4)
        turns = 0
        running = True

        def turn() -> None:
            nonlocal turns
            turns += 1
            if running:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        for each, link in zip(senders, links, strict=True):
            each.send(receiver.ip, receiver.port, world.filling(900_000), link=link)
        await world.take(receiver, 4)
        running = False
        assert turns > 8, "four were written and four were read, each in a turn of its own"

    world.run(test)


def test_a_clean_end_is_told_apart_from_a_reset(world: Any) -> None:
    async def test() -> None:
        for clean in (True, False):
            a, b = await world.nodes(2)
            link = await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
            (item,) = await world.take(b, 1)
            b.send(item.ip, item.port, world.filling(200_000, WELCOME), link=item.link)
            await world.until(lambda item=item: item.link.idle)
            if clean:
                await b.close()
            else:
                await world.take(a, 1)
                b.kill()
            if clean:
                assert isinstance(await world.next(a), Received), "what came before the end comes first"
            last = await world.next(a)
            assert last == Lost(link)
            assert (link.clean, link.closed) == (clean, True)
            with pytest.raises(PeerUnreachable) as error:
                a.send(b.ip, b.port, True, link=link)
            assert error.value.reason == "lost"
            await world.settled()
            assert not a.inbox, "a link is lost once"

    world.run(test)


def test_a_link_may_be_had_without_a_message(world: Any) -> None:
    """Both ends have learned who the other is, and nothing was said."""

    async def test() -> None:
        a, b, c = await world.nodes(3)
        link = await a.send(b.ip, b.port, None, uid=b.uid)
        assert (link.uid, link.last_sent) == (b.uid, 0)
        assert a.send(b.ip, b.port, None, uid=b.uid) is link, "there is one"
        assert await a.recv() == Opened(link)
        back = (await b.recv()).link
        assert (back.uid, back.ip, back.port, back.listens, back.outbound) == (a.uid, a.ip, a.port, True, False)
        with pytest.raises(PeerUnreachable) as error:
            await a.send(c.ip, c.port, None, uid=b.uid + 1)
        assert error.value.reason == "wrong-uid"
        await world.settled()
        assert not a.inbox, "what was refused was never open"
        assert not b.inbox
        assert (link.closed, back.closed, link.idle, back.idle) == (False, False, True, True)

    world.run(test)


def test_closing_a_link_ends_it_at_both_ends(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        (item,) = await world.take(b, 1)
        link.close("timeout")
        link.close("again")
        assert await world.next(a) == Lost(link)
        assert (await world.loss(b)) is item.link
        assert not item.link.clean
        assert a.counters["timeout"] == 1
        assert (await a.send(b.ip, b.port, (IAM, 2), uid=b.uid)) is not link

    world.run(test)


def test_a_request_lost_with_an_orderly_end_sees_an_orderly_end(world: Any) -> None:
    """Whatever the other end was just sending, FIN is what it sees: it may ask again elsewhere."""

    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        (item,) = await world.take(b, 1)
        b.send(item.ip, item.port, True, link=item.link)
        await world.take(a, 1)
        closing = asyncio.ensure_future(b.close())
        for number in range(10):
            a.send(b.ip, b.port, (REF, number), link=link)
        await closing
        assert (await world.loss(a)) is link
        assert link.clean

    world.run(test)


def test_a_stream_that_ends_inside_a_message_is_an_error(world: Any) -> None:
    async def test() -> None:
        b = await world.node()
        raw = await world.greeted(b)
        sealed = raw.channel.seal(dumps((REF, 5)))
        raw.transport.write(sealed[:-3])
        raw.transport.close()
        link = await world.loss(b)
        assert not link.clean
        assert b.counters["protocol"] == 1

    world.run(test)


def test_what_came_before_the_end_is_read_before_the_end_is_told(world: Any) -> None:
    async def test() -> None:
        b = await world.node()
        raw = await world.greeted(b)
        raw.say(*[(REF, number, "x" * 100_000) for number in range(4)])
        raw.transport.close()
        items = await world.take(b, 4)
        assert [item.payload[1] for item in items] == [0, 1, 2, 3]
        assert (await world.loss(b)) is items[0].link
        assert items[0].link.clean

    world.run(test)


def test_a_big_message_that_cannot_be_read_resets_even_after_its_turn_came_late(world: Any) -> None:
    async def test() -> None:
        b = await world.node()
        raw = await world.greeted(b)
        raw.say((REF, 0, "x" * 100_000))
        raw.say_text(b"(" * 100_000)
        raw.say((REF, 1))
        assert len(await world.take(b, 1)) == 1
        assert not (await world.loss(b)).clean
        assert b.counters["parse"] == 1

    world.run(test)


def test_a_retired_link_that_is_kept_busy_ends_anyway(memory: Any) -> None:
    async def test() -> None:
        b, key = await memory.node(), memory.key()
        first = await memory.greeted(b, identity=key)
        first.say((REF, 0))
        await memory.greeted(b, identity=key)
        begun = asyncio.get_running_loop().time()
        await memory.until(lambda: first.eof)
        assert 9 < asyncio.get_running_loop().time() - begun < 11

    memory.run(test)


@pytest.mark.parametrize("why", ["an hour", "2^20 records"])
def test_an_old_link_is_renewed(world: Any, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        link = await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        (item,) = await world.take(b, 1)
        await world.settled()
        monkeypatch.setattr(spec, *(("RENEW_AFTER_SECONDS", 0.001) if why == "an hour" else ("RENEW_AFTER_RECORDS", 0)))
        sending = a.send(b.ip, b.port, (IAM, 2), uid=b.uid)
        assert inspect.isawaitable(sending)
        monkeypatch.undo()
        assert (await sending) is not link
        b.send(item.ip, item.port, True, link=item.link)  # still answered where it was asked
        assert (await world.take(a, 1))[0].link is link
        assert (await world.loss(a)) is link
        assert link.clean
        assert (await world.loss(b)).clean
        assert len(a.links) == len(b.links) == 1

    world.run(test)


def test_only_the_end_that_can_dial_renews(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        client, b = world.endpoint(listen=False), await world.node()
        await client.open()
        link = await client.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        await world.take(b, 1)
        monkeypatch.setattr(spec, "RENEW_AFTER_SECONDS", -1.0)
        assert b.send("127.0.0.1", 9, (IAM, 2), uid=client.uid).uid == client.uid
        assert (await world.take(client, 1))[0].link is link
        sending = client.send(b.ip, b.port, (IAM, 3), uid=b.uid)
        assert inspect.isawaitable(sending)
        monkeypatch.undo()
        assert await sending is not link

    world.run(test)


def test_recv_has_one_reader_and_loses_nothing_when_cancelled(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        reading = asyncio.ensure_future(b.recv())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await b.recv()
        reading.cancel()
        await a.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        assert (await world.next(b)).payload == (IAM, 1)
        reading = asyncio.ensure_future(b.recv())
        await asyncio.sleep(0)
        await b.close()
        with pytest.raises(PeerUnreachable) as error:
            await reading
        assert error.value.reason == "closed"
        with pytest.raises(PeerUnreachable):
            b.send(a.ip, a.port, True)

    world.run(test)


def test_a_client_is_answered_and_never_listed(world: Any) -> None:
    async def test() -> None:
        client, b = world.endpoint(listen=False), await world.node()
        await client.open()
        assert client.port == 0
        link = await client.send(b.ip, b.port, (IAM, 1), uid=b.uid)
        (item,) = await world.take(b, 1)
        assert not item.link.listens
        assert item.port > 0
        assert b.send(item.ip, item.port, True, link=item.link) is item.link
        assert b.send(item.ip, item.port, (IAM, 2), uid=client.uid) is item.link
        assert [each.payload for each in await world.take(client, 2)] == [True, (IAM, 2)]
        assert link.listens

    world.run(test)
