"""Damaged files: each record is as it was written, or it is not there and that is said; and the node starts."""

from __future__ import annotations

import gc
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from writing import Opened, run, written

from p2pnb.dht.signature import version_holds
from p2pnb.disk.wal import committed_frames
from p2pnb.errors import StoreError
from p2pnb.wire.messages import Set

Harm = Callable[[bytearray, random.Random], None]


def flip(octets: bytearray, rng: random.Random) -> None:
    octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)


def flip_in_header(octets: bytearray, rng: random.Random) -> None:
    octets[rng.randrange(100)] ^= 1 << rng.randrange(8)


def cut(octets: bytearray, rng: random.Random) -> None:
    del octets[rng.randrange(len(octets)) :]


def tear(octets: bytearray, rng: random.Random) -> None:
    """A page that was never written."""
    start = rng.randrange(0, len(octets), 4_096)
    octets[start : start + 4_096] = bytes(len(octets[start : start + 4_096]))


class Sources:
    """The same records twice: in a database that was closed, and in one whose process was killed, with all of it in its log."""

    def __init__(self, path: Path) -> None:
        self.closed, self.killed, self._copy = path / "closed", path / "killed", path / "copy"
        self.truth: dict[Any, Any] = {}

    async def write(self) -> None:
        opened = Opened(self.closed)
        for seed in range(10):
            await opened.fill(seed, 20)
        self.truth = opened.records()
        shutil.copytree(self.closed, self.killed)
        opened.close()

    async def outcome(self, source: Path, name: str, harm: Harm, seed: int) -> str:
        """What becomes of a copy after `harm`: "whole", "lost" and said so, "cut" without a word, or "refused"."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(source, self._copy)
        octets = bytearray((self._copy / name).read_bytes())
        harm(octets, random.Random(seed))
        (self._copy / name).write_bytes(octets)
        try:
            opened = Opened(self._copy)
        except StoreError:
            assert (self._copy / name).read_bytes() == octets, "it is left as it was"
            return "refused"
        found, notices = opened.records(), list(opened.disk.notices)
        for name_of_record, content in found.items():
            assert self._is_right(name_of_record, content), (seed, name_of_record)
        assert await opened.put(Set(b"it takes writes")), seed
        opened.close()
        return "whole" if found == self.truth else "lost" if notices else "cut"

    def _is_right(self, name: Any, content: Any) -> bool:
        if name[0] != "entry":
            return bool(content == self.truth[name])
        public, key, versions = content  # older ones than the last four, where the end is lost: each says itself that it is right
        return all(version_holds("", public, key, each) for each in versions)


async def outcomes(path: Path, killed: bool, harm: Harm, times: int) -> Counter[str]:
    sources = Sources(path)
    await sources.write()
    source, name = (sources.killed, "records.db-wal") if killed else (sources.closed, "records.db")
    return Counter([await sources.outcome(source, name, harm, seed) for seed in range(times)])


@pytest.mark.parametrize(
    ("killed", "harm", "allowed"),
    [
        (False, flip, {"whole", "lost"}),
        (False, flip_in_header, {"whole", "lost", "refused"}),
        (False, cut, {"whole", "lost"}),
        (False, tear, {"whole", "lost"}),
        (True, flip, {"whole", "lost"}),
        (True, tear, {"whole", "lost", "cut"}),  # a log that ends early looks as one whose end was never written
        (True, cut, {"whole", "lost", "cut"}),
    ],
)
@pytest.mark.parametrize("times", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_every_record_is_as_it_was_or_is_missed(tmp_path: Path, killed: bool, harm: Harm, allowed: set[str], times: int) -> None:
    found = run(lambda: outcomes(tmp_path, killed, harm, times))
    assert set(found) <= allowed, found
    assert found["whole"] < times, "nothing was harmed"


@pytest.mark.parametrize("octets", [b"not a database", b"x" * 10_000])
def test_a_file_that_is_none_of_sqlites_is_set_aside(tmp_path: Path, octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        await written(tmp_path, n=20)
        (tmp_path / "records.db").write_bytes(octets)
        opened = Opened(tmp_path)
        assert opened.records() == {}
        assert await opened.put(Set(b"it takes writes"))
        (notice,) = opened.disk.notices
        assert "is not a file of SQLite: it was set aside as records.db.damaged-1" in notice
        assert notice in caplog.messages
        opened.close()

    run(test)
    assert (tmp_path / "records.db.damaged-1").read_bytes() == octets


def test_an_earlier_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    async def test() -> None:
        for number in (1, 2):
            (tmp_path / "records.db").write_bytes(b"%d" % number * 200)
            Opened(tmp_path).close()

    run(test)
    assert (tmp_path / "records.db.damaged-1").read_bytes() == b"1" * 200
    assert (tmp_path / "records.db.damaged-2").read_bytes() == b"2" * 200


def test_rows_that_are_well_formed_and_wrong_are_not_believed(tmp_path: Path) -> None:
    """What SQLite does not notice: a value of another row, a moment that was changed, a row of another node."""

    async def test() -> None:
        before = await written(tmp_path, n=100)
        connection = sqlite3.connect(tmp_path / "records.db")
        for change in ("body = x'00'", "moment = moment + 1", "node = x'00'", "kind = 200", "name = x'00'", "sum = x''", "body = 'text'"):
            one = "SELECT name FROM records WHERE kind = 3 AND length(sum) = 16 AND length(body) > 4 ORDER BY random() LIMIT 1"
            connection.execute(f"UPDATE records SET {change} WHERE name = ({one})")
        connection.commit()
        connection.close()
        opened = Opened(tmp_path)
        found = opened.records()
        assert len(found) in range(len(before) - 7, len(before))
        assert all(before[name] == content for name, content in found.items())
        assert "damaged records" in opened.disk.notices[0]
        opened.close()
        again = Opened(tmp_path)
        assert (again.records(), again.disk.notices) == (found, []), "it is said once"
        again.close()

    run(test)


@pytest.mark.parametrize("missing", [1, 4_096])
def test_a_last_frame_that_was_killed_before_its_page_is_no_damage(tmp_path: Path, missing: int) -> None:
    salts, page = b"saltsalt", bytes(4_096)
    frame = (1).to_bytes(4, "big") + (7).to_bytes(4, "big") + salts + bytes(8) + page  # the second number: it ends a transaction
    log = tmp_path / "log"
    log.write_bytes(bytes(16) + salts + bytes(8) + frame + frame)
    assert committed_frames(log, len(page)) == 2
    log.write_bytes(log.read_bytes()[:-missing])
    assert committed_frames(log, len(page)) == 1


def test_a_log_that_was_just_begun_anew_is_no_damage(tmp_path: Path) -> None:
    """Its header is new, and what lies behind it is of the one before. But the salts of a frame may be damaged, too."""
    path, log = tmp_path / "records.db", tmp_path / "records.db-wal"
    base = sqlite3.connect(path, isolation_level=None)
    (page,) = base.execute("PRAGMA page_size").fetchone()
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("CREATE TABLE kept (value)")
    base.execute("INSERT INTO kept VALUES (1)")
    before = log.read_bytes()
    assert committed_frames(log, page) > 1
    base.execute("PRAGMA wal_checkpoint")
    base.execute("UPDATE kept SET value = 2")
    after = log.read_bytes()
    assert after[:32] != before[:32]
    assert committed_frames(log, page) == 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(after[:32] + before[32:])
    assert committed_frames(damaged, page) == 0
    for at in (*range(32), *range(40, 48)):
        damaged.write_bytes(after[:at] + bytes([after[at] ^ 4]) + after[at + 1 :])
        assert committed_frames(damaged, page) == 1, f"byte {at} is wrong"
    base.close()


def test_a_bit_that_flips_in_a_name_costs_one_record_and_hides_no_other(tmp_path: Path) -> None:
    """The rows stand in the order of their names: where one is wrong, looking for it, or for its neighbours, goes astray."""

    async def test() -> None:
        before = await written(tmp_path / "whole", n=60)
        octets = (tmp_path / "whole" / "records.db").read_bytes()
        opened = Opened(tmp_path / "whole")
        node = opened.part.node
        opened.close()
        places = [at for at in range(len(octets)) if octets.startswith(node, at)]
        assert len(places) > 50
        for at in places[:: len(places) // 5]:
            for bit in (0x80, 0x01):
                path = tmp_path / f"{at}-{bit}"
                path.mkdir()
                (path / "records.db").write_bytes(octets[:at] + bytes([octets[at] ^ bit]) + octets[at + 1 :])
                opened = Opened(path)
                assert opened.disk.nodes() == {node}, "nobody else's records are here"
                found = opened.records()
                assert len(before) - 1 <= len(found)
                assert all(before[name] == content for name, content in found.items())
                opened.close()
                again = Opened(path)
                assert (again.records(), again.disk.notices) == (found, []), "it is said once"
                again.close()

    run(test)


class Killed(BaseException):
    """In the place of `kill -9`: what was done before is done, and nothing else."""


def test_whoever_is_killed_while_saving_loses_nothing_that_could_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        await written(tmp_path / "whole", n=200)
        octets = bytearray((tmp_path / "whole" / "records.db").read_bytes())
        middle = len(octets) // 2 // 4_096 * 4_096
        octets[middle : middle + 4_096] = bytes(4_096)

        def damaged(name: str) -> Path:
            (tmp_path / name).mkdir()
            (tmp_path / name / "records.db").write_bytes(octets)
            return tmp_path / name

        opened = Opened(damaged("saved"))
        wanted = opened.records()
        assert len(wanted) > 100
        opened.close()
        replace = os.replace
        for last in range(5):
            path, steps = damaged(f"killed at {last}"), iter(range(10))

            def step(*paths: Any, steps: Any = steps, last: int = last) -> None:
                if next(steps) == last:
                    raise Killed
                replace(*paths)

            with monkeypatch.context() as patched:
                patched.setattr(os, "replace", step)
                try:
                    Opened(path).close()
                    assert last == 4, "three files that are set aside, and the one that takes their place"
                except Killed:
                    pass
            gc.collect()
            opened = Opened(path)
            assert opened.records() == wanted
            opened.close()
            assert sorted(each.name for each in path.glob("*")) == ["records.db", "records.db.damaged-1"]

    run(test)


def test_the_log_of_a_file_that_was_set_aside_is_not_taken_for_that_of_the_new_one(tmp_path: Path) -> None:
    async def test() -> None:
        wanted = await written(tmp_path / "whole", n=100)
        opened = Opened(tmp_path / "other")
        await opened.fill(8, 100)
        torn = tmp_path / "torn"
        torn.mkdir()
        (torn / "records.db.saved").write_bytes((tmp_path / "whole" / "records.db").read_bytes())
        log = (tmp_path / "other" / "records.db-wal").read_bytes()
        (torn / "records.db-wal").write_bytes(log)
        (torn / "records.db.damaged-1").write_bytes(b"what was set aside")
        opened.close()
        opened = Opened(torn)
        assert opened.records() == wanted
        opened.close()
        assert (torn / "records.db.damaged-1-wal").read_bytes() == log

    run(test)


def test_of_a_file_that_was_cut_short_something_is_saved(tmp_path: Path) -> None:
    async def test() -> None:
        before = await written(tmp_path, n=400)
        octets = (tmp_path / "records.db").read_bytes()
        (tmp_path / "records.db").write_bytes(octets[: len(octets) * 9 // 10])
        opened = Opened(tmp_path)
        found = opened.records()
        assert found
        assert all(before[name] == content for name, content in found.items())
        assert "was set aside as records.db.damaged-1" in opened.disk.notices[0]
        opened.close()

    run(test)
