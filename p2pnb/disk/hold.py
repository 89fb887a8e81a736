"""Who has a store open: one at a time, of all processes and within each.

SQLite's own locks are POSIX locks, which a process loses as soon as it closes any other descriptor of the file: after a look at
its header, or a copy that somebody makes of it in a cell, another process could open what is in use, and both would write.
A lock of the directory (`flock`) belongs to the descriptor that took it, and ends with it, however the process ends. What is forked
off meanwhile gives its copy of the descriptor back, or it would hold the store beyond its parent's death.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

_held: set[int] = set()


class Hold:
    """The directory, held until `release`, or until nobody has this. Raises `BlockingIOError` when somebody else has it.

    Where a file system has no such locks, SQLite's are all there is.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY)
        _held.add(self._descriptor)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                self.release()
                raise BlockingIOError(error.errno, error.strerror) from error

    def release(self) -> None:
        """Idempotent. In a process that was forked off it does nothing."""
        if self._descriptor in _held:
            _held.remove(self._descriptor)
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)

    def __del__(self) -> None:
        self.release()


def _forked() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forked)
