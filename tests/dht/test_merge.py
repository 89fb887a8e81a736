"""Merging the answers of replicas: the rules, and that two liars of five bring no fake to the top."""

import random
from collections import Counter

import pytest

from p2pnb.dht import merge
from p2pnb.dht.merge import MergedEntry
from p2pnb.wire.messages import Bag, BagEntry, Version


def value(number: int) -> bytes:
    return number.to_bytes(32, "big")


def bag(*entries: tuple[int, int, int]) -> Bag:
    return Bag(tuple(BagEntry(value(number), publishers, age) for number, publishers, age in entries))


def order(merged: list[MergedEntry]) -> list[int]:
    return [int.from_bytes(entry.value, "big") for entry in merged]


def test_popular_puts_what_three_list_first() -> None:
    answers = [bag((1, 2, 5)), bag((1, 2, 5)), bag((1, 2, 5)), bag((2, 900, 5)), bag((2, 900, 5))]
    assert order(merge.popular(answers)) == [1, 2]
    assert merge.popular(answers)[0] == MergedEntry(value(1), 2, 5, listed_by=3, of=5)


def test_popular_goes_by_median_publishers() -> None:
    answers = [bag((1, 5, 0), (2, 4, 0)), bag((1, 5, 0), (2, 900, 0)), bag((1, 5, 0), (2, 4, 0))]
    assert order(merge.popular(answers)) == [1, 2]
    assert [entry.publishers for entry in merge.popular(answers)] == [5, 4]


def test_of_three_answers_two_that_agree_bring_nothing_to_the_top() -> None:
    """With three answers the median alone would believe two."""
    answers = [bag((1, 2, 5)), bag((1, 2, 5), (2, 900, 5)), bag((1, 2, 5), (2, 900, 5))]
    assert order(merge.popular(answers)) == [1, 2]


def test_with_fewer_than_three_holders_all_of_them_must_list_a_value() -> None:
    answers = [bag((1, 2, 0), (2, 9, 0)), bag((1, 2, 0))]
    assert order(merge.popular(answers)) == [1, 2]
    assert order(merge.popular([bag((1, 2, 0), (2, 9, 0))])) == [2, 1]


def test_a_value_twice_in_one_answer_counts_once() -> None:
    answers = [bag((1, 3, 0)), bag((1, 3, 0)), bag((1, 3, 0)), bag((2, 9, 0), (2, 8, 0), (2, 7, 0)), bag()]
    assert order(merge.popular(answers)) == [1, 2]
    assert merge.popular(answers)[1] == MergedEntry(value(2), 9, 0, listed_by=1, of=5)


def test_recent_goes_by_median_age() -> None:
    answers = [bag((1, 1, 10), (2, 1, 5)), bag((1, 1, 10), (2, 1, 50)), bag((1, 1, 10), (2, 1, 50))]
    assert order(merge.recent(answers)) == [1, 2]
    assert [entry.age for entry in merge.recent(answers)] == [10, 50]


def test_recent_puts_what_few_list_last() -> None:
    answers = [bag((1, 1, 5_000)), bag((1, 1, 5_000)), bag((1, 1, 5_000)), bag((2, 1, 0)), bag((2, 1, 0))]
    assert order(merge.recent(answers)) == [1, 2]


def test_nothing_to_merge() -> None:
    for answers in ([], [bag()], [bag(), bag()]):
        assert merge.popular(answers) == merge.recent(answers) == merge.sample(answers, random.Random(1)) == []


def test_a_sample_is_uniform_over_distinct_values() -> None:
    answers = [bag((1, 1, 0), (2, 9, 0)), bag((2, 9, 0), (3, 1, 0)), bag((2, 9, 0), (4, 1, 0))]
    rng = random.Random(1)
    draws = Counter(tuple(order(merge.sample(answers, rng))[:2]) for _ in range(12_000))
    assert len(draws) == 12
    assert sum((count - 1_000) ** 2 / 1_000 for count in draws.values()) < 33  # 11 degrees of freedom: the .9995 quantile


def test_a_sample_depends_on_the_seed_and_not_on_the_order_of_answers() -> None:
    answers = [bag(*[(number, 1, 0) for number in range(start, start + 20)]) for start in (0, 10, 30)]
    assert merge.sample(answers, random.Random(3)) == merge.sample(answers[::-1], random.Random(3))
    assert merge.sample(answers, random.Random(3)) != merge.sample(answers, random.Random(4))


def honest_answer(rng: random.Random, truth: dict[int, tuple[int, int]]) -> Bag:
    """A replica that missed a vote here and there."""
    entries = [(number, max(1, votes - rng.randrange(2)), age + rng.randrange(3)) for number, (votes, age) in truth.items()]
    return bag(*sorted(entries, key=lambda entry: -entry[1]))


def lie(rng: random.Random, truth: dict[int, tuple[int, int]]) -> Bag:
    """Fakes with many votes and no age, some of them twice, the true values belittled, left out or praised."""
    fakes = [(number, rng.choice([1, 10, 2**63 - 1]), 0) for number in range(1_000, 1_050)]
    spoilt = [(number, rng.choice([0, 2**63 - 1]), rng.choice([0, 2**63 - 1])) for number in truth if rng.random() < 0.7]
    entries = fakes + fakes[: rng.randrange(40)] + spoilt
    rng.shuffle(entries)
    return bag(*entries[:100])


@pytest.mark.parametrize("seed", range(200))
def test_two_of_five_liars_bring_no_fake_into_the_top(seed: int) -> None:
    rng = random.Random(seed)
    truth = {number: (rng.randrange(2, 30), rng.randrange(0, 80_000)) for number in range(rng.randrange(3, 50))}
    answers = [honest_answer(rng, truth) for _ in range(3)] + [lie(rng, truth) for _ in range(2)]
    rng.shuffle(answers)
    for ranking in (merge.popular(answers), merge.recent(answers)):
        assert set(order(ranking)[: len(truth)]) == set(truth), seed
        for entry in ranking[: len(truth)]:
            assert entry.listed_by >= 3, seed


@pytest.mark.parametrize("seed", range(100))
def test_two_of_five_liars_cannot_praise_a_true_value_beyond_an_honest_count(seed: int) -> None:
    """Value 0 has one vote, the others ten or more; whatever two replicas say of it, it stays last. The same with ages."""
    rng = random.Random(seed)
    truth = {0: (1, 80_000)} | {number: (rng.randrange(10, 30), rng.randrange(0, 70_000)) for number in range(1, 8)}
    honest = [bag(*[(number, *truth[number]) for number in truth if number or rng.random() < 0.6]) for _ in range(3)]
    answers = honest + [bag((0, 2**63 - 1, 0))] * 2
    rng.shuffle(answers)
    assert order(merge.popular(answers))[-1] == 0, seed
    assert order(merge.recent(answers))[-1] == 0, seed


def version(sequence: int, number: int, signature: int = 0) -> Version:
    return Version(value(number), bytes([signature]) * 64, sequence)


def test_newest_is_the_highest_valid_then_the_larger_value() -> None:
    versions = [version(1, 9), version(3, 1), version(3, 2), version(4, 1, signature=1), version(2, 7)]
    asked: list[Version] = []

    def verify(each: Version) -> bool:
        asked.append(each)
        return each.signature == bytes(64)

    assert merge.newest(versions, verify) == version(3, 2)
    assert asked == [version(4, 1, signature=1), version(3, 2)]
    assert merge.newest([version(1, 1)] * 5, lambda each: False) is None
    assert merge.newest([], lambda each: True) is None


def test_the_age_of_the_newest_is_the_largest_that_is_possible() -> None:
    """A liar who states a small one prolongs nothing, and one who states a day is not believed."""
    newest = version(3, 1)
    cases = [((7, None, 40, 3), 40), ((None, None), None), ((5, 86_400, 2**63 - 1), 5), ((86_400,), None), ((86_399, 0), 86_399)]
    for ages, merged in cases:
        answers = [version(2, 1).aged(80_000), *[newest.aged(age) for age in ages]]
        assert merge.newest(answers, lambda _: True) == newest.aged(merged)


def test_newest_verifies_equal_answers_once() -> None:
    asked: list[Version] = []

    def refuse(each: Version) -> bool:
        asked.append(each)
        return False

    assert merge.newest([version(1, 1)] * 5, refuse) is None
    assert asked == [version(1, 1)]
