"""A process that writes to a store and is killed with SIGKILL at a random moment, again and again.

    python tests/disk/killed.py DIR --times 200 --seed 1

The parent imports everything once and forks; each child opens the store and writes, many requests at a time, and tells
through a pipe what was acknowledged. The parent kills it, reads what the pipe has, and opens the store: everything that
was ever acknowledged must be there. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from writing import Opened, requests

from p2pnb.dht.store import key_of_request
from p2pnb.errors import StoreError
from p2pnb.wire.messages import BagAdd, Set

AT_ONCE = 16
LIVES = 20  # of one store
LONGEST = 0.1  # seconds until a child is killed


async def write(path: Path, seed: int, start: int, told: int) -> None:
    """Writes for ever; each acknowledged request's number goes to the pipe `told`."""
    opened = Opened(path)
    source = enumerate(requests(seed, 1_000_000, start), start)

    async def one_after_the_other() -> None:
        for number, (request, publisher) in source:
            if await opened.put(request, publisher):
                os.write(told, b"%d\n" % number)

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


def child(path: Path, seed: int, start: int, told: int) -> None:
    try:
        asyncio.run(write(path, seed, start, told))
    except BaseException as error:  # it was to live until it is killed
        os.write(told, f"died {error!r}\n".encode())
    os._exit(1)


def is_there(opened: Opened, request: Any, publisher: int) -> bool:
    """Whether the store has it: of an entry, this version or newer ones that took its place."""
    key = key_of_request(request)
    if isinstance(request, Set):
        kept = opened.store.values.kept(key)
        return kept is not None and kept.value == request.value
    if isinstance(request, BagAdd):
        return opened.store.bags.kept(key, request.value, publisher) is not None
    entry = opened.store.namespaces.kept(key)
    return entry is not None and (entry.versions[0].sequence > request.sequence or request.value in {each.value for each in entry.versions})


async def missing(path: Path, acknowledged: dict[int, tuple[Any, int]]) -> tuple[int, list[str]]:
    opened = Opened(path)
    lost = sum(not is_there(opened, *acknowledged[number]) for number in acknowledged)
    notices = list(opened.disk.notices)
    opened.close()
    return lost, notices


async def refused(path: Path) -> bool:
    try:
        Opened(path).close()
    except StoreError:
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    total: dict[str, Any] = {"kills": 0, "acknowledged": 0, "lost": 0, "locked": 0, "notices": [], "died": []}
    for life in range(options.times):
        if life % LIVES == 0:
            path, acknowledged = options.path / f"store-{life}", {}
        seed, start = rng.getrandbits(32), life * 1_000_000  # sequence numbers rise from one life to the next
        reading, told = os.pipe()
        pid = os.fork()
        if not pid:
            child(path, seed, start, told)
        os.close(told)
        time.sleep(rng.uniform(0.0, LONGEST))
        if life % LIVES == 7:  # while it is alive, nobody else may open it
            os.read(reading, 1)
            total["locked"] += asyncio.run(refused(path))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with open(reading, "rb") as pipe:
            lines = [line for line in pipe.read().split(b"\n")[:-1] if line]
        total["died"] += [line.decode() for line in lines if line.startswith(b"died")]
        numbers = [int(line) for line in lines if line.isdigit()][life % LIVES == 7 :]  # of one, a digit was read above
        source = dict(enumerate(requests(seed, max(numbers, default=start) - start + 1, start), start))
        acknowledged |= {number: source[number] for number in numbers}
        lost, notices = asyncio.run(missing(path, acknowledged))
        total["kills"] += 1
        total["acknowledged"] += len(numbers)
        total["lost"] += lost
        total["notices"] += notices
    sys.stdout.write(json.dumps(total))


if __name__ == "__main__":
    main()
