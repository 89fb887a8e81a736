"""What tests of calls share: work that answers, work that fails, and work held at a gate until the test opens it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from p2pnb.cluster.background import background


class Gate:
    """Work that ends when the test says so, and says how it ended."""

    def __init__(self) -> None:
        self._event = asyncio.Event()  # belongs to the loop that first waits on it: the cluster's
        self.entered = threading.Event()
        self.left = threading.Event()

    async def hold(self, result: Any = "result") -> Any:
        self.entered.set()
        try:
            await self._event.wait()
            if isinstance(result, BaseException):
                raise result
            return result
        finally:
            self.left.set()

    def open(self) -> None:
        background().call(self._event.set)


async def answer(value: Any = 42) -> Any:
    return value


async def fail(error: BaseException) -> Any:
    raise error


async def awaited(awaitable: Any) -> Any:
    return await awaitable
