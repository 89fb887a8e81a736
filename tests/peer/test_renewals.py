"""What a peer published and nobody renews is said, once, and not each hour."""

from __future__ import annotations

import asyncio
import logging

import pytest
from town import peers, simulate, some_value, town, upkeep_of

from p2pnb import Author, key_of, spec
from p2pnb.peer.peer import Peer
from p2pnb.wire.messages import Version


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("p2pnb") and record.levelno >= logging.WARNING]


def test_a_renewal_that_every_replica_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with town(8, 3) as network:
            writer = peers(network)[0]
            key = await writer.set(some_value(3))
            await upkeep_of(writer).republish()
            assert not warnings(caplog)

            async def renewed(full: bool) -> tuple[int, str]:
                for each in peers(network):
                    each.store.drop(key.int)
                    each.store.quota.used = spec.STORE_BYTES * full
                await upkeep_of(writer).republish()
                (last,) = upkeep_of(writer).renewals.values()
                assert last.moment == pytest.approx(writer.clock(), abs=10.0)
                return last.replicas, last.trouble

            for hour in (1, 2):
                replicas, trouble = await renewed(True)
                assert replicas == 0
                assert "nearest peers took it" in trouble
                assert len(warnings(caplog)) == 1, hour
            assert repr(key)[4:-1] in warnings(caplog)[0]
            assert trouble in warnings(caplog)[0]
            assert await renewed(False) == (5, "")
            assert len(warnings(caplog)) == 1
            await renewed(True)
            assert len(warnings(caplog)) == 2, "it was renewed meanwhile: this is news"

    simulate(test)


def test_of_an_entry_the_version_is_renewed_that_its_author_wrote_last(caplog: pytest.LogCaptureFixture) -> None:
    """Elsewhere, on a device that is gone: the newer version lives on, and the old one does not come back when it has expired."""

    async def test() -> None:
        async with town(8, 3) as network:
            author, name = Author.from_seed(bytes(32)), key_of(b"name")
            first, second, *others = peers(network)

            async def write(peer: Peer, value: bytes) -> None:
                await peer.namespace_set(author.private_key, author.public_key, name, value)

            await write(first, bytes(32))
            await upkeep_of(first).republish()
            await write(second, name)
            for peer in (first, second):
                await upkeep_of(peer).republish()
                (published,) = peer.published.values()
                assert (published.value, published.sequence) == (bytes(name), 1)
                (renewal,) = upkeep_of(peer).renewals.values()
                assert renewal.replicas == 5
            upkeep_of(second).stop()
            second.published.clear()
            await asyncio.sleep(spec.EXPIRY + 2 * spec.REPUBLISH)
            assert await others[0].namespace_ref(author.public_key, name) == name
            await write(first, key_of(b"new"))
            await upkeep_of(first).republish()
            assert await others[0].namespace_ref(author.public_key, name) == key_of(b"new")
            assert not warnings(caplog)

    simulate(test)


def test_a_liar_makes_nobody_renew_what_its_author_did_not_write() -> None:
    """A higher number with a signature that does not hold is no newer version."""

    async def test() -> None:
        async with town(8, 3) as network:
            author, name = Author.from_seed(bytes(32)), key_of(b"name")
            writer, *others = peers(network)
            await writer.namespace_set(author.private_key, author.public_key, name, bytes(32))
            (mine,) = writer.published.values()
            lie = Version(bytes(name), bytes(64), 9)
            for each in others:
                each.store.namespaces.put = lambda *_, **__: False  # type: ignore[method-assign]
                each.store.namespaces.get = lambda *_, **__: lie  # type: ignore[method-assign]
            await upkeep_of(writer).republish()
            assert list(writer.published.values()) == [mine]

    simulate(test)
