"""Lookups under any schedule: whatever peers say, in whatever order and however late, the same few things hold.

hypothesis chooses who is known, what each peer would say, and what happens next; a lookup that waits for nothing, asks
anybody twice, or takes more slots than it has, is shrunk to the shortest story that shows it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pnb import address, spec
from p2pnb.dht.lookup import Lookup
from p2pnb.wire.contact import Contact, contact

OWN = 63
OWN_ADDRESS = ("127.0.0.1", 63)
uids = st.integers(0, 63)
ips = st.sampled_from(["127.0.0.1", "10.0.0.1", "93.184.216.34", "::ffff:93.184.216.34", "224.0.0.1", "example.org"])
hints = st.builds(contact, ips, st.sampled_from([0, 1, 2, 3, 63]), st.one_of(uids, uids, uids, st.none()))
seeds = st.lists(st.builds(contact, st.just("127.0.0.1"), st.integers(1, 3), uids), max_size=20)
PATIENCE = 1.0


@dataclass
class Watched:
    """A lookup, and what an observer knows of it."""

    lookup: Lookup
    linked: set[int]
    now: float = 0.0
    waiting: dict[Contact, float] = field(default_factory=dict)  # asked, no outcome yet: since when
    moot: set[Contact] = field(default_factory=set)
    asked: list[Contact] = field(default_factory=list)
    dialled: list[Contact] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)

    def pump(self) -> None:
        while (chosen := self.lookup.next(self.now)) is not None:
            assert chosen not in self.asked, "nobody is asked twice"
            assert chosen.uid != OWN
            assert chosen.address != OWN_ADDRESS
            assert address.is_dialable(*chosen.address)
            assert chosen.uid not in self.answered, "whoever has answered is not sought at another address"
            self.asked.append(chosen)
            self.waiting[chosen] = self.now
            if chosen.uid is None or chosen.uid not in self.linked:
                self.dialled.append(chosen)
            fresh = [each for each, since in self.waiting.items() if self.now < since + PATIENCE and each not in self.moot]
            assert len(fresh) <= self.lookup.alpha
        assert self.lookup.rpcs == len(self.asked)
        assert self.lookup.dials == len(self.dialled) <= spec.MAX_DIALS
        hosts = Counter(each.ip.removeprefix("::ffff:") for each in self.dialled if address.scope_of(each.ip) == address.GLOBAL)
        assert max(hosts.values(), default=0) <= spec.MAX_DIALS_AN_IP
        self._check_what_it_waits_for()

    def _check_what_it_waits_for(self) -> None:
        lookup, wake = self.lookup, self.lookup.wake(self.now)
        if lookup.finished:
            assert wake is None
            return
        assert self.waiting, "it waits for nothing"
        fresh = [since for each, since in self.waiting.items() if self.now < since + PATIENCE and each not in self.moot]
        assert wake is None or wake > self.now
        assert (wake is None) == (not fresh)
        if not fresh:
            assert not lookup.answered(1), "the slow hold up the end only as long as nobody has answered"

    def outcome(self, which: int, kind: str, said: list[Contact]) -> None:
        whom = list(self.waiting)[which % len(self.waiting)]
        uid = whom.uid
        if uid is None and kind in {"replied", "found"}:
            uid = which % 64
            if not self.lookup.connected(whom, uid, self.now):
                self.moot.add(whom)
                return
        del self.waiting[whom]
        if kind == "replied":
            self.lookup.replied(whom, said, self.now)
        elif kind == "found":
            self.lookup.found(whom, self.now)
            assert self.lookup.finished
        else:
            self.lookup.failed(whom, self.now, dialled=kind == "refuted")
        if uid is not None and kind in {"replied", "found"} and whom not in self.moot:
            self.answered.add(uid)
            self.moot.update(each for each in self.waiting if each.uid == uid)

    def check_result(self) -> None:
        nearest = [each.uid for each in self.lookup.answered(1_000)]
        assert set(nearest) == self.answered
        assert nearest == sorted(self.answered, key=lambda uid: uid ^ self.lookup.target)
        assert [each.uid for each in self.lookup.nearest] == nearest[: self.lookup.want]


Story = list[tuple[int, str, list[Contact], float]]
kinds = st.sampled_from(["replied"] * 6 + ["refuted", "refuted", "failed", "pass", "pass", "found"])
steps = st.lists(st.tuples(st.integers(0, 1_000), kinds, st.lists(hints, max_size=25), st.floats(0, 1.5)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(seeds, st.integers(0, 63), st.integers(1, 8), st.integers(1, 5), st.sets(uids, max_size=20), steps)
def test_any_schedule(known: list[Contact], target: int, want: int, alpha: int, linked: set[int], story: Story) -> None:
    lookup = Lookup(
        target, OWN, known, want=want, alpha=alpha, now=0.0, patience=PATIENCE, is_linked=linked.__contains__, own_address=OWN_ADDRESS
    )
    watched = Watched(lookup, linked)
    watched.pump()
    for which, kind, said, later in story:
        if lookup.finished:
            break
        watched.now += later
        watched.pump()
        if kind != "pass" and watched.waiting and not lookup.finished:
            watched.outcome(which, kind, said)
            watched.pump()
    watched.check_result()
    for _ in range(1_000):  # nobody says anything any more: it ends by itself, at the latest with the requests' timeouts
        if lookup.finished:
            break
        wake = lookup.wake(watched.now)
        if wake is None:
            watched.outcome(0, "refuted", [])
        else:
            watched.now = wake
        watched.pump()
    assert lookup.finished
    watched.check_result()
