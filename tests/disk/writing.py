"""What the tests of the disk share: a node's store written with known records, read back, and compared."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from p2pnb.dht.signature import public_key_of, sign
from p2pnb.dht.store import Put, key_of_request
from p2pnb.disk.disk import Disk
from p2pnb.disk.store import DiskStore
from p2pnb.uid import Key
from p2pnb.wire.messages import BagAdd, NamespaceSet, Set

UID = Key(bytes(range(32)))
SEED = bytes(32)
AUTHOR = public_key_of(SEED)


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Runs `test` on a loop of its own, on which nothing may go unhandled."""
    unhandled: list[dict[str, Any]] = []

    async def whole() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        return await test()

    result = asyncio.run(whole())
    assert not unhandled, unhandled
    return result


def entry(key: int, sequence: int, value: bytes) -> NamespaceSet:
    return NamespaceSet(AUTHOR, key, value, sign(SEED, "", key, sequence, value), sequence)


def requests(seed: int, n: int, start: int = 0) -> Iterator[tuple[Put, int]]:
    """`n` requests of all kinds, each with its publisher."""
    rng = random.Random(seed)
    for i in range(start, start + n):
        kind = rng.random()
        if kind < 0.5:
            yield Set(rng.randbytes(rng.choice((10, 200, 3_000)))), rng.randrange(1, 6)
        elif kind < 0.8:
            yield BagAdd(i % 7, rng.randbytes(32)), rng.randrange(1, 6)
        else:
            yield entry(i % 11, i, rng.randbytes(32)), rng.randrange(1, 6)


class Opened:
    """The store of one node at `path`, open."""

    def __init__(self, path: Path, uid: Key = UID, **options: Any) -> None:
        self.disk = Disk(path, **options)
        self.part = self.disk.part(uid)
        self.store = DiskStore(self.part, self.now, rng=random.Random(1))

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def put(self, request: Put, publisher: int = 5) -> bool:
        """Whether it was acknowledged."""
        answer = self.store.put(request, key_of_request(request), self.now, publisher=publisher)
        if isinstance(answer, bool):
            return answer
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer.then(future.set_result)
        return await future

    async def fill(self, seed: int, n: int) -> None:
        answers = await asyncio.gather(*(self.put(request, publisher) for request, publisher in requests(seed, n, 1_000 * seed)))
        assert all(answers)

    def records(self) -> dict[Any, Any]:
        """All that is kept, by name; times left out."""
        store = self.store
        found: dict[Any, Any] = {("value", key): store.values.kept(key)[1:3] for key in store.values.keys()}
        found |= {("vote", key, *vote): True for key in store.bags.keys() for vote in store.bags.votes(key)}
        return found | {("entry", key): store.namespaces.kept(key)[:3] for key in store.namespaces.keys()}

    def close(self) -> None:
        self.disk.close()


async def written(path: Path, seed: int = 3, n: int = 200) -> dict[Any, Any]:
    """A closed store at `path` with `n` records; what they are."""
    opened = Opened(path)
    await opened.fill(seed, n)
    records = opened.records()
    opened.close()
    return records
