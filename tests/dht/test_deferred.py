"""A result that comes later is delivered exactly once, whichever end is first."""

import pytest

from p2pnb.dht.deferred import Deferred


def test_waiting_before_the_result() -> None:
    got: list[int] = []
    deferred: Deferred[int] = Deferred()
    deferred.then(got.append)
    assert got == []
    deferred.resolve(7)
    assert got == [7]


def test_waiting_after_the_result() -> None:
    got: list[int] = []
    deferred: Deferred[int] = Deferred()
    deferred.resolve(7)
    deferred.then(got.append)
    assert got == [7]


def test_none_and_false_are_results() -> None:
    got: list[object] = []
    for result in (None, False):
        deferred: Deferred[object] = Deferred()
        deferred.resolve(result)
        deferred.then(got.append)
    assert got == [None, False]


def test_only_once() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.resolve(1)
    with pytest.raises(RuntimeError, match="resolved only once"):
        deferred.resolve(2)
    deferred.then(lambda result: None)
    with pytest.raises(RuntimeError, match="waited for only once"):
        deferred.then(lambda result: None)


@pytest.mark.parametrize("early", [True, False])
def test_mapped(early: bool) -> None:
    got: list[str] = []
    deferred: Deferred[int] = Deferred()
    if early:
        deferred.resolve(3)
    mapped = deferred.map(lambda number: "x" * number)
    if not early:
        deferred.resolve(3)
    mapped.then(got.append)
    assert got == ["xxx"]
