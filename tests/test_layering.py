"""The architecture, checked: imports go only downward, decisions stay pure, and nothing runs what strangers name.

Reads the syntax tree of every module, so that a breach is found where it is written and not where it happens to run. An
import counts wherever it stands, also inside a function or under `TYPE_CHECKING`: layering is about who knows of whom.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "p2pnb"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400

# Who may know of whom. "base" is the few modules without a layer of their own; "top" is p2pnb itself and __main__.
BASE = {"uid", "spec", "errors", "brief", "address", "secret", "words"}
BELOW = {
    "base": {"base"},
    "wire": {"base", "wire"},
    "dht": {"base", "wire", "dht"},
    "disk": {"base", "wire", "dht", "disk"},
    "net": {"base", "wire", "net"},
    "peer": {"base", "wire", "dht", "disk", "net", "peer"},
    "views": {"base", "wire", "dht", "views"},
    "check": {"base", "wire", "dht", "views", "check"},  # grades decisions, so it needs no peer and no network
    "cluster": {"base", "wire", "dht", "disk", "net", "peer", "views", "cluster"},
    "lab": {"base", "wire", "dht", "disk", "net", "peer", "views", "cluster", "lab"},
    "top": {"base", "wire", "dht", "disk", "net", "peer", "views", "check", "cluster", "lab", "top"},
}
PURE = {"base", "wire", "dht"}
CLOCKS_AND_SOCKETS = {"asyncio", "socket", "selectors", "select", "ssl", "time", "datetime", "threading", "concurrent", "multiprocessing"}
GLOBAL_RANDOMNESS = {"secrets", "uuid", "numpy.random"}

# Layers that hold bytes or names from strangers must never let those choose what runs.
EXPOSED = {"base", "wire", "dht", "disk", "net", "peer"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "runpy"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
BY_NAME = {"getattr": 1, "setattr": 1, "delattr": 1, "import_module": 0}  # and which argument is the name
OWN_SLOTS = {("wire/messages.py", "to_datum")}  # reads the fields of its own dataclasses by their own slots

TOP_LEVEL = {"pyproject.toml", "p2pnb", "notebooks", "tests", "binder", "README.md", "LICENSE"}


def layer_of(module: str) -> str:
    """The layer of the dotted name `module`, such as "p2pnb.dht.lookup" or "p2pnb.dht.lookup.Lookup"."""
    parts = module.split(".")
    if len(parts) < 2 or parts[1] == "__main__":
        return "top"
    if parts[1] in BASE:
        return "base"
    return parts[1] if (PACKAGE / parts[1]).is_dir() else "top"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported; `from a import b` gives "a.b", as b may be a module."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{prefix}.{alias.name}"


def within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def upward(tree: ast.AST, path: Path) -> list[str]:
    layer = layer_of(name_of(path))
    return [
        f"line {line}: {layer} imports {name}"
        for line, name in imports(tree, path)
        if name.split(".")[0] == "p2pnb" and layer_of(name) not in BELOW[layer]
    ]


def impure(tree: ast.AST, path: Path) -> list[str]:
    """Everything asynchronous, every clock and socket, and randomness that no argument brought."""
    found = [
        f"line {line}: imports {name}"
        for line, name in imports(tree, path)
        if within(name, CLOCKS_AND_SOCKETS | GLOBAL_RANDOMNESS) or (name.startswith("random.") and name != "random.Random")
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"line {node.lineno}: asynchronous")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "random" and node.attr != "Random":
                found.append(f"line {node.lineno}: random.{node.attr} is global randomness")
            if node.value.id in {"np", "numpy"} and node.attr == "random":
                found.append(f"line {node.lineno}: numpy.random is global randomness")
    return found


def unsafe(tree: ast.AST, path: Path) -> list[str]:
    """What could run, load or look up something by a name or bytes that a stranger chose."""
    found = [f"line {line}: imports {name}" for line, name in imports(tree, path) if within(name, UNSAFE_MODULES)]
    allowed = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef) and (path.relative_to(PACKAGE).as_posix(), outer.name) in OWN_SLOTS
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        if called in UNSAFE_CALLS:
            found.append(f"line {node.lineno}: {called}()")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "import_module":
            called = "import_module"
        name = node.args[BY_NAME[called]] if called in BY_NAME and len(node.args) > BY_NAME[called] else None
        if called in BY_NAME and not isinstance(name, ast.Constant) and id(node) not in allowed:
            found.append(f"line {node.lineno}: {called}() with a name that is not written out")
    return found


def breaches(rule: str) -> list[str]:
    """What all modules do against `rule`, each with its file."""
    check, layers = {"upward": (upward, set(BELOW)), "impure": (impure, PURE), "unsafe": (unsafe, EXPOSED)}[rule]
    return [
        f"{path.relative_to(ROOT)}, {breach}"
        for path in MODULES
        if layer_of(name_of(path)) in layers
        for breach in check(ast.parse(path.read_text("utf-8")), path)
    ]


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 10
    unknown = {entry.name for entry in PACKAGE.iterdir() if entry.is_dir() and entry.name != "__pycache__"} - set(BELOW)
    assert not unknown, f"a new layer needs its place in BELOW: {unknown}"


def test_imports_go_only_downward() -> None:
    assert breaches("upward") == []


def test_decisions_are_pure() -> None:
    assert breaches("impure") == []


def test_nothing_runs_what_strangers_name() -> None:
    assert breaches("unsafe") == []


@pytest.mark.parametrize(
    ("rule", "where", "source"),
    [
        (upward, "dht/x.py", "from p2pnb.net import tcp"),
        (upward, "net/x.py", "import p2pnb.dht.table"),
        (upward, "views/x.py", "from ..peer.peer import Peer"),
        (upward, "views/x.py", "def f():\n    from p2pnb import cluster"),
        (upward, "peer/x.py", "from p2pnb import Cluster"),
        (upward, "wire/x.py", "from .. import Key"),
        (impure, "dht/x.py", "async def f(): ..."),
        (impure, "dht/x.py", "from time import monotonic"),
        (impure, "wire/x.py", "import asyncio.events"),
        (impure, "uid.py", "import random\nrandom.random()"),
        (impure, "dht/x.py", "from random import choice"),
        (impure, "dht/x.py", "import numpy as np\nnp.random.default_rng()"),
        (unsafe, "wire/x.py", "from pickle import loads"),
        (unsafe, "net/x.py", "eval('1')"),
        (unsafe, "peer/x.py", "def f(name): return getattr(f, name)"),
        (unsafe, "net/x.py", "import importlib\nimportlib.import_module(name)"),
        (unsafe, "net/x.py", "from importlib import import_module\nimport_module(name)"),
        (unsafe, "wire/messages.py", "def parse(name): return getattr(parse, name)"),
    ],
)
def test_a_breach_is_found(rule, where: str, source: str) -> None:
    assert rule(ast.parse(source), PACKAGE / where)


@pytest.mark.parametrize(
    ("rule", "where", "source"),
    [
        (upward, "dht/x.py", "from p2pnb import spec, uid\nfrom p2pnb.wire.contact import Contact\nfrom .table import RoutingTable"),
        (upward, "cluster/x.py", "from p2pnb.views.frames import nodes"),
        (upward, "__init__.py", "from p2pnb.cluster.cluster import Cluster"),
        (impure, "dht/x.py", "import random\ndef f(rng: random.Random) -> float: return rng.random()"),
        (impure, "dht/x.py", "from random import Random"),
        (unsafe, "net/x.py", "getattr(net, 'clean', False)"),
        (unsafe, "net/x.py", "from importlib import import_module\nimport_module('resource')"),
        (unsafe, "wire/messages.py", "def to_datum(message): return getattr(message, name)"),
    ],
)
def test_what_is_allowed_is_not_a_breach(rule, where: str, source: str) -> None:
    assert rule(ast.parse(source), PACKAGE / where) == []


def test_files_fit_in_a_head() -> None:
    files = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_the_top_level_holds_only_what_was_agreed() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip(f"not a git checkout: {listing.stderr.strip()}")
    names = {line.split("/")[0] for line in listing.stdout.splitlines()}
    assert {name for name in names if name not in TOP_LEVEL and not name.startswith(".")} == set()
