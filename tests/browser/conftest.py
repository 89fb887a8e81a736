"""One JupyterLab for all browser tests; they are skipped where there is no Chromium, or nothing to drive it with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import CHROMIUM, Lab


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed: pip install '.[notebooks]'")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt install chromium")
    with Lab(tmp_path_factory.mktemp("notebooks")) as lab:
        yield lab
