"""What a node had to do with each peer: counted while a link lives, added up when it ends, and bounded."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import dataclass
from typing import Any

from p2pnb.net.dealings import COUNTS, Dealings
from p2pnb.wire.framing import frame
from p2pnb.wire.sexp import Symbol, dumps

REF, SET = Symbol("ref"), Symbol("set")


@dataclass
class Ended:
    uid: int | None
    ip: str = "192.0.2.1"
    reason: str = "reset"
    requests_in: int = 1
    requests_out: int = 2
    bytes_in: int = 30
    bytes_out: int = 40


def test_links_are_counted_both_ways_and_added_up(world: Any) -> None:
    async def test() -> None:
        a, b = await world.nodes(2)
        texts = [dumps((REF, number)) for number in range(3)]
        for number in range(3):
            sent = a.send(b.ip, b.port, (REF, number), uid=b.uid)
            await sent if inspect.isawaitable(sent) else None
            (item,) = await world.take(b, 1)
            b.send(item.ip, item.port, True, link=item.link)
            await world.take(a, 1)
        asked, answered = sum(len(frame(text)) for text in texts), 3 * len(frame(b"#t"))
        (seen,), (heard) = a.traffic(), b.traffic()
        assert (seen["uid"], seen["links"], seen["requests_out"], seen["requests_in"]) == (b.uid, 1, 3, 0)
        assert (seen["bytes_out"], seen["bytes_in"], seen["closed"]) == (asked, answered, 0)
        assert [(row["requests_in"], row["bytes_in"], row["bytes_out"]) for row in heard] == [(3, asked, answered)]
        a.links[0].close("enough")
        await world.loss(b)
        (row,) = b.traffic()
        assert (row["links"], row["closed"], row["requests_in"], row["bytes_in"]) == (0, 1, 3, asked)
        assert row["reasons"] == "reset 1"
        assert a.traffic()[0]["reasons"] == "enough 1"

    world.run(test)


def test_a_stranger_who_proves_nothing_is_an_address(world: Any) -> None:
    async def test() -> None:
        node = await world.node()
        for _ in range(3):
            raw = world.dial(node)
            raw.transport.write(b"GET / HTTP/1.1\r\n\r\n")
            await world.until(lambda raw=raw: raw.lost)
        (row,) = node.traffic()
        assert (row["uid"], row["ip"], row["closed"], row["reasons"]) == (None, "127.0.0.1", 3, "not-a-peer 3")

    world.run(test)


def test_beyond_the_bound_the_oldest_are_one_row_and_the_sums_are_true() -> None:
    book = Dealings(most=10)
    for number in range(100):
        book.ended(Ended(number % 40 if number % 3 else None, ip=f"192.0.2.{number % 7}"))
    rows = book.rows([Ended(1), Ended(1), Ended(1_000)])
    assert len(rows) <= 10 + 1 + 2
    assert {name: sum(row[name] for row in rows) for name in COUNTS} == {name: 103 * getattr(Ended(0), name) for name in COUNTS}
    assert sum(row["closed"] for row in rows) == 100
    assert Counter(row["links"] for row in rows)[2] == 1, "two links of one peer"
    assert rows == book.rows([Ended(1), Ended(1), Ended(1_000)]), "looking changes nothing"
