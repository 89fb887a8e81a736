"""The index of what is due: against a naive scan, and bounded when records come and go."""

import random

import pytest

from p2pnb import spec
from p2pnb.dht.expiry import Expiries, age_at, handed_on, since


class Note:
    def __init__(self, moment: float) -> None:
        self.since = moment
        self.gone = False


@pytest.mark.parametrize("seed", range(20))
def test_due_is_what_a_scan_finds(seed: int) -> None:
    rng = random.Random(seed)
    expiries: Expiries[Note] = Expiries()
    alive: list[Note] = []
    now = 0.0
    for _ in range(400):
        now += rng.expovariate(1 / 900)
        action = rng.random()
        if action < 0.5:
            note = Note(now - rng.choice([0.0, rng.uniform(0, spec.EXPIRY - 1)]))
            alive.append(note)
            expiries.add(note)
        elif action < 0.7 and alive:
            note = rng.choice(alive)
            if note.since + spec.EXPIRY > now:
                note.since = now
        elif action < 0.8 and alive:
            note = alive.pop(rng.randrange(len(alive)))
            expiries.discard(note)
        due = list(expiries.due(now))
        expected = {note for note in alive if note.since + spec.EXPIRY <= now}
        assert set(due) == expected, seed
        assert len(due) == len(expected), seed
        alive = [note for note in alive if note not in expected]


def test_dropped_records_do_not_pile_up() -> None:
    expiries: Expiries[Note] = Expiries()
    for _ in range(10_000):
        note = Note(0.0)
        expiries.add(note)
        expiries.discard(note)
    assert len(expiries) < 200


def test_renewing_costs_no_memory() -> None:
    expiries: Expiries[Note] = Expiries()
    note = Note(0.0)
    expiries.add(note)
    for hour in range(1_000):
        note.since = hour * 3_600.0
        assert list(expiries.due(note.since)) == []
    assert len(expiries) == 1
    assert list(expiries.due(note.since + spec.EXPIRY)) == [note]


def test_a_stated_age_never_lengthens_a_life() -> None:
    rng = random.Random(3)
    for _ in range(1_000):
        now = rng.uniform(0, 1e6)
        moment = now - rng.uniform(0, spec.EXPIRY + 10)
        age = age_at(now, moment)
        if age is None:
            assert now - moment > spec.EXPIRY - 1
        else:
            passed_on = since(now, age)
            assert passed_on is not None
            assert passed_on <= moment + 1e-6
            assert passed_on > moment - 1.001
    assert age_at(5.0, 5.0) == 0
    assert since(5.0, None) == 5.0
    assert since(5.0, 86_399) == 5.0 - 86_399
    assert since(5.0, 86_400) is None
    assert since(5.0, 2**63 - 1) is None


@pytest.mark.parametrize(
    ("stated", "elapsed", "age"),
    [
        *[(0, 0.0, 0), (0, 0.01, 1), (40, 2.0, 42), (86_398, 0.5, 86_399)],
        *[(86_398, 1.5, None), (86_400, 0.0, None), (2**63 - 1, 1.0, None), (None, 0.0, None)],
    ],
)
def test_what_is_handed_on_is_never_younger(stated: int | None, elapsed: float, age: int | None) -> None:
    assert handed_on(stated, elapsed) == age
