"""What a peer published and nobody renews is said, once, and not each hour."""

from __future__ import annotations

import asyncio
import logging

import pytest
from town import peers, simulate, some_value, town, upkeep_of

from p2pnb import Author, key_of, spec
from p2pnb.errors import NotFound
from p2pnb.peer.peer import Peer


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


def test_an_entry_of_which_a_newer_version_was_written_elsewhere_is_renewed_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """It would come back when the newer one has expired."""

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
                assert len(peer.published) == 1
                await upkeep_of(peer).republish()
            assert (len(first.published), len(second.published)) == (0, 1)
            assert not upkeep_of(first).renewals
            assert not warnings(caplog)
            upkeep_of(second).stop()
            second.published.clear()
            await asyncio.sleep(spec.EXPIRY + 2 * spec.REPUBLISH)
            with pytest.raises(NotFound):
                await others[0].namespace_ref(author.public_key, name)
            await write(first, key_of(b"new"))
            assert len(first.published) == 1

    simulate(test)
