"""Full points for what is right, and for each usual mistake the loss of the points that it should cost, and of no others."""

from __future__ import annotations

import random
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import students

from p2pnb import check
from p2pnb.check import lookups, simulation
from p2pnb.dht import merge as reference
from p2pnb.dht.lookup import Lookup
from p2pnb.dht.table import RoutingTable
from p2pnb.wire.messages import Bag

SEEDS = (0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2026, marks=pytest.mark.slow))


def lost(report: check.Report) -> set[str]:
    return set(report[report["points"] < report["of"]]["case"])


def nothing():
    return []


def own_merge(answers):
    return [entry.value for entry in reference.popular([Bag(tuple(entries)) for entries in answers])]


def own_nearest(contacts, target, n):
    table = RoutingTable(target ^ 1 if any(each.uid == target for each in contacts) else target, 20, group=lambda _: None)
    for contact in contacts:
        table.seen(contact, 0.0, dialled=True)
    return table.nearest(target, n)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_right_has_all_points(seed: int) -> None:
    for full in (
        check.lookup(Lookup, seed=seed), check.lookup(students.Right, seed=seed), check.nearest(students.nearest, seed=seed),
        check.nearest(own_nearest, seed=seed), check.merge(students.merge, seed=seed), check.merge(own_merge, seed=seed),
    ):  # fmt: skip
        assert lost(full) == set()
        assert full.score == full.most
        assert full.picture == ""
        full.assert_all()


MISTAKES = {
    students.TableOrder: {"whom it asks first", "no rounds", "few requests"},
    students.FirstReply: {
        "no rounds", "not too early", "somebody nearer at the end", "finds the nearest", "nearest first", "past a failure", "30 % are dead",
    },
    students.NeverFails: {"past a failure", "30 % are dead", "all are dead"},
    students.FailedAnswered: {"past a failure", "30 % are dead", "all are dead"},
    students.Rounds: {"no rounds"},
    students.Unsorted: {"nearest first"},
    students.ForgetsItself: {"not itself"},
    students.AsksAgain: {"nobody twice"},
    students.OneByOne: {"how many at a time"},
    students.Floods: {"whom it asks first", "how many at a time", "few requests"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("policy", MISTAKES)
def test_a_wrong_lookup_loses_the_right_points(policy) -> None:
    report = check.lookup(policy)
    assert lost(report) == MISTAKES[policy], report
    assert ElementTree.fromstring(report.picture).tag.endswith("svg")
    with pytest.raises(AssertionError, match=f"{policy.__name__}: {report.score} of 20 points"):
        report.assert_all()


@pytest.mark.parametrize(
    ("policy", "cases"),
    [
        (students.by_difference, {"the nearest, nearest first", "XOR, and not the difference", "within a bucket", "fewer than n"}),
        (students.by_prefix, {"within a bucket"}),
        (students.farthest, {"the nearest, nearest first", "XOR, and not the difference", "within a bucket", "the very nearest"}),
        (students.everybody, {"the nearest, nearest first", "XOR, and not the difference", "within a bucket", "the very nearest"}),
        (students.table_order, {"the nearest, nearest first", "the very nearest"}),
    ],
)
def test_a_wrong_order_of_contacts_loses_points(policy, cases: set[str]) -> None:
    found = lost(check.nearest(policy, seed=1))
    assert found & cases
    assert "nobody" not in found


@pytest.mark.parametrize(
    ("policy", "cases"),
    [
        (students.by_sum, {"one inflates", "two invent a value", "listed again and again"}),
        (students.by_most, {"one inflates", "two invent a value", "listed again and again"}),
        (students.first_answer, {"no answers"}),
    ],
)
def test_a_merge_that_believes_liars_loses_points(policy, cases: set[str]) -> None:
    report = check.merge(policy, seed=1)
    assert cases <= lost(report)
    assert "all agree" not in lost(report)


def test_what_never_ends_is_stopped() -> None:
    report = check.lookup(students.Endless)
    assert report.score == 0 + 1  # that without seeds it is finished, it says without being asked
    got = dict(zip(report["case"], report["got"], strict=True))
    assert "Endless.next() did not end within" in got["no rounds"]
    assert "of next: while True:" in got["no rounds"] or "of next: pass" in got["no rounds"]
    assert "does it note whom it has asked?" in " ".join(check.lookup(students.Stuck)["got"])


def test_a_mistake_is_shown_with_the_line_it_is_in() -> None:
    got = check.lookup(students.Raises)["got"]
    assert any("AttributeError: 'list' object has no attribute 'nearest', in line" in each and "hints.nearest()" in each for each in got)


@pytest.mark.parametrize(
    ("function", "policy", "says"),
    [
        (check.lookup, object, r"cannot be called as MyLookup\(target, own, seeds"),
        (check.lookup, 3, "3 cannot be called"),
        (check.nearest, lambda contacts: contacts, r"cannot be called as nearest\(contacts, target, n\)"),
        (check.merge, nothing, r"cannot be called as merge\(answers\)"),
    ],
)
def test_what_cannot_be_called_is_refused(function, policy, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        function(policy)


def test_a_seed_is_a_number() -> None:
    with pytest.raises(TypeError, match="seed is an integer"):
        check.nearest(students.nearest, seed="today")


def test_the_same_seed_gives_the_same_report_in_another_process() -> None:
    code = "import students; from p2pnb import check; print(check.nearest(students.table_order, seed=5).to_csv())"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert there == check.nearest(students.table_order, seed=5).to_csv() + "\n"
    assert there != check.nearest(students.table_order, seed=6).to_csv() + "\n"


def test_a_report_shows_itself_and_its_parts_are_tables() -> None:
    report = check.merge(students.by_sum)
    bundle = report._repr_mimebundle_()
    assert "5 of 10 points" in bundle["text/html"]
    assert "<svg" in bundle["text/html"]
    assert "Lost first: one inflates" in bundle["text/html"]
    assert bundle["text/plain"].startswith("by_sum: 5 of 10 points\n- one inflates: expected")
    assert list(report.columns) == ["case", "expected", "got", "points", "of"]
    assert type(report[report["points"] > 0]) is not check.Report


def test_what_came_of_several_cases_is_said_once() -> None:
    report = check.lookup(students.Endless, seed=1)
    cause = next(got for got in report["got"] if "did not end within" in got)
    alike = list(report[report["got"] == cause]["case"])
    assert len(alike) > 1
    with pytest.raises(AssertionError) as caught:
        report.assert_all()
    lines = str(caught.value).splitlines()
    assert lines.count(f"- {len(alike)} cases got {cause}") == 1
    assert str(caught.value).count(cause) == 1
    assert all(any(line.startswith(f"  - {case}: expected ") for line in lines) for case in alike)


def test_a_lookup_that_asks_nobody_is_told_so_in_the_picture() -> None:
    picture = check.lookup(students.AsksNobody, seed=1).picture
    told = [each.text for each in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert told == ["it asked nobody", "7 contacts known, and none was asked"]


def test_the_points_are_twenty_and_ten() -> None:
    assert sum(case.points for case in lookups.CASES) == 20
    assert check.nearest(students.nearest).most == check.merge(students.merge).most == 10


def test_ideal_tables_are_ideal() -> None:
    """Each bucket has k contacts or all that there are, and the truth is found from everywhere."""
    network = simulation.Network(100, 4, random.Random(3))
    own = network.uids[17]
    for bucket in range(10):
        there = [uid for uid in network.uids if (uid ^ own).bit_length() == 256 - bucket]
        held = [each for each in network._tables[own] if ((each.uid or 0) ^ own).bit_length() == 256 - bucket]
        assert len(held) == min(len(there), 4)
