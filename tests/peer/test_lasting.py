"""A peer with a store of its own, on carrier pigeons: what it keeps, and what it is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pigeons import Loft, end, live

from p2pnb.disk.rows import Pin
from p2pnb.errors import NotFound, StoreError
from p2pnb.peer.identity import Author
from p2pnb.peer.lasting import MOST_PINS
from p2pnb.peer.peer import Peer
from p2pnb.uid import key_of
from p2pnb.wire.messages import Version

SEED = 8


def rng() -> random.Random:
    return random.Random(SEED)  # the same uid each time


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that failed is tried again at once, for it is real time that would pass."""
    for module in ("disk", "part"):
        monkeypatch.setattr(f"p2pnb.disk.{module}.RETRY", 0.02)


async def pair(loft: Loft, store: Path, **options: Any) -> tuple[Peer, Peer]:
    """A peer with a store, and one without that knows it."""
    keeper = loft.peer(1, rng(), store=store, **options)
    other = loft.peer(2, random.Random(2), **options)
    assert await other.connect("127.0.0.1", 1)
    assert await keeper.connect("127.0.0.1", 2)
    return keeper, other


def test_what_it_kept_published_and_pinned_is_there_in_its_next_life(tmp_path: Path) -> None:
    async def test() -> None:
        loft, author = Loft(), Author.create()
        keeper, other = await pair(loft, tmp_path)
        key = await other.set(b"value")
        mine = await keeper.set(b"mine")
        await other.bag_publish(key, key)
        name = key_of(b"name")
        signature = await other.namespace_set(author.private_key, author.public_key, name, key)
        assert await keeper.namespace_ref(author.public_key, name, signature) == key
        before = keeper.store.rows(keeper.clock())
        await end([keeper, other])
        loft = Loft()
        again = loft.peer(1, rng(), store=tmp_path)
        after = again.store.rows(again.clock())
        for kind in ("values", "bags", "namespaces"):
            timeless = [[{name: row[name] for name in row if not name.endswith("_s")} for row in rows[kind]] for rows in (before, after)]
            assert timeless[0] == timeless[1]
        assert [type(each).__name__ for each in again.published.values()] == ["Set"]
        assert await again.ref(mine) == b"mine"
        for point in again.store.keys():
            again.store.drop(point)
        assert await again.namespace_ref(author.public_key, name, signature) == key, "pinned"
        with pytest.raises(NotFound):
            await again.namespace_ref(author.public_key, name, bytes(64))
        await end([again])

    live(test)


def test_it_finds_those_it_knew(tmp_path: Path) -> None:
    async def test() -> None:
        loft = Loft()
        keeper, other = await pair(loft, tmp_path)
        await keeper.close()
        again = loft.peer(1, rng(), store=tmp_path)
        assert [each.uid for each in again.lasting.contacts] == [other.own]
        assert len(again.table) == 0, "an address of an earlier life is hearsay"
        await again.bootstrap()
        assert again.table.get(other.own) is not None
        await end([again, other])

    live(test)


@pytest.mark.usefixtures("soon")
def test_a_full_disk_answers_no_and_the_peer_lives(tmp_path: Path) -> None:
    async def test() -> None:
        loft = Loft()
        keeper, other = await pair(loft, tmp_path)
        part = keeper.lasting.part
        assert part is not None
        part.fault = lambda: OSError(28, "No space left on device")
        loft.flown.clear()
        key = await other.set(b"value")
        assert False in loft.flown, "#f"
        assert other.last.stored == 1
        assert await keeper.ref(key) == b"value"
        part.fault = None
        await end([keeper, other])

    live(test)


def test_pins_are_bounded(tmp_path: Path) -> None:
    async def test() -> None:
        loft, author = Loft(), Author.from_seed(bytes(32))
        keeper, other = await pair(loft, tmp_path)
        for number in range(3):
            await other.namespace_set(author.private_key, author.public_key, key_of(b"%d" % number), bytes(32))
        for number in range(MOST_PINS + 5):
            keeper.lasting.pin(Pin(author.public_key, number, Version(bytes(32), number.to_bytes(64, "big"), 0)))
        assert len(keeper.lasting.pins) == MOST_PINS
        await end([keeper, other])

    live(test)


def test_the_store_of_another_peer_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        loft = Loft()
        keeper, other = await pair(loft, tmp_path)
        await other.set(b"value")
        await end([keeper, other])
        before = (tmp_path / "records.db").read_bytes()
        with pytest.raises(StoreError, match=r"is the store of the node \w{8}…, not of \w{8}…: it was left as it is; give another path"):
            loft.peer(3, random.Random(77), store=tmp_path)
        with pytest.raises(StoreError, match="written in the network '', not 'class-7'"):
            loft.peer(1, rng(), store=tmp_path, network="class-7")
        assert (tmp_path / "records.db").read_bytes() == before
        again = loft.peer(1, rng(), store=tmp_path)
        assert len(again.store)
        await end([again])

    live(test)


def test_two_peers_on_one_store(tmp_path: Path) -> None:
    async def test() -> None:
        loft = Loft()
        keeper = loft.peer(1, rng(), store=tmp_path)
        with pytest.raises(StoreError, match="is in use"):
            loft.peer(1, rng(), store=tmp_path)
        await end([keeper])

    live(test)


@pytest.mark.usefixtures("soon")
def test_a_disk_that_fails_while_something_is_published(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is stored, and its publisher warned; the disk is tried again."""

    async def test() -> None:
        keeper, other = await pair(Loft(), tmp_path)
        part = keeper.lasting.part
        assert part is not None
        part.fault = lambda: OSError("no space left")
        key = await keeper.set(b"mine")
        assert "a restart would forget it until the disk works again" in caplog.text
        assert await other.ref(key) == b"mine"
        part.fault = None
        assert await part.flushed()
        await end([keeper, other])
        again = Loft().peer(1, rng(), store=tmp_path)
        assert len(again.published) == 1
        await end([again])

    live(test)
