"""kill -9 at any moment of a writing process: what it had acknowledged is there, every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_200_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed.py")
    command = [sys.executable, "-W", "error", str(script), str(tmp_path), "--times", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    total = json.loads(done.stdout)
    assert total["kills"] == 200
    assert total["acknowledged"] > 1_000, "they were killed before they had done anything"
    assert total["lost"] == 0, total
    assert total["notices"] == [], "the store was damaged"
    assert total["died"] == []
    assert total["locked"] == 10, "another process could open a store that is in use"
