"""Two lines instead of a traceback: what went wrong, where in one's own lines, what to do; and all of it where somebody asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from p2pnb import brief
from p2pnb.errors import ClusterClosed, NotFound, P2PError
from p2pnb.uid import as_key, key_of


class Ipython:
    """As much of IPython as is asked: a shell with a mode, and its own way to show everything."""

    def __init__(self, mode: str = "Context") -> None:
        self.InteractiveTB = SimpleNamespace(mode=mode, structured_traceback=lambda kind, error, traceback: ["whole", str(error)])

    def get_ipython(self) -> Ipython:
        return self


@pytest.fixture
def ipython(monkeypatch: pytest.MonkeyPatch) -> Ipython:
    shell = Ipython()
    monkeypatch.setitem(sys.modules, "IPython", shell)  # type: ignore[arg-type]
    return shell


def displayed(function: Callable[[], object]) -> list[str]:
    """What IPython would show of what `function` raises: it asks inside its own except clause."""
    try:
        function()
    except Exception as error:
        lines: list[str] = error._render_traceback_()  # type: ignore[attr-defined]
        return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    raise AssertionError("nothing was raised")


@pytest.mark.usefixtures("ipython")
@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda: as_key(7), "TypeError: a key is 32 bytes, not an int: write Key.from_int(7)"),
        (lambda: as_key(b"short"), "ValueError: a key is 32 bytes, not 5: hash a name with key_of(b'...')"),
        (lambda: key_of("cats"), "TypeError: key_of takes bytes, not str: write key_of('cats'.encode())"),
    ],
)
def test_a_mistake_is_two_lines(mistake: Callable[[], object], said: str) -> None:
    first, second = displayed(mistake)
    assert first == said
    assert "test_brief.py, line " in second
    assert "as_key(" in second or "key_of(" in second, "the line that its author can change, not ours"
    assert second.endswith("%tb shows the whole traceback")


@pytest.mark.usefixtures("ipython")
def test_an_error_says_what_to_do() -> None:
    def fail() -> None:
        raise NotFound("no value")

    first, second = displayed(fail)
    assert first == "NotFound: no value"
    assert 'raise NotFound("no value")' in second
    assert "cluster.where(key) shows who has it" in second
    assert displayed(lambda: (_ for _ in ()).throw(ClusterClosed("over")))[0] == "ClusterClosed: over"


def test_whoever_asks_for_more_gets_all(ipython: Ipython, monkeypatch: pytest.MonkeyPatch) -> None:
    error = P2PError("no")
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    assert error._render_traceback_() == ["whole", "no"], "%tb: nothing is being raised"
    ipython.InteractiveTB.mode = "Verbose"
    assert displayed(lambda: as_key(7))[0] == "whole"


def test_without_ipython_a_traceback_is_as_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    lines = displayed(lambda: as_key(7))
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("TypeError: a key is 32 bytes")
    monkeypatch.setattr(sys, "last_value", None, raising=False)
    assert brief.rendered() == []


def test_an_error_from_our_lines_alone_has_no_place() -> None:
    error: Any = brief.brief(ValueError("x", 1))
    assert brief.two_lines(error)[0].endswith(": ('x', 1)")
    assert error._render_traceback_ is brief.rendered
    assert "line" not in brief.two_lines(error)[1]
