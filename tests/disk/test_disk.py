"""A node's store on a disk: what was acknowledged is there again, as it was, and nothing else."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from writing import AUTHOR, UID, Opened, entry, requests, run, written

from p2pnb import spec
from p2pnb.dht.deferred import Deferred
from p2pnb.dht.namespaces import point_of
from p2pnb.dht.store import key_of_request
from p2pnb.disk.disk import PURGE
from p2pnb.disk.part import RETRY
from p2pnb.disk.rows import value_at
from p2pnb.disk.store import DiskStore
from p2pnb.errors import StoreError
from p2pnb.net.virtual import VirtualLoop
from p2pnb.uid import key_of
from p2pnb.wire.messages import BagAdd, NamespaceSet, Set, Value

HOUR = 3_600.0


def simulate(test: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(test())


class Wall:
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.ahead = 1_700_000_000.0

    def __call__(self) -> float:
        return self.ahead + asyncio.get_running_loop().time()


def test_all_kinds_come_back_with_publishers_and_versions(tmp_path: Path) -> None:
    async def test() -> None:
        before = await written(tmp_path / "store")
        again = Opened(tmp_path / "store")
        assert again.records() == before
        assert {name[0] for name in before} == {"value", "vote", "entry"}
        assert again.disk.notices == []
        assert again.store.dropped == 0
        again.close()

    run(test)


def test_an_answer_waits_for_the_commit(tmp_path: Path) -> None:
    async def test() -> None:
        gate = threading.Event()

        class Slow(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql == "COMMIT" and armed:
                    assert gate.wait(30)
                return super().execute(sql, *arguments)

        armed: list[bool] = []
        opened = Opened(tmp_path / "store", connect=lambda path, **options: sqlite3.connect(path, factory=Slow, **options))
        armed.append(True)
        first = asyncio.ensure_future(opened.put(Set(b"first")))
        for _ in range(20):
            await asyncio.sleep(0.001)
        later = [asyncio.ensure_future(opened.put(Set(b"%d" % i))) for i in range(50)]
        await asyncio.sleep(0.01)
        assert not first.done()
        assert not any(each.done() for each in later)
        commits = opened.disk.commits
        gate.set()
        assert await asyncio.gather(first, *later) == [True] * 51
        assert opened.disk.commits == commits + 2, "what comes during a commit goes into the next one"
        opened.close()

    run(test)


def test_what_changes_nothing_is_answered_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        assert await opened.put(Set(b"cats"))
        request = Set(b"cats", 60)  # a hand-over of what is there
        assert opened.store.put(request, key_of_request(request), opened.now, publisher=5) is True
        opened.close()

    run(test)


def test_what_is_dropped_stays_dropped(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        await opened.fill(4, 100)
        for key in list(opened.store.keys())[::2]:
            opened.store.drop(key)
        assert await opened.part.flushed()
        left = opened.records()
        opened.close()
        again = Opened(tmp_path / "store")
        assert again.records() == left
        assert 0 < len(left) < 100
        again.close()

    run(test)


def test_ages_go_on_while_it_is_down_and_what_expired_is_gone(tmp_path: Path) -> None:
    wall = Wall()

    async def test() -> None:
        opened = Opened(tmp_path / "store", wall=wall, threads=False)
        assert await opened.put(Set(b"old"))
        await asyncio.sleep(2 * HOUR)
        assert await opened.put(Set(b"young"))
        opened.close()
        wall.ahead += 22.5 * HOUR
        again = Opened(tmp_path / "store", wall=wall, threads=False)
        rows = again.store.values.rows(again.now)
        assert [(row["key"], round(row["age_s"] / HOUR, 2)) for row in rows] == [(key_of(b"young").int, 22.5)]
        await asyncio.sleep(2 * HOUR)
        assert again.store.values.rows(again.now) == []
        assert await again.put(Set(b"new"))
        again.close()
        last = Opened(tmp_path / "store", wall=wall, threads=False)
        assert [name[1] for name in last.records()] == [key_of(b"new").int]
        last.close()

    simulate(test)


def test_a_wall_clock_set_back_makes_nothing_immortal_and_nothing_younger(tmp_path: Path) -> None:
    wall = Wall()

    async def test() -> None:
        opened = Opened(tmp_path / "store", wall=wall, threads=False)
        assert await opened.put(Set(b"value"))
        for lives in range(1, 24):
            await asyncio.sleep(HOUR)
            wall.ahead -= 1_000 * HOUR
            assert await opened.put(Set(b"%d" % lives))
            opened.close()
            wall.ahead -= 1_000 * HOUR
            opened = Opened(tmp_path / "store", wall=wall, threads=False)
            ages = {row["key"]: row["age_s"] for row in opened.store.values.rows(opened.now)}
            assert ages[key_of(b"value").int] == pytest.approx(lives * HOUR, abs=0.1)
        await asyncio.sleep(HOUR + 1)
        assert key_of(b"value").int not in opened.store.keys() or opened.store.values.get(key_of(b"value").int, opened.now) is None
        opened.close()

    simulate(test)


def test_what_expired_leaves_the_file(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store", wall=Wall(), threads=False)
        await opened.fill(5, 50)
        await asyncio.sleep(spec.EXPIRY + PURGE)
        assert await opened.put(Set(b"one"))
        await asyncio.sleep(1)
        (count,) = opened.disk._file._connection.execute("SELECT count(*) FROM records WHERE kind > 2").fetchone()
        assert count == 1
        opened.close()

    simulate(test)


def test_versions_and_sequence_numbers_do_not_fall_back(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        for sequence in range(6):
            assert await opened.put(entry(1, sequence, bytes([sequence]) * 32))
        opened.close()
        again = Opened(tmp_path / "store")
        kept = again.store.namespaces.kept(point_of(AUTHOR, 1))
        assert kept is not None
        assert [each.sequence for each in kept.versions] == [2, 3, 4, 5]
        assert not await again.put(entry(1, 4, bytes(32)))
        again.close()

    run(test)


# --- a disk that fails --------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_and_takes_writes_again_when_there_is_room(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store", wall=Wall(), threads=False)
        assert await opened.put(Set(b"before"))
        connection = opened.disk._file._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 4}")
        answers = [await opened.put(Set(b"%04d" % i * 1_000)) for i in range(10)]
        assert answers[0] is True
        assert answers[-1] is False
        assert opened.part.failures
        assert opened.store.values.get(key_of(b"before").int, opened.now) == Value(b"before", 0), "it lives, and answers"
        connection.execute("PRAGMA max_page_count=1000000")
        await asyncio.sleep(RETRY)
        assert await opened.put(Set(b"after" * 1_000))
        records = opened.records()
        opened.close()
        again = Opened(tmp_path / "store", wall=Wall(), threads=False)
        assert again.records() == records, "the file has caught up with memory"
        again.close()

    simulate(test)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")])
def test_a_fault_of_one_node_leaves_the_others(tmp_path: Path, error: Exception) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store", threads=False)
        other = opened.disk.part(key_of(b"another node"))
        opened.part.fault = lambda: error
        assert not await opened.put(Set(b"value"))
        assert await asyncio.wait_for(_write(other), 30)
        opened.part.fault = None
        await asyncio.sleep(RETRY)
        assert await opened.put(Set(b"value"))
        opened.close()

    simulate(test)


async def _write(part: Any) -> bool:
    part.write(value_at(1), lambda: (0.0, lambda: b"body"))
    return bool(await part.flushed())


def test_a_failed_write_is_answered_once_the_retry_has_it(tmp_path: Path) -> None:
    """What was refused while the disk failed is not lost to the file: memory has it, and readers may have seen it."""
    async def test() -> None:
        opened = Opened(tmp_path / "store", threads=False)
        opened.part.fault = lambda: OSError(5, "Input/output error")
        assert not await opened.put(entry(1, 7, bytes(32)))
        opened.part.fault = None
        await asyncio.sleep(2 * RETRY)
        opened.close()
        again = Opened(tmp_path / "store", threads=False)
        assert [name[0] for name in again.records()] == ["entry"]
        again.close()

    simulate(test)


def test_a_mistake_while_committing_is_said_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    async def test() -> None:
        unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        opened = Opened(tmp_path / "store")
        opened.part.write(value_at(1), lambda: (0.0, lambda: 1 / 0))
        assert not await opened.part.flushed()
        assert [type(each["exception"]) for each in unhandled] == [ZeroDivisionError]
        opened.close()

    run(test)


def test_a_file_that_goes_bad_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")

        def broken(*_: Any) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

        monkeypatch.setattr(opened.disk._file, "rows", broken)
        with pytest.raises(StoreError, match="malformed; launch again with it, and what is whole will be saved"):
            opened.disk.part(UID)
        opened.close()

    run(test)


# --- quotas -------------------------------------------------------------------------------------------------------------


def test_quotas_are_as_they_were(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        await opened.fill(6, 300)
        used = opened.store.quota.used
        for i in range(spec.BAG_VALUES_A_PUBLISHER):
            assert await opened.put(BagAdd(99, bytes([i]) * 32), publisher=77)
        assert not await opened.put(BagAdd(99, b"\xff" * 32), publisher=77)
        used = opened.store.quota.used
        opened.close()
        again = Opened(tmp_path / "store")
        assert again.store.quota.used == used
        assert not await again.put(BagAdd(99, b"\xff" * 32), publisher=77)
        assert await again.put(BagAdd(99, b"\xff" * 32), publisher=78)
        for name in again.records():
            again.store.drop(name[1])
        assert again.store.quota.used == 0
        again.close()

    run(test)


# --- who may open it ------------------------------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_it_is_the_owners_alone(tmp_path: Path) -> None:
    run(lambda: written(tmp_path / "a" / "store"))
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "store").st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "store").iterdir()} == {0o600}


def test_a_store_that_is_in_use_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        await opened.fill(1, 10)
        with pytest.raises(StoreError, match=r"records\.db is in use .*: close that one first, or give another path"):
            Opened(tmp_path / "store")
        assert await opened.put(Set(b"and the first one goes on"))
        opened.close()
        Opened(tmp_path / "store").close()

    run(test)


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        await written(tmp_path / "store")
        with sqlite3.connect(tmp_path / "store" / "records.db") as connection:
            connection.execute("PRAGMA user_version=2")
        connection.close()
        before = contents(tmp_path / "store")
        with pytest.raises(StoreError, match=r"newer p2pnb \(schema 2, this one knows 1\): it was left as it is; update p2pnb"):
            Opened(tmp_path / "store")
        assert contents(tmp_path / "store") == before

    run(test)


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "store").mkdir()
        with sqlite3.connect(tmp_path / "store" / "records.db") as connection:
            connection.execute("CREATE TABLE cats (name)")
        connection.close()
        before = contents(tmp_path / "store")
        with pytest.raises(StoreError, match="is no store of p2pnb"):
            Opened(tmp_path / "store")
        assert contents(tmp_path / "store") == before

    run(test)


def test_a_directory_of_other_things_a_file_and_a_place_that_is_not_ours_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.tex").write_text("x")
        with pytest.raises(StoreError, match=r"holds other things \(thesis.tex, say\): give a new directory"):
            Opened(tmp_path / "home")
        with pytest.raises(StoreError, match="a store is a directory"):
            Opened(tmp_path / "home" / "thesis.tex")
        with pytest.raises(StoreError, match="cannot be used"):
            Opened(tmp_path / "home" / "thesis.tex" / "store")
        assert contents(tmp_path / "home") == {"thesis.tex": b"x"}

    run(test)


def test_two_lives_in_one_process(tmp_path: Path) -> None:
    """A node that is restarted while its cluster has the store open; what it had not acknowledged may be lost, and no more."""
    async def test() -> None:
        opened = Opened(tmp_path / "store")
        await opened.fill(2, 50)
        records = opened.records()
        answers: list[bool] = []
        answer = opened.store.put(Set(b"not yet"), key_of(b"not yet").int, opened.now, publisher=1)
        assert isinstance(answer, Deferred)
        answer.then(answers.append)
        opened.part.close()
        assert answers == [False]
        opened.store = DiskStore(opened.disk.part(UID), opened.now, rng=random.Random(1))
        assert opened.records() == records
        opened.close()

    run(test)


def test_requests_of_the_tests_are_of_all_kinds() -> None:
    assert {type(request) for request, _ in requests(1, 50)} == {Set, BagAdd, NamespaceSet}
