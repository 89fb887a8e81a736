"""One answer out of several replicas' answers, some of which may lie.

Of five replicas two may lie, so what three of them say is what at least one honest replica says, and a median over all
five is never beyond what an honest replica says. Therefore values are ranked by medians over all the answers, where a
replica that does not list a value counts as: no publishers, never. (The numbers shown are medians over those that list it.)
A value that stands twice in one answer counts once.

- popular: values listed by three replicas first (by all that hold the bag, when fewer do), by publishers.
- recent: the smallest age first.
- sample: uniformly without replacement over the distinct values.
- newest: of signed versions the valid one with the highest sequence number, then the larger value. Whoever hands it on must
  not prolong its life: its age is the largest that anybody who has it states, ages of 24 hours and more excepted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median_high, median_low

from p2pnb import spec
from p2pnb.wire.messages import Bag, BagEntry, Version


@dataclass(frozen=True, slots=True)
class MergedEntry:
    """A value of a bag: the median number of publishers and the median age (seconds since the newest vote) over the
    `listed_by` answers that list it, out of the `of` that there were."""

    value: bytes
    publishers: int
    age: int
    listed_by: int
    of: int


def popular(answers: Sequence[Bag]) -> list[MergedEntry]:
    """The values of all answers, the most popular first."""
    quorum = min(spec.MERGE_QUORUM, len(answers))

    def rank(listed: list[BagEntry]) -> tuple[bool, int, float, bytes]:
        return len(listed) < quorum, -_publishers(listed, len(answers)), _age(listed, len(answers)), listed[0].value

    return [_merged(listed, len(answers)) for listed in sorted(_by_value(answers), key=rank)]


def recent(answers: Sequence[Bag]) -> list[MergedEntry]:
    """The values of all answers, the most recent first."""

    def rank(listed: list[BagEntry]) -> tuple[float, int, int, bytes]:
        return _age(listed, len(answers)), -len(listed), median_high([each.age for each in listed]), listed[0].value

    return [_merged(listed, len(answers)) for listed in sorted(_by_value(answers), key=rank)]


def sample(answers: Sequence[Bag], rng: random.Random) -> list[MergedEntry]:
    """The distinct values of all answers in random order: the first n are a sample of n."""
    merged = [_merged(listed, len(answers)) for listed in _by_value(answers)]
    merged.sort(key=lambda entry: entry.value)  # so that the order of the answers does not show in the draw
    rng.shuffle(merged)
    return merged


def newest(versions: Iterable[Version], verify: Callable[[Version], bool]) -> Version | None:
    """The newest version that `verify` holds valid; None when there is none. Verifies no more than it must."""
    stated: dict[tuple[int, bytes, bytes], list[Version]] = {}
    for each in versions:
        stated.setdefault((each.sequence, each.value, each.signature), []).append(each)
    same = next((stated[rank] for rank in sorted(stated, reverse=True) if verify(stated[rank][0])), None)
    if same is None:
        return None
    return same[0].aged(max((each.age for each in same if each.age is not None and each.age < spec.EXPIRY), default=None))


def _by_value(answers: Sequence[Bag]) -> list[list[BagEntry]]:
    """For each distinct value its entries, one an answer at most."""
    listed: dict[bytes, list[BagEntry]] = {}
    for answer in answers:
        for value, entry in {entry.value: entry for entry in reversed(answer.entries)}.items():
            listed.setdefault(value, []).append(entry)
    return list(listed.values())


def _publishers(listed: list[BagEntry], of: int) -> int:
    return median_low([each.publishers for each in listed] + [0] * (of - len(listed)))


def _age(listed: list[BagEntry], of: int) -> float:
    return median_high([float(each.age) for each in listed] + [math.inf] * (of - len(listed)))


def _merged(listed: list[BagEntry], of: int) -> MergedEntry:
    publishers = median_low([each.publishers for each in listed])
    age = median_high([each.age for each in listed])
    return MergedEntry(listed[0].value, publishers, age, len(listed), of)
