"""Without a server: the core in WebAssembly, as a browser would run it, under Node.js.

What keeps the rest out: PyNaCl, numpy and pandas are compiled packages. Pyodide has builds of them, and its lock file names them, but
its npm package carries the interpreter and the standard library alone; the builds are fetched from a content delivery network when a page
asks for them. The package index for Python has no builds of them for Emscripten either. So a test without that network can run the
memory network with `encryption=False`, and can not run encryption (Noise, Ed25519) and tables. In a page of JupyterLite, which may fetch
them, all three come by `import`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PYODIDE = "pyodide@0.29.4"  # Python 3.13

pytestmark = [pytest.mark.node, pytest.mark.slow]


@pytest.fixture(scope="module")
def pyodide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the npm package, installed anew."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: there is no Pyodide without Node.js")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), PYODIDE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install {PYODIDE}: {done.stderr.strip()[-300:]}")
    return folder / "node_modules" / "pyodide"


def test_the_core_runs_on_the_memory_network(pyodide: Path) -> None:
    command = ["node", str(HERE / "run.mjs"), str(pyodide), str(HERE.parents[1]), str(HERE / "inside.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "a cluster of 16 on emscripten" in done.stdout, done.stdout + done.stderr
    assert "an hour in simulated time" in done.stdout, done.stdout + done.stderr
    assert {"absent: nacl", "absent: numpy", "absent: pandas"} <= set(done.stdout.splitlines())
    assert "Exception" not in done.stderr, done.stderr


def test_what_the_npm_package_does_not_carry(pyodide: Path) -> None:
    """The block, exactly: builds exist, and none of them is in the package. When that changes, more can be tried here."""
    packages = json.loads((pyodide / "pyodide-lock.json").read_text("utf-8"))["packages"]
    for name in ("pynacl", "cffi", "numpy", "pandas"):
        wheel = packages[name]["file_name"]
        assert wheel.endswith("_wasm32.whl")
        assert not (pyodide / wheel).exists()
    assert list(pyodide.rglob("*.whl")) == []
