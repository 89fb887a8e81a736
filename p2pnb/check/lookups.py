"""What a lookup of one's own is to do, case by case: 20 points.

Most cases are a script of a few contacts. Their uids are small numbers and the target is 0, so a contact's uid is its distance:
contact 8 is nearer than contact 16. The others are lookups in simulated networks, where whom it found is held against the truth.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

from p2pnb import spec
from p2pnb.check.picture import nobody_asked
from p2pnb.check.report import Case, Report, Tried, listed, report
from p2pnb.check.simulation import Network, nearest, uid_of
from p2pnb.dht.policies import check_lookup
from p2pnb.dht.policy_lookup import PolicyLookup
from p2pnb.views import pictures
from p2pnb.wire.contact import Contact, contact

Policy = Callable[..., Any]

FAR = 1 << 255  # the uid of who looks: farther from the target than all others
NODES, K, LOOKUPS = 256, 8, 8
MOST_RPCS = 40


def lookup(policy: Policy, seed: int = 0) -> Report:
    """Checks a lookup class, such as `check.lookup(MyLookup)`; `p2pnb.dht.policies.LookupPolicy` says what it must have.

    Raises `TypeError` when it lacks something. `seed` chooses the networks and the order of contacts.
    """
    check_lookup(policy)
    return report(policy, CASES, seed)


# --- scripts ----------------------------------------------------------------------------------------------------------


def at(uid: int) -> Contact:
    return contact("127.0.0.1", 1_000 + uid % 50_000, uid)


class Script:
    """A lookup of 0 that is told what the case wants it to hear."""

    def __init__(self, policy: Policy, rng: random.Random, *seeds: int, want: int = 3, alpha: int = 3, own: int = FAR) -> None:
        known = [at(uid) for uid in seeds]
        rng.shuffle(known)
        self._rng = rng
        self.now = 0.0
        self.it = PolicyLookup(policy, 0, own, known, want=want, alpha=alpha, now=0.0)

    def ask(self) -> list[int]:
        """All that it asks now."""
        asked = []
        with pictured(self.it, lambda uid: uid):
            while (chosen := self.it.next(self.now)) is not None:
                asked.append(uid_of(chosen))
        return asked

    def reply(self, uid: int, *hints: int) -> None:
        """`uid` answers and names `hints`, if it was asked."""
        named = [at(hint) for hint in hints]
        self._rng.shuffle(named)
        self.now += 0.1
        self.it.replied(at(uid), named, self.now)

    def fail(self, uid: int) -> None:
        self.now += 0.1
        self.it.failed(at(uid), self.now, dialled=True)

    @property
    def found(self) -> list[int]:
        return [uid_of(each) for each in self.it.nearest]

    @property
    def asked(self) -> list[int]:
        """All that it has asked, in that order."""
        return [uid_of(each) for each in self.it.asked]

    @property
    def state(self) -> str:
        return "finished" if self.it.finished else "not finished"

    def tried(self, right: bool, got: str) -> Tried:
        return Tried(right, got, lambda: drawn(self.it, lambda uid: uid))


def whom_first(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24, 32, 40, 48, 56)
    asked = script.ask()
    return script.tried(bool(asked) and {8, 16, 24}.issuperset(asked), f"asked {listed(asked)}")


def no_rounds(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24, 32, alpha=2)
    script.ask()
    script.reply(8, 4)
    asked = script.ask()
    return script.tried(asked == [4], f"asked {listed(asked)}")


def not_too_early(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24)
    script.ask()
    early = []
    for uid in (8, 16):
        script.reply(uid)
        script.ask()
        early.append(script.it.finished)
    script.reply(24)
    script.ask()
    got = "finished at the first reply" if early[0] else "finished at the second reply" if early[1] else "finished at the third"
    return script.tried(not any(early) and script.it.finished, got if script.it.finished else "not finished at all")


def nearer_at_the_end(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24)
    todo = script.ask()
    while todo:
        uid = todo.pop(0)
        script.reply(uid, *([4] if uid == 24 else []))
        todo += script.ask()
    right = script.it.finished and set(script.found) == {4, 8, 16}
    return script.tried(right, f"asked {listed(script.asked)}, found {listed(script.found)}")


def past_a_failure(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24, want=2)
    script.ask()
    script.fail(8)
    script.ask()
    script.reply(16)
    script.ask()
    script.reply(24)
    script.ask()
    right = script.it.finished and set(script.found) == {16, 24}
    return script.tried(right, f"{script.state}, found {listed(script.found)}")


def all_dead(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24, 32, 40)
    while asked := script.ask():
        for uid in asked:
            script.fail(uid)
    right = script.it.finished and not script.found and script.it.rpcs == 5
    return script.tried(right, f"{script.state} after asking {script.it.rpcs}, found {listed(script.found)}")


def nobody_known(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng)
    asked = script.ask()
    right = script.it.finished and not asked and not script.found
    return script.tried(right, f"{script.state}, found {listed(script.found)}")


def not_itself(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24, own=2)
    script.ask()
    for uid in (8, 16, 24):
        script.reply(uid, 2)
        script.ask()
    right = 2 not in script.asked and 2 not in script.found
    return script.tried(right, f"asked {listed(script.asked)}, found {listed(script.found)}")


def nobody_twice(policy: Policy, rng: random.Random) -> Tried:
    script = Script(policy, rng, 8, 16, 24)
    todo = script.ask()
    while todo:
        script.reply(todo.pop(0), 8, 16, 24, 4, 12)
        todo += script.ask()
    twice = sorted({uid for uid in script.asked if script.asked.count(uid) > 1})
    return script.tried(not twice, f"asked {listed(twice)} again" if twice else "nobody was asked twice")


# --- simulated networks -----------------------------------------------------------------------------------------------


def driven(policy: Policy, network: Network, want: int = K) -> list[PolicyLookup]:
    return [looked_up(policy, network, want) for _ in range(LOOKUPS)]


def looked_up(policy: Policy, network: Network, want: int = K) -> PolicyLookup:
    it = network.lookup(policy, want=want)
    with pictured(it, network.uids.index):
        network.drive(it)
    return it


def at_a_time(policy: Policy, rng: random.Random) -> Tried:
    network = Network(64, K, rng)
    it = looked_up(policy, network)
    return Tried(it.most_flying == it.alpha, f"{it.most_flying} at a time", lambda: drawn(it, network.uids.index))


def finds(policy: Policy, rng: random.Random) -> Tried:
    return _held_against_truth(policy, Network(NODES, K, rng), K)


def finds_among_dead(policy: Policy, rng: random.Random) -> Tried:
    return _held_against_truth(policy, Network(NODES, spec.K, rng, dead=0.3), K)


def _held_against_truth(policy: Policy, network: Network, want: int) -> Tried:
    lookups = driven(policy, network, want)
    wrong = [it for it in lookups if set(it.nearest) != set(network.truth(it))]
    got = f"the {want} nearest in {LOOKUPS - len(wrong)} of {LOOKUPS} lookups"
    dead = sum(each in network.dead for it in wrong for each in it.nearest)
    got += f"; {dead} of those returned are dead" if dead else ""
    return Tried(not wrong, got, lambda: drawn(wrong[0], network.uids.index))


def in_order(policy: Policy, rng: random.Random) -> Tried:
    network = Network(NODES, K, rng)
    lookups = driven(policy, network)
    wrong = [it for it in lookups if not it.nearest or it.nearest != nearest(it.nearest, it.target, it.want)]
    longest = max(len(it.nearest) for it in lookups)
    got = f"{LOOKUPS - len(wrong)} of {LOOKUPS} lists are in order and not too long; the longest has {longest}"
    return Tried(not wrong, got, lambda: drawn(wrong[0], network.uids.index))


def few_requests(policy: Policy, rng: random.Random) -> Tried:
    network = Network(NODES, K, rng)
    lookups = driven(policy, network)
    average = mean(it.rpcs for it in lookups)
    return Tried(0 < average <= MOST_RPCS, f"{average:.1f} requests on average", lambda: drawn(lookups[0], network.uids.index))


def drawn(it: PolicyLookup, position: Callable[[int], int]) -> str:
    """The lookup over time, as SVG text; or that it asked nobody."""
    if not it.asked:
        return nobody_asked(len({event.contact.uid for event in it.events}))
    rows: Iterable[dict[str, Any]] = [
        {
            "time": event.time,
            "event": event.event,
            "uid": event.contact.uid,
            "peer": position(event.contact.uid or 0) if event.contact.uid != it.own else None,
            "hop": event.hop,
            "told_by": event.referrer,
        }
        for event in it.events
    ]
    return pictures.lookup(rows, it.target, own=None if it.own == FAR else it.own)  # so far away, it would leave no room for the others


@contextmanager
def pictured(it: PolicyLookup, position: Callable[[int], int]) -> Iterator[None]:
    """What is raised in the block takes a picture of the lookup with it, as far as that had come."""
    try:
        yield
    except Exception as error:
        error.__dict__["picture"] = lambda: drawn(it, position)
        raise


CASES: list[Case[Policy]] = [
    Case("whom it asks first", 1, "of 8, 16, … 56, known in any order, it asks 8, 16 and 24", whom_first),
    Case("how many at a time", 1, "alpha = 3 are asked at a time, never more, and not fewer while there is somebody to ask", at_a_time),
    Case("no rounds", 2, "8 answers and names 4, 16 is still silent: now 4 is asked, without waiting for 16", no_rounds),
    Case("not too early", 2, "want = 3: finished when all three have answered, not before", not_too_early),
    Case("somebody nearer at the end", 1, "the last of three names 4: it is asked too, and 4, 8 and 16 are found", nearer_at_the_end),
    Case("finds the nearest", 3, f"the {K} nearest of {NODES} nodes in {LOOKUPS} of {LOOKUPS} lookups", finds),
    Case("nearest first", 1, "what it found is sorted by distance, and not more than want", in_order),
    Case("few requests", 2, f"at most {MOST_RPCS} requests a lookup on average: it ends when the nearest have answered", few_requests),
    Case("past a failure", 1, "want = 2, and 8 fails: finished when 16 and 24 have answered, and those are found", past_a_failure),
    Case("30 % are dead", 2, f"the {K} nearest of the living in {LOOKUPS} of {LOOKUPS} lookups", finds_among_dead),
    Case("all are dead", 1, "all five are asked, then it is finished, and nobody was found", all_dead),
    Case("nobody is known", 1, "without seeds it is finished at once", nobody_known),
    Case("not itself", 1, "2, which is looking, is named by others: it neither asks nor finds itself", not_itself),
    Case("nobody twice", 1, "everybody names the same contacts: each is asked once", nobody_twice),
]
