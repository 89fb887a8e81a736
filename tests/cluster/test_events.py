"""The log's columns: what goes in comes out, and only the newest are kept."""

from __future__ import annotations

import random

from p2pnb.cluster.events import Events
from p2pnb.peer.report import Event


def test_events_come_out_as_they_went_in_and_only_the_newest_stay() -> None:
    rng, log, told = random.Random(1), Events(40), list[Event]()
    for i in range(500):
        answered = rng.random() < 0.8
        event = Event(
            rng.random(), rng.getrandbits(256), rng.choice([None, rng.getrandbits(256)]), "ref", "value" if answered else "timeout",
            rng.randrange(1_000_004), rng.randrange(1_000_004), rng.random() if answered else None, f"ref#{i}",
            rng.choice([None, ["a", "b"]]),
        )  # fmt: skip
        log.append(event)
        told.append(event)
        assert list(log) == told[-40:]
        assert (len(log), log.count) == (min(len(told), 40), len(told))
        assert list(log.newest(3)) == told[-3:]
    assert list(log.newest(0)) == []
    assert list(log.newest(400)) == told[-40:]
    log.clear()
    assert not log
    assert list(log) == list(log.newest(5)) == []
    assert log.count == 500
