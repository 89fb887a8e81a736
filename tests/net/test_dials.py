"""Conformance: dialling. Who waits for whom, which of two links stays, and what is said when nobody can be reached."""

from __future__ import annotations

import asyncio
import errno
import random
from typing import Any

import pytest

from p2pnb.errors import PeerUnreachable
from p2pnb.net.endpoint import Endpoint
from p2pnb.net.memory import MemoryNetwork
from p2pnb.net.tcp import TcpCarrier
from p2pnb.wire.noise import StaticKey
from p2pnb.wire.sexp import Symbol

IAM, REF = Symbol("iam"), Symbol("ref")


async def reason(world: Any, sending: Any) -> str:
    """Why a message could not be sent; its text must say more than the word."""
    with pytest.raises(PeerUnreachable) as error:
        await asyncio.wait_for(sending, 20)
    assert len(str(error.value)) > 25
    return error.value.reason


def test_all_who_want_an_address_share_one_dial(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        links = await asyncio.gather(*[a.send(b.ip, b.port, (REF, n), uid=b.uid if n % 2 else None) for n in range(10)])
        assert len(set(links)) == 1
        assert [item.payload[1] for item in await world.take(b, 10)] == list(range(10))
        assert len(b.links) == len(b._links) == 1

    world.run(test)


def test_simultaneous_dials_leave_the_link_of_the_smaller_uid(world: Any) -> None:
    async def pair() -> None:
        a, b = sorted(await world.nodes(2), key=lambda each: each.uid)
        await asyncio.gather(a.send(b.ip, b.port, (IAM, 1), uid=b.uid), b.send(a.ip, a.port, (IAM, 2), uid=a.uid))
        (at_b,), (at_a,) = await world.take(b, 1), await world.take(a, 1)
        assert (at_b.payload, at_a.payload) == ((IAM, 1), (IAM, 2))
        b.send(at_b.ip, at_b.port, True, link=at_b.link)
        a.send(at_a.ip, at_a.port, False, link=at_a.link)
        assert [(await world.take(each, 1))[0].payload for each in (a, b)] == [True, False]
        await world.until(lambda: len(a._links) == len(b._links) == 1)
        (kept_by_a,), (kept_by_b,) = a.links, b.links
        assert (kept_by_a.outbound, kept_by_b.outbound) == (True, False)
        assert set(a.counters) | set(b.counters) <= {"retired", "finished"}, "the other one ended in order"

    async def test() -> None:
        await asyncio.gather(*[pair() for _ in range(5)])

    world.run(test)


def test_a_newer_link_of_the_same_direction_replaces_the_older(world: Any) -> None:
    async def test() -> None:
        b, key = await world.node(), world.key()
        first = await world.greeted(b, identity=key)
        first.say((REF, 1))
        (asked,) = await world.take(b, 1)
        second = await world.greeted(b, identity=key)
        await world.until(lambda: b.links and b.links[0] is not asked.link)
        b.send(asked.ip, asked.port, True, link=asked.link)
        await world.until(lambda: first.eof)
        assert first.data == [True], "what was asked on the old one is still answered on it"
        assert b.send("127.0.0.1", 1, (REF, 2), uid=key.uid).uid == key.uid
        await world.until(lambda: second.data == [(REF, 2)])

    world.run(test)


def test_who_waits_for_a_uid_is_served_by_a_link_that_comes_in(world: Any) -> None:
    async def test() -> None:
        a, b, c = await world.nodes(3)
        c.kill(silent=True)
        waiting = asyncio.ensure_future(a.send(c.ip, c.port, (REF, 1), uid=b.uid))  # a wrong address for b, where nobody answers
        await world.settled()
        assert not waiting.done()
        await b.send(a.ip, a.port, (IAM, 2), uid=a.uid)
        assert (await waiting).uid == b.uid
        assert (await world.take(b, 1))[0].payload == (REF, 1)

    world.run(test)


def test_a_dial_that_expects_a_uid_refuses_another(world: Any) -> None:
    async def test() -> None:
        a, b, c = await world.nodes(3)
        one, other = await asyncio.gather(
            reason(world, a.send(b.ip, b.port, (IAM, 1), uid=c.uid)), reason(world, a.send(b.ip, b.port, (IAM, 1), uid=c.uid ^ 1))
        )
        assert (one, other) == ("wrong-uid", "wrong-uid")
        await world.until(lambda: not a._links and not b._links)
        assert not a.links
        assert a.counters["wrong-uid"] == 1
        wrong, right, anyone = await asyncio.gather(
            reason(world, a.send(b.ip, b.port, (IAM, 1), uid=c.uid)),
            a.send(b.ip, b.port, (IAM, 2), uid=b.uid),
            a.send(b.ip, b.port, (IAM, 3)),
        )
        assert wrong == "wrong-uid"
        assert right is anyone

    world.run(test)


def test_a_dial_goes_on_when_one_of_those_who_wait_gives_up(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        gives_up, *others = [a.send(b.ip, b.port, (REF, n), uid=b.uid) for n in range(3)]
        gives_up.cancel()
        await asyncio.gather(*others)
        assert isinstance(gives_up.outcome, asyncio.CancelledError)
        assert [item.payload[1] for item in await world.take(b, 2)] == [1, 2]
        lonely = asyncio.ensure_future(a.send(b.ip, 9, (REF, 1), uid=5))
        await asyncio.sleep(0)
        lonely.cancel()
        await world.settled()

    world.run(test)


def test_why_nobody_can_be_reached(world: Any) -> None:
    async def test() -> None:
        a = await world.node(handshake_timeout=0.5)
        gone, other, twin = await world.nodes(3, network="")
        silent = await world.node()
        await gone.close()
        silent.kill(silent=True)
        stranger = await world.node(network="class-8")
        assert await reason(world, a.send(gone.ip, gone.port, (IAM, 1), uid=gone.uid)) == "refused"
        assert await reason(world, a.send(silent.ip, silent.port, (IAM, 1), uid=silent.uid)) == "timeout"
        assert await reason(world, a.send(stranger.ip, stranger.port, (IAM, 1))) == "other-network"
        assert await reason(world, a.send(a.ip, a.port, (IAM, 1))) == "self"
        assert await reason(world, a.send(other.ip, other.port, (IAM, 1), uid=a.uid)) == "self"
        for nowhere in (("localhost", 80), ("example.org", 80), ("224.0.0.1", 80), ("0.0.0.0", 80), ("127.0.0.1", 0), ("", 1)):
            assert await reason(world, a.send(*nowhere, (IAM, 1))) == "unreachable"
        await twin.close()
        assert await reason(world, _later(twin, a)) == "closed"
        assert not a._dials

    world.run(test)


async def _later(endpoint: Endpoint, other: Endpoint) -> None:
    endpoint.send(other.ip, other.port, True)


def test_the_own_key_at_another_address_is_oneself(world: Any) -> None:
    async def test() -> None:
        key = world.key()
        a, b = await world.node(identity=key), await world.node(identity=key)
        assert await reason(world, a.send(b.ip, b.port, (IAM, 1))) == "self"
        await world.until(lambda: not b._links)
        assert not b.links

    world.run(test)


@pytest.mark.parametrize("banner", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x60" + bytes(96), b"SSH-2.0-x\r\n", bytes(4)])
def test_what_is_no_peer(world: Any, banner: bytes) -> None:
    class Server(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(banner) if banner else self.transport.close()

        def pause_writing(self) -> None:
            raise AssertionError

    async def test() -> None:
        listener = world.carrier.listen(lambda ip, port: Server(), "127.0.0.1", 0)
        a = await world.node()
        # a second handshake message that does not open may also come from a network of another name
        expected = {"not-a-peer", "other-network"} if len(banner) == 98 else {"not-a-peer"}
        assert await reason(world, a.send("127.0.0.1", listener.port, (IAM, 1))) in expected
        listener.close()

    world.run(test)


def test_a_port_in_use_is_named(world: Any) -> None:
    async def test() -> None:
        a = await world.node()
        b = world.endpoint(port=a.port)
        with pytest.raises(OSError, match=f"port {a.port} on 127.0.0.1 is in use.*port=0") as error:
            await b.open()
        assert error.value.errno == errno.EADDRINUSE
        free = await world.node()
        await free.close()
        c = await world.node(ports=[a.port, free.port])
        assert c.port == free.port, "a port that was closed can be opened again"
        d = world.endpoint(ports=[a.port, c.port])
        with pytest.raises(OSError, match=f"every port from {a.port} to {c.port} on"):
            await d.open()

    world.run(test)


def test_mistakes_in_the_arguments() -> None:
    network = MemoryNetwork(random.Random(1))
    with pytest.raises(TypeError, match="StaticKey"):
        Endpoint(network, 5)
    with pytest.raises(ValueError, match="encrypted links only"):
        Endpoint(TcpCarrier(), StaticKey.generate(), encryption=False)
    with pytest.raises(RuntimeError):
        _ = network.loop
    asyncio.run(Endpoint(network, 5, encryption=False).open())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(Endpoint(network, 5, encryption=False).open())
