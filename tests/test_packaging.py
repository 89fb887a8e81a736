"""What an installation brings: the metadata, the files in the wheel, and imports that need no extra and cost little."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "p2pnb"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# The module that each core dependency is imported as; pandas brings numpy, ipython traitlets, and we use both directly.
CORE = {
    "pynacl": {"nacl"},
    "pandas": {"pandas", "numpy"},
    "ipython": {"IPython", "traitlets"},
    "ipywidgets": {"ipywidgets"},
    "anywidget": {"anywidget"},
    "nest-asyncio": {"nest_asyncio"},
}
# Only where a function needs it: the rest of p2pnb works without, or runs only where it is there anyway.
EXTRAS = {"notebooks": {"jupyterlab", "matplotlib", "networkx"}, "scale": {"distributed", "dask"}, "fast": {"numba"}}
INSIDE_A_KERNEL = {"ipykernel"}
HEAVY = {"matplotlib", "jupyterlab", "distributed", "dask", "numba", "nest_asyncio"}


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def python(code: str) -> str:
    """Runs `code` in a fresh interpreter; its output. Warnings are errors there, too."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    [path] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_the_metadata() -> None:
    assert importlib.metadata.version("p2pnb") == PROJECT["version"]
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert PROJECT["license"] == "MIT"
    assert {name_of(each) for each in PROJECT["dependencies"]} == set(CORE)
    extras = {extra: {name_of(each) for each in listed} for extra, listed in PROJECT["optional-dependencies"].items()}
    assert extras["notebooks"] == {"jupyterlab", "matplotlib", "networkx"}
    assert "distributed" in extras["scale"]
    assert extras["fast"] == {"numba"}
    assert {"pytest", "nbval", "hypothesis"} <= extras["test"]


def test_binder_installs_what_the_notebooks_need() -> None:
    assert (ROOT / "binder/requirements.txt").read_text().split() == [".[notebooks]"]
    assert (ROOT / "binder/runtime.txt").read_text().strip() == "python-3.11"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"p2pnb/py.typed", "p2pnb/views/widgets/base.js"} <= set(names)
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    assert sources <= names
    assert not [name for name in names if not name.startswith("p2pnb/") or "__pycache__" in name]


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    info = f"p2pnb-{PROJECT['version']}.dist-info"
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert f"Version: {PROJECT['version']}\n" in metadata
    assert "License-Expression: MIT\n" in metadata
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "p2pnb = p2pnb.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_every_module_can_be_imported_without_extras() -> None:
    """With every extra's packages hidden, as on a machine that installed p2pnb alone."""
    hidden = set().union(*EXTRAS.values()) | INSIDE_A_KERNEL | {"pytest", "hypothesis", "noise"}
    imported = python(f"""
import importlib, pkgutil, sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"{{name}} is hidden", name=name)
sys.meta_path.insert(0, Hide())
import p2pnb
for module in pkgutil.walk_packages(p2pnb.__path__, "p2pnb."):
    importlib.import_module(module.name)
print(sum(name.startswith("p2pnb.") for name in sys.modules))
""")
    assert int(imported) >= len(list(PACKAGE.rglob("*.py"))) - 1


def test_importing_p2pnb_is_light() -> None:
    """A notebook's first cell, a Dask worker and `python -m p2pnb` all pay for it."""
    loaded = set(json.loads(python("import sys, json, p2pnb; print(json.dumps([name.split('.')[0] for name in sys.modules]))")))
    assert loaded & HEAVY == set()


def test_third_party_imports_are_declared() -> None:
    known = sys.stdlib_module_names.union({"p2pnb"}, *CORE.values())
    lazily = known.union(INSIDE_A_KERNEL, *EXTRAS.values())
    undeclared = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            allowed = lazily if id(node) in inside else known
            undeclared += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in names if name.split(".")[0] not in allowed]
    assert undeclared == []
