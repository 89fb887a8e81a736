"""Which cell is running, and what it launched the last time: relaunching from a cell closes that.

A student runs a cell again; without this, the cluster of the first run would live on unreachable, ports and all. A cell
is known by the id that the frontend sends with every execution (metadata `cellId` of the execute request: JupyterLab,
Notebook 7, VS Code), else by its source. Each execution has an id too, so that a loop in one cell can launch ten clusters
and keep them all: only what an *earlier* execution of the cell launched is given back for closing.

This file finds out and remembers; closing is the caller's.
"""

from __future__ import annotations

import hashlib
import weakref
from typing import Any, Generic, NamedTuple, TypeVar

from p2pnb.brief import shell

C = TypeVar("C")


class Cell(NamedTuple):
    """A cell being executed."""

    id: str  # the same whenever this cell is run
    execution: str  # another one each time
    named: bool  # whether the frontend named it: somebody looks at a notebook


def in_kernel() -> bool:
    """Whether this process is a Jupyter kernel."""
    return getattr(shell(), "kernel", None) is not None


def this_cell() -> Cell | None:
    """The cell that is being executed; None outside IPython, and in what no cell runs (a widget's callback)."""
    ipython = shell()
    if ipython is None:
        return None
    if getattr(ipython, "kernel", None) is None:
        return _typed(ipython)
    request = ipython.get_parent() or {}  # in ipykernel 7 that of the asking task, in 6 the latest one
    if request.get("header", {}).get("msg_type") != "execute_request":
        return None
    execution = str(request["header"].get("msg_id", ""))
    named = request.get("metadata", {}).get("cellId")
    if isinstance(named, str) and named:
        return Cell(f"id:{named}", execution, True)
    return Cell(_hashed(str(request.get("content", {}).get("code", ""))), execution, False)


def _typed(ipython: Any) -> Cell | None:
    """In IPython's terminal a cell is what was typed."""
    sources = ipython.history_manager.input_hist_raw if ipython.history_manager is not None else []
    return Cell(_hashed(sources[-1]), str(len(sources)), False) if sources and sources[-1] else None


def _hashed(source: str) -> str:
    return f"source:{hashlib.sha256(source.strip().encode()).hexdigest()}"


class Launches(Generic[C]):
    """What each cell launched. Holds weakly: what is closed or forgotten elsewhere is not kept alive from here."""

    def __init__(self) -> None:
        self._launched: dict[str, list[tuple[str, weakref.ref[Any]]]] = {}

    def remember(self, cell: Cell | None, launched: C) -> list[C]:
        """Notes that `cell` launched `launched`; returns what earlier executions of it did, oldest first, and forgets those."""
        if cell is None:
            return []
        before = [(execution, ref) for execution, ref in self._launched.get(cell.id, []) if ref() is not None]
        now = [(execution, ref) for execution, ref in before if execution == cell.execution]
        self._launched[cell.id] = [*now, (cell.execution, weakref.ref(launched))]
        earlier = (ref() for execution, ref in before if execution != cell.execution)
        return [thing for thing in earlier if thing is not None]
