"""Peers whose every answer, and its time, a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from p2pnb import spec
from p2pnb.errors import RequestTimeout
from p2pnb.wire.contact import Contact, contact
from p2pnb.wire.messages import Request, to_datum

# What a peer answers to a request, and after how many seconds
Answer = Callable[[Contact, Request], tuple[float, Any]]
SILENT = (spec.REQUEST_TIMEOUT, RequestTimeout("silent"))
EIGHT = [contact("127.0.0.1", 4_000 + i, i) for i in range(1, 9)]


class Oracle:
    """Whoever sends the requests: it notes them, and answers as `answer` says."""

    closed = False

    def __init__(self, answer: Answer) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.asked: list[tuple[float, int, Request]] = []
        self._answer = answer

    def clock(self) -> float:
        return self.loop.time()

    def written(self, request: Request) -> Any:
        return to_datum(request)

    def ask(self, whom: Contact, request: Request, done: Any, datum: Any = None, cause: str | None = None) -> None:
        self.asked.append((round(self.clock() - self.began, 6), whom.port - 4_000, request))
        seconds, outcome = self._answer(whom, request)
        self.loop.call_later(seconds, done, whom, outcome)

    @property
    def order(self) -> list[tuple[float, int]]:
        return [(when, whom) for when, whom, _ in self.asked]

    @property
    def elapsed(self) -> float:
        return round(self.clock() - self.began, 6)
