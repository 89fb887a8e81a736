"""Which buckets a join has to fill, and which of them take somebody at once."""

from __future__ import annotations

from p2pnb.dht.table import RoutingTable
from p2pnb.wire.contact import contact

OWN = 0


def test_far_buckets_are_farther_than_so_many_of_the_nearest() -> None:
    table = RoutingTable(OWN, k=3)
    for bucket in (0, 0, 1, 3, 3, 4):
        table.seen(contact("127.0.0.1", 1 + len(table), (1 << (255 - bucket)) + len(table)), 0.0, dialled=True)
    assert [table.far_buckets(near) for near in range(1, 8)] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2], [0], [0], [], []]
    assert [table.room(bucket) for bucket in range(6)] == [1, 2, 3, 1, 2, 3]
    table.seen(contact("127.0.0.1", 99, (1 << 255) + 99), 0.0, dialled=True)
    assert table.room(0) == 0
