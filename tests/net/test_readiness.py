"""Sockets behind one descriptor of the loop: who hears, in what order, and how many before the loop goes on."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from p2pnb.net.readiness import A_FEW, Readiness, readiness

CHAIN = 3 * A_FEW


class Relay:
    """Passes what it hears on to the next."""

    def __init__(self, heard: list[int], number: int) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.next: Relay | None = None
        self.number = number
        self.heard = heard

    def readable(self) -> None:
        self.near.recv(10)
        self.heard.append(self.number)
        if self.next is not None:
            self.next.far.send(b"x")

    def writable(self) -> None:
        raise AssertionError("nobody asked to write")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has epoll")
def test_what_becomes_ready_meanwhile_is_heard_in_the_same_pass_a_few_at_a_time() -> None:
    passes = hear_a_chain(readiness)
    assert [number // A_FEW for _, number in passes] == [each for each, _ in passes], passes


def test_elsewhere_the_loop_hears_each_in_its_turn() -> None:
    assert [number for _, number in hear_a_chain(Readiness)] == list(range(CHAIN))


def hear_a_chain(make: Callable[[asyncio.AbstractEventLoop], Readiness]) -> list[tuple[int, int]]:
    """In which pass each link of a chain was heard, and which it was."""

    async def test() -> list[tuple[int, int]]:
        loop = asyncio.get_running_loop()
        heard: list[int] = []
        ready = make(loop)
        chain = [Relay(heard, number) for number in range(CHAIN)]
        for one, after in pairwise(chain):
            one.next = after
        for each in chain:
            ready.watch(each.near.fileno(), each)
        chain[0].far.send(b"x")
        passes: list[tuple[int, int]] = []
        for number in range(2 * CHAIN):
            await asyncio.sleep(0)
            passes += [(number, each) for each in heard[len(passes) :]]
        for each in chain:
            ready.forget(each.near.fileno())
            each.near.close()
            each.far.close()
        first = passes[0][0]
        return [(number - first, each) for number, each in passes]

    return asyncio.run(test())
