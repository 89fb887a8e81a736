"""What a student's `merge(answers)` is to do, case by case: 10 points.

Five replicas say what is popular, and up to two of them may lie. A value is what three of them list; how popular it is, is the
median of what all five say, for a median of five is never beyond what an honest one says.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from statistics import median

from p2pnb.check.picture import ranking
from p2pnb.check.report import Case, Report, Tried, listed, report
from p2pnb.dht.policies import Merge, check_merge, merged
from p2pnb.wire.messages import Bag, BagEntry

Answer = Sequence[tuple[str, int]]  # what a replica lists: a letter for the value, and how many publishers it counts

HONEST: Answer = [("A", 9), ("B", 6), ("C", 3)]


def merge(policy: Merge, seed: int = 0) -> Report:
    """Checks a function such as `check.merge(my_merge)`: `my_merge(answers)` is to return the values, most popular first.

    `answers` has a list for each replica; its entries have `.value` (32 bytes), `.publishers` and `.age`. Raises `TypeError` when
    it cannot be called so. `seed` chooses the order of the replicas.
    """
    check_merge(policy)
    return report(policy, CASES, seed)


def _try(policy: Merge, rng: random.Random, answers: list[Answer], right: str, doubtful: str = "") -> Tried:
    """`right`: the values in their order; one that is `doubtful` may come last or be left out."""
    shuffled = rng.sample(answers, len(answers))
    bags = [Bag(tuple(BagEntry(letter.encode() * 32, publishers, 60) for letter, publishers in answer)) for answer in shuffled]
    found = [chr(value[0]) for value in merged(policy, bags)]
    held = [letter for letter in found if letter not in doubtful] == list(right)
    held = held and all(letter in found[len(right) :] for letter in doubtful if letter in found)
    got = listed(found) if found else "an empty list"
    return Tried(held, got, lambda: drawn([dict(answer) for answer in shuffled], list(right + doubtful), found))


def drawn(answers: list[Mapping[str, int]], right: list[str], found: list[str]) -> str:
    """A line a value: what each replica says, the median, its place and the one that it was given."""
    rows = []
    for place, letter in enumerate(right, 1):
        said = [answer.get(letter) for answer in answers]
        given = str(found.index(letter) + 1) if letter in found else "–"
        middle = f"{median(each or 0 for each in said):g}"
        rows.append(([letter, *["–" if each is None else f"{each:,}" for each in said], middle, str(place), given], given == str(place)))
    headers = ["value", *[f"replica {i + 1}" for i in range(len(answers))], "median", "true rank", "yours"]
    return ranking("Publishers that each replica counts", headers, rows)


def all_agree(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [HONEST] * 5, "ABC")


def one_inflates(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [HONEST] * 4 + [[("C", 1_000_000), ("A", 1), ("B", 1)]], "ABC")


def two_invent(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [HONEST] * 3 + [[("X", 1_000), *HONEST]] * 2, "ABC", "X")


def one_was_away(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [HONEST] * 4 + [[("C", 3), ("B", 1)]], "ABC")


def listed_twice(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [HONEST] * 3 + [HONEST, [("X", 50), ("X", 50), ("X", 50), ("X", 50), *HONEST]], "ABC", "X")


def few_holders(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [[("B", 7), ("A", 2)]], "BA")


def no_answers(policy: Merge, rng: random.Random) -> Tried:
    return _try(policy, rng, [], "")


CASES: list[Case[Merge]] = [
    Case("all agree", 2, "five replicas say A 9, B 6, C 3: A, B, C", all_agree),
    Case("one inflates", 2, "one of five says C 1,000,000: still A, B, C", one_inflates),
    Case("two invent a value", 2, "two of five list X with 1,000 publishers: A, B, C, and X last or not at all", two_invent),
    Case("one was away", 1, "one of five has missed all votes for A and most for B: still A, B, C", one_was_away),
    Case("listed again and again", 1, "one lists X four times: it counts once, and X comes last or not at all", listed_twice),
    Case("a single holder", 1, "only one replica has the bag, B 7, A 2: B, A", few_holders),
    Case("no answers", 1, "nobody has the bag: an empty list", no_answers),
]
