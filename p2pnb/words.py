"""How a number of things, and several of them, are said, wherever that is: in an error, a `repr`, a card or a picture."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, what: str) -> str:
    """So many of what is one `what`: "1 bit", "2 bits", "1,024 bits"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def shortened(names: Sequence[str], most: int) -> str:
    """The first `most` of these names, and how many more there are: "#1, #2 and 3 more"."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
