"""A store on a disk: a directory, the parts of its nodes, and the commits that they share.

    DIR/records.db     what all nodes of one process keep, see `file.py` (and -wal, while it is open)
    DIR/node-0000.key  the identity of node 0, see `p2pnb.peer.identity`; readable by its owner only
    DIR/records.db.damaged-1   a file that could not be read, set aside

One file serves all nodes of a cluster, since an fsync is what a write costs, and a record goes to five of them: one
commit of 64 rows took 0.7 ms here, 64 commits of one row in as many files 17 ms.

Commits come in groups. What nodes write while a commit is under way goes into the next one, so that a commit is as large
as the disk is slow, and nobody waits for a timer. They run on a thread of their own, or with `threads=False` (simulated
time) at once, on the loop. A write is acknowledged by its `Deferred`: True once it is on the disk.

A commit that fails, on a full disk say, answers False. Its rows stay to be written, and for a second the node refuses
what is new; then it tries again. So a store takes writes again when there is room, and the file catches up with memory.

Time: rows carry the store's own clock. It goes on with the loop's clock, which is never set back; across a restart it
goes on by the wall clock's difference, never by less than nothing. So a wall clock that is set back, while the process
runs or between two, makes no record older than it is and none immortal: at most it lives longer by the time it was down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from pathlib import Path

from p2pnb import spec
from p2pnb.brief import brief
from p2pnb.disk.file import RecordsFile
from p2pnb.disk.part import RETRY, Batch, Part
from p2pnb.disk.rows import CLOCK, NODE_BYTES, Name, Row, row
from p2pnb.errors import StoreError
from p2pnb.uid import Key

PURGE = 3_600.0  # seconds between looks for what has expired
TELL_TIME = 60.0
RECORDS = "records.db"
_NOBODY = bytes(NODE_BYTES)  # whose row the clock is
_WALL = struct.Struct(">d")


class Disk:
    """The store in the directory `path`, made if there is none. Raises `StoreError`, with the way out, where it cannot be used.

    Belongs to the running loop. `clock` is the peers' clock (the loop's own by default), `wall` one that goes on between
    processes; `connect` as `RecordsFile` has it. `close()` it when done.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        threads: bool = True,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = _directory(path)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._wall = wall
        self._file = RecordsFile(self.path / RECORDS, connect)
        self._executor = ThreadPoolExecutor(1, "p2pnb-disk") if threads else None
        self._parts: list[Part] = []
        self._next: asyncio.Handle | None = None
        self._writing = False
        self._closed = False
        self._shift = self._moment_at_start() - self._clock()
        self._purge_at = 0.0
        self._told = float("-inf")
        self.commits = 0

    def __repr__(self) -> str:
        return f"<store {self.path}{', closed' if self._closed else ''}>"

    @property
    def notices(self) -> list[str]:
        """What was found damaged, and what became of it."""
        return self._file.notices

    @property
    def now(self) -> float:
        return self._clock()

    def nodes(self) -> set[bytes]:
        """The first 16 bytes of the uids whose records are here."""
        return self._file.nodes() - {_NOBODY}

    def part(self, uid: Key) -> Part:
        """What the node `uid` keeps here; a part that it opened before, in an earlier life, is closed."""
        node = self._let_go(uid)
        self._await_thread()
        return self._part(node, self._rows(node))

    async def read(self, uid: Key) -> Part:
        """As `part`, with the reading and checking on the disk's own thread, where it has one."""
        node = self._let_go(uid)
        rows = self._rows(node) if self._executor is None else await self._loop.run_in_executor(self._executor, self._rows, node)
        return self._part(node, rows)

    def _let_go(self, uid: Key) -> bytes:
        node = bytes(uid[:NODE_BYTES])
        for earlier in [part for part in self._parts if part.node == node]:
            earlier.close()
        return node

    def _rows(self, node: bytes) -> list[Row]:
        try:
            return [each._replace(moment=each.moment - self._shift) for each in self._file.rows(node)]
        except sqlite3.Error as error:
            raise StoreError(f"{self._file.path} cannot be read: {error}; launch again with it, and what is whole will be saved") from error

    def _part(self, node: bytes, rows: list[Row]) -> Part:
        part = Part(self, node, rows)
        self._parts.append(part)
        return part

    def erase(self, uid: Key) -> None:
        """Deletes what the node `uid` keeps here, for experiments. Raises `sqlite3.Error` where the disk does not take that."""
        node = self._let_go(uid)
        self._await_thread()
        self._file.erase(node)

    def forget(self, part: Part) -> None:
        if part in self._parts:
            self._parts.remove(part)

    def close(self) -> None:
        """Ends it; waits for a commit that is under way, and writes nothing more but the time. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._next is not None:
            self._next.cancel()
        for part in list(self._parts):
            part.close()
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        if self.commits:  # one that was only looked at is left as it was
            with contextlib.suppress(sqlite3.Error, OSError):
                self._file.write([self._time()])
        self._file.close()

    # --- committing -------------------------------------------------------------------------------------------------------

    def soon(self) -> None:
        """Commits what is to be written, in this pass of the loop or when the commit under way is done."""
        if self._writing or self._closed:
            return
        if isinstance(self._next, asyncio.TimerHandle):  # a second try of another part, which can come along
            self._next.cancel()
            self._next = None
        if self._next is None:
            self._next = self._loop.call_soon(self._flush, context=Context())

    def _flush(self) -> None:
        self._next = None
        batches = [part.take() for part in self._parts if part.is_waiting and not part.refuses]
        if not batches:
            self._again()
            return
        self._writing = True
        work = partial(self._commit, batches, self._time())
        if self._executor is None:
            self._committed(batches, work())
            return
        future = self._loop.run_in_executor(self._executor, work)
        future.add_done_callback(partial(self._ended, batches), context=Context())

    def _ended(self, batches: list[Batch], future: asyncio.Future[list[Exception | None]]) -> None:
        error = future.exception()
        if isinstance(error, Exception):  # a mistake of ours: said aloud, and nobody waits for ever
            self._loop.call_exception_handler({"message": f"{self!r} could not commit", "exception": error})
            self._committed(batches, [error] * len(batches))
        else:
            self._committed(batches, future.result())

    def _commit(self, batches: list[Batch], time_row: Row) -> list[Exception | None]:
        """On the thread: writes all of it in one transaction; what each batch came to."""
        outcomes: list[Exception | None] = [batch.fault for batch in batches]
        rows, moment = [time_row], time_row.moment
        gone: list[tuple[bytes, int, bytes]] = []
        for batch in batches:
            if batch.fault is None:
                for name, state in batch.writes.items():
                    if state is None:
                        gone.append((batch.part.node, *name))
                    else:
                        rows.append(row(batch.part.node, name, state[0] + self._shift, state[1]()))
        try:
            self._file.write(rows, gone)
            if moment >= self._purge_at:
                self._purge_at = moment + PURGE
                self._file.purge(moment - spec.EXPIRY)
        except (sqlite3.Error, OSError) as error:
            return [outcome or error for outcome in outcomes]
        return outcomes

    def _committed(self, batches: list[Batch], outcomes: list[Exception | None]) -> None:
        self._writing = False
        self.commits += 1
        for batch, error in zip(batches, outcomes, strict=True):
            batch.part.settle(batch, error)
        self._again()

    def _again(self) -> None:
        """The next commit: at once where somebody waits for it, later where only a failed one is to be tried again."""
        waiting = [part for part in self._parts if part.is_waiting]
        if any(not part.refuses for part in waiting):
            self.soon()
        elif waiting and not self._closed and self._next is None:
            self._next = self._loop.call_later(RETRY, self._flush)

    def _await_thread(self) -> None:
        """Until a commit that is under way has been made."""
        if self._executor is not None:
            self._executor.submit(int).result()

    # --- time -------------------------------------------------------------------------------------------------------------

    def _time(self) -> Row:
        """The row that says how late it is, on the store's clock and on the wall's."""
        self._told = self.now
        return row(_NOBODY, Name(CLOCK, b""), self._told + self._shift, _WALL.pack(self._wall()))

    def tell_time(self) -> None:
        """Notes how late it is, where no commit did so within a minute: so a clock that is set meanwhile matters little."""
        if not self._closed and self.now - self._told >= TELL_TIME and self._parts:
            self._parts[0].touch()

    def _moment_at_start(self) -> float:
        wall = self._wall()
        for clock in self._file.rows(_NOBODY, CLOCK):
            (before,) = _WALL.unpack(clock.body)
            return clock.moment + max(0.0, wall - float(before))
        return max((each.moment for node in self._file.nodes() for each in self._file.rows(node)), default=max(0.0, wall))


def _directory(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise brief(TypeError(f'a store is a directory, such as store="my-network", not {path!r}'))
    directory = Path(path).expanduser()
    try:
        if directory.exists() and not directory.is_dir():
            raise StoreError(f"a store is a directory, and {directory} is a file: give another path")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        strangers = [each.name for each in directory.iterdir()]
    except (OSError, ValueError) as error:  # the latter for a path that none can be
        why = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"the store {str(directory)!r:.200} cannot be used: {why}; give another path, or see who owns it") from error
    if strangers and not any(name.startswith(RECORDS) or name.endswith(".key") for name in strangers):
        raise StoreError(f"{directory} holds other things ({sorted(strangers)[0]}, say): give a new directory, or an empty one")
    return directory
