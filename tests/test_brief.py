"""Two lines instead of a traceback: what went wrong, where in one's own lines, what to do; and all of it where somebody asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from p2pnb import Author, Cluster, brief, check, run, xor_space
from p2pnb.cluster.churn import Recorded
from p2pnb.cluster.distributions import Weibull
from p2pnb.cluster.faults import Latency, Liars, Loss, Partition
from p2pnb.cluster.lan import resolve
from p2pnb.dht.lookup import Lookup
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


# --- in a shell of IPython's own ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    """What a notebook's cell runs in, with a cluster on real sockets."""
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance(history_load_length=0)
    made.history_manager.enabled = False
    cluster = run(Cluster.launch(2))
    made.push({"cluster": cluster, "KEY": key_of(b"nothing"), "none": lambda *_, **__: []})
    made.push({each.__name__: each for each in (Author, Cluster, Latency, Liars, Loss, Lookup, Partition, Recorded, Weibull, xor_space)})
    made.push({"check": check, "resolve": resolve})
    yield made
    run(cluster.close())
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("Cluster.launch(2, policies=5)", "policies are a dict"),
        ("Cluster.launch(2, policies={'lookups': Lookup})", "there is no policy 'lookups'"),
        ("Cluster.launch(2, policies={'lookup': 5})", "5 cannot be called"),
        ("Cluster.launch(2, policies={'nearest': lambda: []})", "cannot be called as nearest(contacts, target, n)"),
        ("Cluster.launch(2, policies={'lookup': none})", "has no 'next'"),
        ("check.nearest(sorted)", "cannot be called as nearest(contacts, target, n)"),
        ("check.lookup(lambda: 0)", "cannot be called as MyLookup("),
        ("check.nearest(none, seed='x')", "seed is an integer"),
        ("check.nearest(none).assert_all()", "points: "),
        ("Loss(-0.1)", "a loss is a share"),
        ("Loss(5)", "not 5"),
        ("Latency(-1)", "not -1"),
        ("Latency('50ms')", "not '50ms'"),
        ("Latency(0.05, jitter=1)", "too early"),
        ("Partition(None)", "a partition parts some"),
        ("Liars(0.1, lies='valuez')", "'valuez' is no lie"),
        ("Weibull(-1)", "the shape of a Weibull distribution"),
        ("Recorded([])", "columns node, start_s and end_s"),
        ("cluster.churn(0.1)", "sessions are Weibull()"),
        ("cluster.churn(away=-5)", "`away` is a number of seconds"),
        ("cluster.churn(Weibull(), nodes=cluster[0:1] + [5])", "takes nodes, not 5"),
        ("cluster.faults(Loss(0.1))", "takes a pretended wire"),
        ("cluster[0].ref(KEY, timeout=-1)", "timeout is more than 0 seconds"),
        ("cluster[0].ref(KEY, timeout='5')", "timeout is a number of seconds or None"),
        ("Cluster(5)", "a cluster is launched, not made"),
        ("Cluster.launch(2, host='nowhere')", "host is an address"),
        ("resolve('0.0.0.0')", "is not one address"),
        ("xor_space(bits=99)", "bits is 3 to"),
        ("xor_space(0)", "uids of"),
        ("xor_space([-1])", "not -1"),
        ("xor_space(target=10**9)", "not 1000000000"),
        ("cluster.add(-1)", "add takes 1 node or more, not -1"),
        ("cluster.kill('1')", "write cluster.kill(cluster[1])"),
        ("cluster.kill('3fa9')", "write cluster.kill(cluster['3fa9'])"),
        ("cluster.kill(KEY)", "write cluster.kill(cluster[uid])"),
        ("await cluster[0].ref(cluster[1])", "not Node: write cluster[1].uid"),
        ("await cluster[0].lookup(cluster[1])", "not Node: write cluster[1].uid"),
        ("await cluster[0].ref(KEY)", "cluster.where(key) shows who has it"),
        ("await cluster[0].namespace(Author.create()).ref('about')", "cluster.where(namespace.key(name)) shows who has it"),
    ],
)
def test_whatever_mistake_is_two_lines_in_a_cell(shell: Any, capsys: pytest.CaptureFixture[str], cell: str, said: str) -> None:
    result = shell.run_cell(cell)
    assert result.error_before_exec is None
    assert result.error_in_exec is not None, "this is a mistake"
    shown = [line for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines() if line.strip()]
    assert len(shown) == 2, "\n".join(shown)
    assert said in " ".join(shown)
    assert shown[1].endswith("%tb shows the whole traceback")
    assert cell in shown[1], "the line that its author can change"
