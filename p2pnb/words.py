"""How a number of things is said, wherever that is: in an error, a `repr`, a card or a picture."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """So many of what is one `what`: "1 bit", "2 bits", "1,024 bits"."""
    return f"{number:,} {what}{'s' * (number != 1)}"
