"""A dial: an attempt to reach an address, which everybody who wants that address shares, each with the uid he expects there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pnb.net.link import Link


class Dial:
    """Who waits for an address."""

    __slots__ = ("expected", "waiting")

    def __init__(self) -> None:
        self.expected: set[int | None] = set()
        self.waiting: list[tuple[asyncio.Future[Link], int | None]] = []
