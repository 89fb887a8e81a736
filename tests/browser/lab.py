"""JupyterLab in a browser, driven: a server of our own, notebooks opened in Chromium, cells run, outputs clicked, the page saved.

Nothing outside the machine is asked for anything: a request that leaves it is refused and counts as an error, as does
whatever the console calls one. Waiting is always for something that can be seen, never for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb", "--hide-scrollbars"]
PATIENCE = 60.0  # seconds until something that has not appeared is given up
SETTINGS: dict[str, dict[str, Any]] = {  # no news, no tours, no autosave, and all cells drawn whether in sight or not
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
CURRENT = "window.jupyterapp.shell.currentWidget"
READY = f"(name) => {CURRENT}?.context?.path === name && {CURRENT}.sessionContext.session?.kernel?.status === 'idle'"


class Lab:
    """A JupyterLab server in `root`, and a browser. `with Lab(tmp_path) as lab: notebook = lab.open("a.ipynb")`."""

    def __init__(self, root: Path, dark: bool = False, size: tuple[int, int] = (1280, 900)) -> None:
        self.root = root
        self.size = size
        self._dark = dark
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Lab:
        from playwright.sync_api import sync_playwright

        with contextlib.ExitStack() as ends:
            self._serve(ends)
            playwright = ends.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
            ends.callback(browser.close)
            self._show(browser.new_page(viewport={"width": self.size[0], "height": self.size[1]}))
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _serve(self, ends: contextlib.ExitStack) -> None:
        home = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="p2pnb-lab-", ignore_cleanup_errors=True)))
        theme = {"@jupyterlab/apputils-extension/themes": {"theme": f"JupyterLab {'Dark' if self._dark else 'Light'}"}}
        for name, value in (SETTINGS | theme).items():
            path = home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        folders = {"SETTINGS_DIR": "settings", "WORKSPACES_DIR": "workspaces"}
        environment = {name: value for name, value in os.environ.items() if name != "CI"}
        environment |= {f"JUPYTERLAB_{name}": str(home / folder) for name, folder in folders.items()}
        environment |= {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
        environment["IPYTHONDIR"] = str(home / "ipython")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", "--LabApp.news_url="]
        options += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}", "--expose-app-in-browser"]
        log = ends.enter_context((home / "log").open("w+b"))
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        ends.callback(_end, process)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=2).read()
                return
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"JupyterLab did not start: {log.read()[-1500:].decode(errors='replace')}") from None
                time.sleep(0.1)

    def write(self, name: str, *cells: str) -> Path:
        """A new notebook of these code cells."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        code = [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
            for i, source in enumerate(cells)
        ]
        path = self.root / name
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": code}))
        return path

    def _show(self, page: Any) -> None:
        """JupyterLab itself, in a page that all notebooks share: loading it takes longer than all that is done in it."""
        self.page, self.errors = page, []
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route(lambda url: not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "blob:", "data:")), self._refuse)
        page.goto(f"{self.url}/lab?token={self.token}", wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp?.shell?.restored.then(() => true)")
        page.evaluate("() => { const shell = window.jupyterapp.shell; shell.collapseLeft?.(); shell.collapseRight?.(); }")

    def _refuse(self, route: Any) -> None:
        self.errors.append(f"asked for {route.request.url}")
        route.abort()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Notebook]:
        """The notebook, as it is on disk, with its kernel ready. At the end its kernel is shut down, and no error was seen."""
        self.errors.clear()
        notebook = Notebook(self.page, self.errors)
        notebook.do("docmanager:open", path=name, kernel={"name": "python3"})
        self.page.wait_for_function(READY, arg=name)
        try:
            yield notebook
            assert not self.errors, self.errors
        finally:
            self.page.evaluate(f"async () => {{ const panel = {CURRENT}; await panel.sessionContext.shutdown(); panel.dispose(); }}")


class Notebook:
    """A notebook on the screen. `errors` has what the console called one, so far."""

    def __init__(self, page: Any, errors: list[str]) -> None:
        self.page = page
        self.errors = errors

    def run(self, index: int, fails: bool = False) -> dict[str, Any]:
        """Runs a cell until it has ended; returns its output as text, and when it ended by the browser's clock in ms.

        Unless it `fails`, an error in it is one of the test.
        """
        done: dict[str, Any] = self.page.evaluate(
            f"""async (index) => {{
                const panel = {CURRENT}, cell = panel.content.widgets[index];
                panel.content.activeCellIndex = index; panel.content.deselectAll();
                await window.jupyterapp.commands.execute('notebook:run-cell');
                const outputs = cell.model.outputs.toJSON(), at = performance.now();
                const text = outputs.map((each) => each.text ?? each.evalue ?? each.data?.['text/plain'] ?? '').join('\\n');
                return {{ text, at, failed: outputs.some((each) => each.output_type === 'error') }};
            }}""",
            index,
        )
        assert done["failed"] == fails, done["text"]
        return done

    def start(self, index: int) -> None:
        """Begins to run a cell, and does not wait for it."""
        self.page.evaluate(f"(index) => {{ {CURRENT}.content.activeCellIndex = index; {CURRENT}.content.deselectAll(); }}", index)
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell'); }")

    def wait(self) -> None:
        """Waits until no cell runs any more."""
        self.page.wait_for_function(f"() => {CURRENT}.sessionContext.session.kernel.status === 'idle'")

    def cell(self, index: int) -> Any:
        """Where a cell and its outputs are."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").nth(index)

    def do(self, command: str, **arguments: Any) -> None:
        """One of JupyterLab's commands."""
        self.page.evaluate("async ([command, how]) => { await window.jupyterapp.commands.execute(command, how); }", [command, arguments])

    def save(self) -> None:
        self.page.evaluate(f"() => {CURRENT}.context.save()")

    def restart(self) -> None:
        """Restarts the kernel, without being asked whether one means it."""
        self.page.evaluate(f"() => {CURRENT}.sessionContext.session.kernel.restart()")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server, and the kernels that it started: all are in the group that began with it."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(patience)
