"""A third of the peers lies in what it names, over 50 seeds: lookups are right, and nobody who proved nothing is in a table."""

from __future__ import annotations

import asyncio
import random
from statistics import quantiles
from typing import Any

import pytest

from p2pnb.errors import P2PError
from p2pnb.lab.town import Resident, Town, simulated
from p2pnb.uid import BITS, Key, key_of
from p2pnb.wire.contact import contact
from p2pnb.wire.messages import Nearest, Peers, Ref, Request, Value

SEEDS = range(50)
KINDS = ("invents", "moves", "hides", "falsifies")
N, LIARS, LOOKUPS = 24, 0.3, 8


def lying(kind: str, town: Town, villains: list[Resident], honest: list[Resident]) -> Any:
    """What a liar answers: peers who do not exist, true peers at false addresses, only each other, or another value."""
    friends = Nearest(tuple(each.contact for each in villains))

    def lie(request: Request, truth: Any) -> Any:
        if not isinstance(request, (Ref, Peers)):
            return truth
        if kind == "falsifies" and isinstance(request, Ref):
            return Value(b"poison")
        if kind == "hides":
            return friends
        uids = [request.key ^ town.rng.getrandbits(200) for _ in range(20)]
        if kind == "moves":
            uids = sorted([each.endpoint.uid for each in honest], key=lambda uid: uid ^ request.key)[:20]
        return Nearest(tuple(contact("127.0.0.1", town.rng.randrange(30_000, 60_000), uid) for uid in uids))

    return lie


async def poisoned(seed: int) -> tuple[int, int]:
    """How many of the lookups are right, and how many there were."""
    kind = KINDS[seed % len(KINDS)]
    right = 0
    async with Town(seed, k=8) as town:
        residents = await town.grow(N)
        values = [b"%d of %d" % (number, seed) for number in range(LOOKUPS)]
        for value in values:
            await town.rng.choice(residents).peer.set(value)
        villains = town.rng.sample(residents, round(N * LIARS))
        honest = [each for each in residents if each not in villains]
        for villain in villains:
            villain.lie(lying(kind, town, villains, honest))
        liars = {each.endpoint.uid for each in villains}
        for value in values:
            asker, target = town.rng.choice(honest), town.rng.getrandbits(BITS)
            try:
                right += await asker.peer.ref(key_of(value)) == value
            except P2PError:
                pass
            found = {each.uid for each in (await asker.peer.lookup(Key.from_int(target), want=5)).nearest}
            right += set(town.honest(target, liars, asker)) <= found
        true = {each.contact for each in residents}
        for each in residents:
            assert set(each.peer.table) <= true, f"seed {seed}: a table holds who was never verified"
    return right, 2 * LOOKUPS


@pytest.mark.slow
def test_with_30_percent_liars_99_of_100_lookups_are_right() -> None:
    outcomes = {seed: simulated(poisoned, seed) for seed in SEEDS}
    right, asked = (sum(each) for each in zip(*outcomes.values(), strict=True))
    worst = sorted(outcomes, key=lambda seed: outcomes[seed][0])[:3]
    assert right >= 0.99 * asked, f"{right} of {asked}; worst seeds: { {seed: outcomes[seed] for seed in worst} }"


@pytest.mark.parametrize("seed", random.Random(1).sample(SEEDS, 4))
def test_some_of_the_seeds(seed: int) -> None:
    right, asked = simulated(poisoned, seed)
    assert right >= 0.9 * asked


# --- black holes --------------------------------------------------------------------------------------------------------

SECONDS = 2.0  # of a lookup; the same liars cost it 7 s when each of their inventions was waited for


async def swallowed(seed: int, n: int) -> tuple[int, int, list[float]]:
    """A third of the peers names black holes near the target: how many lookups are right, how many there were, and what they took."""
    right, took = 0, list[float]()
    async with Town(seed, k=8) as town:
        residents = await town.grow(n)
        holes = [await town.hole() for _ in range(20)]
        villains = town.rng.sample(residents, round(n * LIARS))
        honest = [each for each in residents if each not in villains]
        for villain in villains:

            def lie(request: Request, truth: Any) -> Any:
                if not isinstance(request, (Ref, Peers)):
                    return truth
                near = [request.key ^ town.rng.getrandbits(200) for _ in holes]
                return Nearest(tuple(contact(hole.ip, hole.port, uid) for hole, uid in zip(holes, near, strict=True)))

            villain.lie(lie)
        liars, now = {each.endpoint.uid for each in villains}, asyncio.get_running_loop().time
        for _ in range(LOOKUPS):
            asker, target, begun = town.rng.choice(honest), town.rng.getrandbits(BITS), now()
            found = {each.uid for each in (await asker.peer.lookup(Key.from_int(target), want=5)).nearest}
            took.append(now() - begun)
            right += set(town.honest(target, liars, asker)) <= found
    return right, LOOKUPS, took


@pytest.mark.parametrize("n", [24, pytest.param(60, marks=pytest.mark.slow)])
def test_30_percent_liars_who_name_black_holes_cost_seconds_and_no_timeouts(n: int) -> None:
    outcomes = [simulated(swallowed, seed, n) for seed in range(4)]
    took = [each for outcome in outcomes for each in outcome[2]]
    assert quantiles(took, n=20)[-1] < SECONDS, max(took)
    assert sum(outcome[0] for outcome in outcomes) >= 0.96 * sum(outcome[1] for outcome in outcomes)
