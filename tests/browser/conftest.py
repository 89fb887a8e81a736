"""One JupyterLab for all browser tests; they are skipped where there is no Chromium, or nothing to drive it with.

They come last: while playwright drives a browser, its event loop counts as running on this thread, and no test could run another.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import CHROMIUM, Lab


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'")
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed: pip install '.[notebooks]'")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt install chromium")
    with Lab(tmp_path_factory.mktemp("notebooks")) as lab:
        yield lab
