"""How generated parts of a document look: fenced blocks of names and values, and tables."""

from __future__ import annotations

from collections.abc import Iterable

Row = tuple[str, bytes | str]


def block(kind: str, rows: Iterable[Row]) -> str:
    """A fenced block of names and values; bytes stand as hex, in lines of 64 digits."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, value in rows:
        pieces = [value] if isinstance(value, str) else [value[start : start + 32].hex() for start in range(0, len(value), 32)] or [""]
        lines.append((name.ljust(width) + pieces[0]).rstrip())
        lines += [" " * width + piece for piece in pieces[1:]]
    return "\n".join([f"```{kind}", *lines, "```"]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
