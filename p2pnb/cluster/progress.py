"""A launch's progress in one line: `launching 200 nodes ██████░░░░ 120/200 · 0.8 s`, gone without a trace when it is over.

The work counts (`step`, from any thread: that is one addition), the waiter draws (`draw`, on its own thread, in the
context of the cell that waits, so that Jupyter puts the line under that cell). A launch nobody waits for draws nothing.

Drawn is only what somebody looks at: in a notebook when the frontend named the cell (JupyterLab, Notebook 7 and VS Code
do; nbval, nbconvert and nbclient do not), elsewhere when standard error is a terminal, never in CI, and nothing at all
for what is over within half a second. So committed notebooks and logs hold no progress.
"""

from __future__ import annotations

import html
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from p2pnb.brief import shell
from p2pnb.cluster import cells
from p2pnb.words import counted

log = logging.getLogger("p2pnb")

INTERVAL = 0.1  # seconds between two drawings, at least
PATIENCE = 0.5  # seconds before the first one
BAR = 24  # blocks


class Canvas(Protocol):
    """Where a line is shown: replaced by the next one, and taken away in the end."""

    def show(self, progress: Progress) -> None: ...

    def clear(self) -> None: ...


class Progress:
    """Counts `done` of `total`; `canvas=None` is quiet. `what` is a phrase such as "launching 200 nodes"."""

    def __init__(self, what: str, total: int, canvas: Canvas | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._canvas = canvas
        self._clock = clock
        self._began = clock()
        self._next = self._began + PATIENCE
        self._shown = False

    def step(self, n: int = 1) -> None:
        """`n` more are done."""
        self.done += n

    def line(self) -> str:
        """The whole line, as plain text."""
        filled = round(BAR * self.fraction)
        return f"{self.what} {'█' * filled}{'░' * (BAR - filled)} {self.numbers()}"

    def numbers(self) -> str:
        """The end of the line: how many are done, and after how long."""
        return f"{self.done}/{self.total} · {self._clock() - self._began:.1f} s"

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 1.0

    def draw(self) -> None:
        """Shows the line if it is time to; called by whoever waits. A display that fails is not tried again."""
        if self._canvas is None or self._clock() < self._next:
            return
        self._next = self._clock() + INTERVAL
        self._shown = True
        try:
            self._canvas.show(self)
        except Exception:
            log.debug("cannot draw progress", exc_info=True)
            self._canvas = None

    def clear(self) -> None:
        """Takes the line away; it comes back if somebody goes on waiting."""
        if self._shown and self._canvas is not None:
            self._shown = False
            self._canvas.clear()


class Terminal:
    """One line of a terminal, rewritten in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, progress: Progress) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r\x1b[2K{progress.line()[:width]}")

    def clear(self) -> None:
        self._write("\r\x1b[2K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Notebook:
    """One output of a cell, updated in place by its display id; emptied in the end, for a display cannot be taken back."""

    def __init__(self, display_id: str | None = None) -> None:
        self._id = display_id or f"p2pnb-{os.urandom(8).hex()}"
        self._begun = False

    def show(self, progress: Progress) -> None:
        style = "font-family: var(--jp-ui-font-family, sans-serif); color: var(--jp-ui-font-color1, inherit); padding: 0 8px"
        colour = "vertical-align: middle; accent-color: var(--jp-brand-color1, #1976d2)"
        bar = f'<progress value="{progress.fraction:.3f}" max="1" style="width: 16em; {colour}"></progress>'
        words, numbers = html.escape(progress.what), html.escape(progress.numbers())
        self._publish(progress.line(), f'<div style="{style}">{words} {bar} {numbers}</div>')

    def clear(self) -> None:
        self._publish("", "")

    def _publish(self, plain: str, rich: str) -> None:
        publisher = shell().display_pub
        publisher.publish({"text/plain": plain, "text/html": rich}, transient={"display_id": self._id}, update=self._begun)
        self._begun = True


def canvas() -> Canvas | None:
    """Where progress is shown to the one who is asking now; None where nobody would see it."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return None
    if cells.in_kernel():
        cell = cells.this_cell()
        return Notebook() if cell is not None and cell.named else None
    return Terminal(sys.stderr) if sys.stderr is not None and sys.stderr.isatty() else None


def launching(nodes: int) -> Progress:
    """Progress of launching `nodes` nodes, shown wherever that makes sense."""
    return Progress(f"launching {counted(nodes, 'node')}", nodes, canvas())
