"""Amounts that people write (seconds, shares, rates, yes and no), checked where they are written.

A number is whatever numpy and pandas call one, too, and becomes a plain one, for a clock that counts in float32 stands still.
True is no number, and neither are infinity and NaN.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from p2pnb.brief import brief


def as_number(value: Any) -> float | None:
    """`value` as a plain, finite number; None if it is none."""
    kind: Any = type(value)
    if kind is bool or not issubclass(kind, Real):
        return None
    try:
        plain: float = int(value) if issubclass(kind, Integral) else float(value)
        return plain if math.isfinite(plain) else None
    except OverflowError:  # an integer beyond all floats
        return None


def at_least(least: float, of: Any, name: str, what: str) -> None:
    """The field `name` of a frozen record is a number of `least` or more. Raises `ValueError` that says `what` it is."""
    _settle(of, name, what, least, math.inf)


def above(least: float, of: Any, name: str, what: str) -> None:
    """As `at_least`, without `least` itself."""
    _settle(of, name, what, math.nextafter(least, math.inf), math.inf)


def share(of: Any, name: str, what: str) -> None:
    """The field `name` of a frozen record is a number of 0 to 1."""
    _settle(of, name, f"{what} is a share, a number of 0 to 1", 0, 1)


def yes_or_no(of: Any, *names: str) -> None:
    """Those fields are True or False. Raises `TypeError`: "no" would be yes."""
    for name in names:
        if type(getattr(of, name)) is not bool:
            raise brief(TypeError(f"`{name}` is True or False, not {getattr(of, name)!r}"))


def as_timeout(timeout: Any) -> float | None:
    """The `timeout` of a call: seconds, above 0, or None for as long as it takes. Raises `TypeError` and `ValueError`."""
    if timeout is None or timeout == math.inf:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise brief(TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}"))
    plain = as_number(timeout)
    if plain is None or plain <= 0:
        raise brief(ValueError(f"timeout is more than 0 seconds, not {timeout}: leave it out to wait as long as it takes"))
    return float(plain)


def _settle(of: Any, name: str, what: str, least: float, most: float) -> None:
    plain = as_number(getattr(of, name))
    if plain is None or not least <= plain <= most:
        raise brief(ValueError(f"{what}, not {getattr(of, name)!r}"))
    object.__setattr__(of, name, plain)
