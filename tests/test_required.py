"""A skip of a test that must run is a failure with a reason: the rule of conftest.py, tried on a session of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SESSION = """
import pytest

@pytest.mark.kernel
def test_body():
    pytest.skip("no kernel here")

@pytest.mark.scheme
@pytest.mark.skipif(True, reason="no guile here")
def test_mark(): ...

@pytest.fixture
def namespaces():
    pytest.skip("no root here")

@pytest.mark.netns
def test_fixture(namespaces): ...

@pytest.mark.kernel
@pytest.mark.xfail(reason="known")
def test_xfail():
    assert False

def test_unmarked():
    pytest.skip("no vectors here")
"""


def session(directory: Path, **environment: str) -> str:
    """The output of pytest on `SESSION` under this conftest.py, with only `environment` to say what is required."""
    shutil.copy(Path(__file__).with_name("conftest.py"), directory / "conftest.py")
    (directory / "test_session.py").write_text(SESSION)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n    scheme: x\n    netns: x\n    kernel: x\n")
    inherited = {name: value for name, value in os.environ.items() if name not in {"CI", "P2PNB_REQUIRE", "PYTEST_ADDOPTS"}}
    inherited["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, env=inherited | environment)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "counts"),
    [
        ({"CI": "false"}, "4 skipped, 1 xfailed"),
        ({"CI": "true", "P2PNB_REQUIRE": ""}, "4 skipped, 1 xfailed"),
        ({"CI": "true", "P2PNB_REQUIRE": "kernel"}, "1 failed, 3 skipped, 1 xfailed"),
    ],
)
def test_the_environment_decides(tmp_path: Path, environment: dict[str, str], counts: str) -> None:
    assert counts in session(tmp_path, **environment)


def test_in_ci_each_required_skip_fails_with_its_reason(tmp_path: Path) -> None:
    output = session(tmp_path, CI="true")
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in output  # in the body; before it, the two others
    for marker, reason in (("kernel", "no kernel here"), ("scheme", "no guile here"), ("netns", "no root here")):
        assert f"must run here (P2PNB_REQUIRE, or CI, asks for {marker}): Skipped: {reason}" in output


def test_a_misspelt_requirement_is_refused(tmp_path: Path) -> None:
    assert "P2PNB_REQUIRE names ['schemes']" in session(tmp_path, P2PNB_REQUIRE="schemes")
