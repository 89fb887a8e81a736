"""The file of a store: rows in SQLite, opened with suspicion and held by one process.

It is one table of rows, each with its checksum (see `rows.py`), in WAL mode with `synchronous=FULL`: when `write` has
returned, the rows have been handed to the disk with fsync. Killing the process at any moment loses nothing of that, nor
does a loss of power, as far as the disk keeps what it acknowledged.

Opening it: a file of a newer version or of another program is refused and left as it was. A file that somebody has open is
refused (see `hold.py`). A file that is damaged is set aside under another name, never deleted, and what of it can still be
read and has its right checksum is carried over into a new one; so a node starts with what is left, and its replicas have
the rest. `notices` says what happened.

`connect` is `sqlite3.connect`, or what a test puts in its place.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from p2pnb.disk.hold import Hold
from p2pnb.disk.rows import PURGED, Row, is_whole
from p2pnb.disk.wal import committed_frames
from p2pnb.errors import StoreError

log = logging.getLogger("p2pnb.disk")

VERSION = 1  # of the schema, in SQLite's user_version
APPLICATION = 0x70327031  # "p2p1", in SQLite's application_id
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes
_PAGE = 4_096
_CIRCUMSTANCES = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
}  # fmt: skip
_LOG_LIMIT = 16_000_000  # to which the write-ahead log is cut after a checkpoint

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS records (node BLOB NOT NULL, kind INTEGER NOT NULL, name BLOB NOT NULL,"
    " moment REAL NOT NULL, body BLOB NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (node, kind, name)) WITHOUT ROWID"
)
_PUT = (
    "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node, kind, name)"
    " DO UPDATE SET moment = excluded.moment, body = excluded.body, sum = excluded.sum"
)
_DELETE = "DELETE FROM records WHERE node = ? AND kind = ? AND name = ?"
_READ = "SELECT node, kind, name, moment, body, sum FROM records"
_PURGE = f"DELETE FROM records WHERE moment <= ? AND kind IN ({', '.join(map(str, PURGED))})"


class RecordsFile:
    """The file at `path`, open. Raises `StoreError` where it cannot be used. Its methods may be called from any thread, one at a time."""

    def __init__(self, path: Path, connect: Callable[..., sqlite3.Connection] = sqlite3.connect) -> None:
        self.path = path
        self.notices: list[str] = []
        self._connect = connect
        try:
            self._hold = Hold(path.parent)
        except BlockingIOError:
            raise self._in_use() from None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}; give another path, or see who owns it") from error
        try:
            self._connection = self._open()
        except BaseException as error:
            self._hold.release()
            if not isinstance(error, sqlite3.Error):
                raise
            raise StoreError(f"{path} cannot be opened: {error}; see whether the disk is in order and has room") from error

    def write(self, rows: Iterable[Row], gone: Iterable[tuple[bytes, int, bytes]] = ()) -> None:
        """All of this or nothing, on the disk when it returns. Raises `sqlite3.Error` or `OSError` when the disk does not take it."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_PUT, rows)
            connection.executemany(_DELETE, gone)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def rows(self, node: bytes, kind: int | None = None) -> list[Row]:
        """Those of one node."""
        only = "" if kind is None else f" AND kind = {kind:d}"
        return [Row(*each) for each in self._connection.execute(f"{_READ} WHERE node = ?{only}", (node,)) if is_whole(each)]

    def nodes(self) -> set[bytes]:
        """Whose rows there are."""
        return {each[0] for each in self._connection.execute("SELECT DISTINCT node FROM records") if each[0]}

    def purge(self, moment: float) -> None:
        """Deletes what expires and was set at `moment` or before."""
        self._connection.execute(_PURGE, (moment,))

    def erase(self, node: bytes) -> None:
        """Deletes all rows of one node."""
        self._connection.execute("DELETE FROM records WHERE node = ?", (node,))

    def close(self) -> None:
        self._connection.close()
        self._hold.release()

    # --- opening ----------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        self._finish_saving()
        state = self._inspect()
        if state == "damaged":
            self._set_aside("is not a file of SQLite")
            state = "new"
        if state == "new":
            return self._create(self.path)
        expected = committed_frames(self._log_path, _PAGE)
        connection = self._attach(self.path)
        try:
            trouble = self._trouble(connection) or ("its header" if state == "unwritable" else "")
            if not trouble:
                self._compare_log(connection, expected)
                self._weed(connection)
                return connection
            saved = list(_salvage(connection))
        except BaseException:
            connection.close()
            raise
        connection.close()
        fresh = self._create(self._saved_path)
        try:
            self._replace(fresh, saved)
            fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file that will be renamed
        finally:
            fresh.close()
        self._set_aside(f"is damaged ({trouble})", len(saved))
        os.replace(self._saved_path, self.path)
        return self._attach(self.path)

    @property
    def _saved_path(self) -> Path:
        """Where what was saved of a damaged file is put together: it takes that one's place when it is whole."""
        return Path(f"{self.path}.saved")

    def _finish_saving(self) -> None:
        """A process may have ended while it saved what it could: before the damaged file was set aside all of it is done again."""
        if self._saved_path.exists():
            if self.path.exists():
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self._saved_path}{suffix}").unlink(missing_ok=True)
            else:
                self._move("-wal", "-shm", to=self._aside(self._number_of_asides()))  # or they would be taken for those of the new file
                os.replace(self._saved_path, self.path)

    @property
    def _log_path(self) -> Path:
        return Path(f"{self.path}-wal")

    def _compare_log(self, connection: sqlite3.Connection, expected: int) -> None:
        """Says so when SQLite believed less of the log than it ought to have had."""
        connection.execute("PRAGMA journal_mode=WAL")
        if connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] < expected:
            self._notice(f"{self._log_path} was damaged: what was written last is lost; replicas may still have it")

    def _weed(self, connection: sqlite3.Connection) -> None:
        """Drops the rows that are not as they were written, and says how many.

        Where a name is damaged, rows stand in the wrong order, and looking for one does not find it: all are written anew.
        """
        last: tuple[Any, ...] = ()
        damaged, ordered = 0, True
        for each in connection.execute(_READ):
            if is_whole(each):
                ordered, last = ordered and last < each[:3], each[:3]
            else:
                damaged += 1
        if damaged or not ordered:
            saved = sorted(_salvage(connection), key=_moment)
            self._replace(connection, saved)
            self._notice(f"{damaged} damaged records of {self.path} were dropped; replicas may still have them")

    def _replace(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        """These rows in the place of all that there are."""
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM records")
        connection.executemany(_PUT, rows)
        connection.execute("COMMIT")

    def _inspect(self) -> str:
        """What is at the path, looked at without SQLite, which would already change it."""
        try:
            if self.path.exists() and not self.path.is_file():  # reading from a pipe would wait for ever
                raise StoreError(f"{self.path} is no regular file: it was left as it is; give another path")
            with self.path.open("rb") as file:
                header = file.read(_HEADER)
        except FileNotFoundError:
            header = b""
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}; give another path, or see who owns it") from error
        if not header:
            return "damaged" if self._log_path.exists() and self._log_path.stat().st_size else "new"
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            return "damaged"
        (version,), (application,) = struct.unpack(">i", header[60:64]), struct.unpack(">i", header[68:72])
        if application == APPLICATION and version > VERSION:
            newer = f"was written by a newer p2pnb (schema {version}, this one knows {VERSION})"
            raise StoreError(f"{self.path} {newer}: it was left as it is; update p2pnb")
        if (version, application) == (0, 0):
            return "begun"  # a new one whose creation was cut short, or any database of somebody else
        if (version, application) != (VERSION, APPLICATION):
            raise StoreError(f"{self.path} is no store of p2pnb: it was left as it is; give another path")
        return "ours" if header[18:20] in (b"\1\1", b"\2\2") else "unwritable"  # SQLite would open it for reading only

    def _attach(self, path: Path) -> sqlite3.Connection:
        connection = self._connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)
        connection.text_factory = bytes
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # from the first reading on, until it is closed
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA page_size={_PAGE}")
            connection.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if _is_damage(error):
                return connection  # what it is, is found out next
            connection.close()
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise self._in_use() from None
            raise StoreError(f"{self.path} cannot be opened: {error}; see whether it may be written here") from error
        return connection

    def _in_use(self) -> StoreError:
        used = "is in use by another process, or by another cluster of this one (running its cell again closes it)"
        return StoreError(f"{self.path} {used}: close that one first, or give another path")

    def _trouble(self, connection: sqlite3.Connection) -> str:
        """What is wrong with the file as a whole; "" when nothing is."""
        try:
            tables = {name.decode("utf-8", "replace") for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if tables - {"records"}:
                raise StoreError(f"{self.path} is no store of p2pnb: it was left as it is; give another path")
            if not tables:
                self._write_schema(connection)
            connection.execute(f"{_READ} LIMIT 1").fetchone()
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return "" if verdict == b"ok" else verdict.decode("utf-8", "replace")
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise StoreError(f"{self.path} cannot be read: {error}; see whether the disk is in order") from error
            return str(error)

    def _create(self, path: Path) -> sqlite3.Connection:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # SQLite gives its other files the same permissions
        except OSError as error:
            raise StoreError(f"{path} cannot be created: {error.strerror}; give another path") from error
        connection = self._attach(path)
        try:
            self._write_schema(connection)
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"{path} cannot be created: {error}; is the disk full?") from error
        return connection

    def _write_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the header can be inspected

    def _set_aside(self, why: str, saved: int = 0) -> None:
        aside = self._aside(self._number_of_asides() + 1)
        self._move("", "-wal", "-shm", to=aside)
        done = f"it was set aside as {aside.name}, and {saved} of its records were saved; replicas may still have the others"
        self._notice(f"{self.path} {why}: {done}")

    def _aside(self, number: int) -> Path:
        return Path(f"{self.path}.damaged-{number}")

    def _number_of_asides(self) -> int:
        number = 0
        while self._aside(number + 1).exists():
            number += 1
        return number

    def _move(self, *suffixes: str, to: Path) -> None:
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{to}{suffix}")

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        log.warning("%s", text)


def _moment(row: Row) -> float:
    return row.moment


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says something of the file, rather than of the disk, of permissions or of who else uses it."""
    return error.sqlite_errorcode & 0xFF not in _CIRCUMSTANCES


def _salvage(connection: sqlite3.Connection) -> Iterator[Row]:
    """The rows that can still be read and are as they were written, from either end of a damaged table."""
    seen: set[tuple[Any, ...]] = set()
    connection.execute("PRAGMA writable_schema=ON")  # or nothing of a file that is too short could be read
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error):
            for each in connection.execute(f"{_READ} ORDER BY node {direction}, kind {direction}, name {direction}"):
                if each[:3] not in seen and is_whole(each):
                    seen.add(each[:3])
                    yield Row(*each)
