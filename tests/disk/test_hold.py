"""One at a time: a store that is in use stays so whatever its owner looks at, and ends to be so when its owner ends."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from writing import Opened, run, written

from p2pnb.disk.file import RecordsFile
from p2pnb.errors import StoreError

TAKE = """
import sys
from pathlib import Path
from p2pnb.disk.file import RecordsFile
from p2pnb.errors import StoreError
try:
    RecordsFile(Path(sys.argv[1])).close()
    print("it got in")
except StoreError as error:
    print(error)
"""

LEAVE_A_CHILD = """
import os, sys, time
from pathlib import Path
from p2pnb.disk.file import RecordsFile
file = RecordsFile(Path(sys.argv[1]))
child = os.fork()
if not child:
    os.close(1)
    os.close(2)
    time.sleep(600)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


def other_process(script: str, path: Path) -> str:
    return subprocess.run([sys.executable, "-c", script, str(path)], check=False, capture_output=True, text=True, timeout=60).stdout


def test_no_other_process_gets_in_whatever_the_owner_looks_at(tmp_path: Path) -> None:
    async def test() -> None:
        await written(tmp_path / "store", n=20)
        opened = Opened(tmp_path / "store")
        path = tmp_path / "store" / "records.db"
        shutil.copytree(path.parent, tmp_path / "copy")  # closes a descriptor of each file
        with pytest.raises(StoreError, match="in use by another process, or by another cluster of this one"):
            RecordsFile(path)
        assert "in use by another process" in other_process(TAKE, path)
        opened.close()
        RecordsFile(path).close()

    run(test)


def test_a_child_does_not_hold_it_when_its_parent_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    child = int(other_process(LEAVE_A_CHILD, path))
    try:
        RecordsFile(path).close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_whoever_forgets_to_close_it_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    RecordsFile(path)
    gc.collect()  # a connection of SQLite is part of a cycle
    RecordsFile(path).close()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_left_alone(tmp_path: Path, make: object) -> None:
    path = tmp_path / "records.db"
    make(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match="is no regular file: it was left as it is"):
        RecordsFile(path)
    assert not path.is_file()


@pytest.mark.parametrize("path", ["", 3, b"store", None])
def test_what_is_no_path(path: Any) -> None:
    async def test() -> None:
        with pytest.raises(TypeError, match="a store is a directory, such as"):
            Opened(path)

    run(test)


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_a_path_that_none_can_be(tmp_path: Path, name: str) -> None:
    async def test() -> None:
        with pytest.raises(StoreError, match=r"cannot be used: .*; give another path"):
            Opened(tmp_path / name)

    run(test)
