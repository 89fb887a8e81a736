"""What the tests know of PROTOCOL.md: its text, its fenced blocks and its tables. Nothing is shared with what generates it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "p2pnb" / "PROTOCOL.md"
Block = list[tuple[str, str]]


@pytest.fixture(scope="session")
def document() -> str:
    """The whole of it."""
    return DOCUMENT.read_text("utf-8")


def read_block(text: str) -> Block:
    """The names and values in a block; what continues a line of hex is joined to it."""
    rows: Block = []
    for line in text.splitlines():
        match = re.fullmatch(r"(\S.*?)(?:  +(.*))?", line)
        if match is not None:
            rows.append((match[1], match[2] or ""))
        else:
            name, value = rows.pop()
            rows.append((name, value + line.strip()))
    return rows


@pytest.fixture(scope="session")
def blocks(document: str) -> Callable[..., list[Block]]:
    """`blocks(kind, part)`: the fenced blocks of a kind ("vector", "message", "record"), in a generated part or in all of it."""

    def find(kind: str, part: str = "") -> list[Block]:
        where = generated(document, part) if part else document
        return [read_block(text) for text in re.findall(rf"^```{kind}\n(.*?)^```", where, re.DOTALL | re.MULTILINE)]

    return find


@pytest.fixture(scope="session")
def table(document: str) -> Callable[[str], list[list[str]]]:
    """`table(part)`: the rows of the table in a generated part."""

    def find(part: str) -> list[list[str]]:
        rows = [line.strip("|").split("|") for line in generated(document, part).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in row] for row in rows[2:]]

    return find


def generated(document: str, part: str) -> str:
    [found] = re.findall(rf"<!-- generated: {part} -->\n(.*?)<!-- end: {part} -->", document, re.DOTALL)
    return str(found)
