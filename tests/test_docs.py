"""What `?` shows: every public class and method says in one line what it is, shows an example, and names what it raises."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

import p2pnb
from p2pnb.cluster.call import Call
from p2pnb.cluster.node import Namespace, Node
from p2pnb.cluster.results import BagResult, Invite, Lookup, Nodes
from p2pnb.cluster.watch import Last, Watch

CLASSES = [getattr(p2pnb, name) for name in p2pnb.__all__ if inspect.isclass(getattr(p2pnb, name))]
CLASSES += [Node, Namespace, Lookup, BagResult, Nodes, Invite, Watch, Last, Call]
FUNCTIONS = [getattr(p2pnb, name) for name in p2pnb.__all__ if inspect.isfunction(getattr(p2pnb, name))]
COROUTINE = {"send", "throw", "close"}  # of a `Call`: for asyncio, not for people
PROCEDURES = {"connect", "bootstrap", "lookup", "close", "set", "ref"}  # of a `Peer`, with those on bags and namespaces


def public() -> Iterator[tuple[str, Any]]:
    """Every public class, and everything that p2pnb defines of it that can be called."""
    for function in FUNCTIONS:
        yield function.__name__, function
    for kind in CLASSES:
        yield kind.__name__, kind
        for name in dir(kind):
            if name.startswith("_") or (kind is Call and name in COROUTINE):
                continue
            if kind is p2pnb.Peer and not (name in PROCEDURES or hasattr(Node, name)):
                continue  # what its own parts ask of it
            member = inspect.getattr_static(kind, name)
            member = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if inspect.isfunction(member) and member.__module__.startswith("p2pnb"):
                yield f"{kind.__name__}.{name}", member


PUBLIC = dict(public())


def doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def examples(text: str) -> list[str]:
    """The code of "Example: `…`", which may go on with ", then `…`" or ", or `…`"."""
    said = re.search(r"Example: (`[^`]+`(?:,\s(?:then|or)\s`[^`]+`)*)", text)
    return [] if said is None else re.findall(r"`([^`]+)`", said[1])


@pytest.mark.parametrize("name", PUBLIC)
def test_it_has_a_summary_line(name: str) -> None:
    first = doc(PUBLIC[name]).partition("\n")[0]
    assert first, f"{name} has no docstring"
    assert first[0].isupper() or first[0] in "`\"" or first[0].isdigit(), first
    assert len(first) > 15, first


@pytest.mark.parametrize("name", PUBLIC)
def test_it_shows_an_example_that_is_python_and_speaks_of_it(name: str) -> None:
    shown = examples(doc(PUBLIC[name]))
    assert shown, f"{name} has no line `Example: …`"
    for code in shown:
        compile(code.replace("…", "0"), name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    called = name.rpartition(".")[2]
    assert inspect.isclass(PUBLIC[name]) or any(re.search(rf"\b{called}\b", code) for code in shown), shown


@pytest.mark.parametrize("name", [name for name in PUBLIC if not inspect.isclass(PUBLIC[name])])
def test_it_names_what_it_raises_itself(name: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(PUBLIC[name])))
    raised = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            call = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(call, ast.Name) and call.id == "brief":
                call = node.exc.args[0].func  # type: ignore[attr-defined]
            if isinstance(call, ast.Name) and call.id[0].isupper():
                raised.add(call.id)
    missing = {error for error in raised if error not in doc(PUBLIC[name])}
    assert not missing, f"{name} raises {missing}, and its docstring does not say so"
    assert not raised or "Raises" in doc(PUBLIC[name])
