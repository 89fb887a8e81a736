"""Two lines instead of a traceback: what went wrong, and in which line of one's own; that is what a student sees in a notebook.

IPython asks an exception for its display by the method `_render_traceback_`. Errors of p2pnb have it, and the classic mistakes
(a forgotten `await`, one too many, an int for a key) are given it by `brief`. Outside IPython nothing changes. `%tb` then shows the whole
traceback, and so does everything in a mode that somebody chose, such as `%xmode Verbose`.
"""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from p2pnb.words import counted

E = TypeVar("E", bound=BaseException)

_OURS = str(Path(__file__).resolve().parent)
_LIBRARY = str(Path(linecache.__file__).resolve().parent)
_MADE = ("<frozen", "<string>")  # the latter: what `dataclass` writes
_CELL = re.compile(r"ipykernel_\d+|^<ipython-input")
_RED, _DIM, _PLAIN = "\x1b[31;1m", "\x1b[2m", "\x1b[0m"


def brief(error: E) -> E:
    """The same error, which a notebook shows in two lines."""
    error.__dict__["_render_traceback_"] = rendered
    return error


class Done:
    """Base of results that are there at once, next to calls that are not: who awaits one is told to leave `await` out."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker is to find it missing

        def __await__(self) -> NoReturn:
            raise brief(TypeError("this is done already: leave out `await`"))


def unawaited(value: object) -> bool:
    """Whether `value` is something to await, where its result is wanted."""
    return hasattr(value, "__await__") and not isinstance(value, Done)


def shell() -> Any:
    """The IPython shell of this process, if there is one; IPython is not loaded for the question."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def rendered() -> list[str]:
    """The lines that IPython shows for the exception that it has at hand: two, or all of them where somebody asked for more."""
    raised = sys.exc_info()[1]
    error = raised or getattr(sys, "last_value", None)
    ipython = shell()
    if error is None or ipython is None or raised is None or str(ipython.InteractiveTB.mode) != "Context":
        return _whole(error, ipython)
    return two_lines(error)


def two_lines(error: BaseException) -> list[str]:
    """What happened; and where, what to do, and how to see more."""
    said = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)
    first, *more = said.splitlines() or [""]
    if more:  # a list, such as of lost points: what it begins with
        rest = f" (and {counted(len(more) - 1, 'more line')})" if more[1:] else ""
        said = f"{first}: {more[0].removeprefix('- ')}{rest}"
    parts = [_place(error.__traceback__), getattr(error, "hint", ""), "%tb shows the whole traceback"]
    return [f"{_RED}{type(error).__name__}{_PLAIN}: {said}", f"{_DIM}  {'  ·  '.join(part for part in parts if part)}{_PLAIN}"]


def _place(traceback: TracebackType | None) -> str:
    """The innermost line that is neither ours nor a library's: the one that its author can change."""
    found = ""
    while traceback is not None:
        name, number = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        if not name.startswith((_OURS, _LIBRARY, *_MADE)) and "site-packages" not in name:
            where = f"line {number}" if _CELL.search(name) else f"{Path(name).name}, line {number}"
            found = f"{where}: {linecache.getline(name, number).strip()}".rstrip(": ")
        traceback = traceback.tb_next
    return found


def _whole(error: BaseException | None, ipython: Any) -> list[str]:
    if error is None:
        return []
    if ipython is None:  # something else that knows IPython's custom
        return "".join(format_exception(error)).splitlines()
    lines: list[str] = ipython.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
    return lines
