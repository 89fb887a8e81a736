"""Which words are numbers: exact integers are read, every other kind of number is refused, the rest are symbols.

Scheme has no separate syntax for symbols: `1+`, `-1x` and `...` are symbols because they are not numbers. So the
complete grammar of R7RS numbers (section 7.1.1, with R5RS's `#` digits and the exponent letters that Schemes still
know) is here, only to tell what has to be refused: reals, rationals and complex numbers never enter a message. A word
such as `4/2` is the integer 2 in every Scheme, and is read as such.

No integer longer than 100 digits is ever converted.
"""

from __future__ import annotations

import re

from p2pnb.spec import MAX_DIGITS

_UREAL = rb"(?:[0-9][0-9#]*+(?:/[0-9][0-9#]*+|(?:\.[0-9#]*+)?+(?:[esfdl][+-]?[0-9]++)?+)|\.[0-9][0-9#]*+(?:[esfdl][+-]?[0-9]++)?+)"
_SIGNED = rb"[+-](?:" + _UREAL + rb"|(?:inf|nan)\.0)"
_REAL = rb"(?:" + _SIGNED + rb"|" + _UREAL + rb")"
_IMAGINARY = rb"(?:" + _SIGNED + rb"|[+-])i"
_IS_NUMBER = re.compile(_REAL + rb"(?:@" + _REAL + rb"|" + _IMAGINARY + rb")?|" + _IMAGINARY).fullmatch

_DECIMAL = re.compile(rb"[+-]?([0-9]++)(?:/([0-9]++))?+").fullmatch
_PREFIXED = re.compile(rb"(?:#e#([bodx])|#([bodx])(?:#e)?+|#e)([+-]?)([0-9a-f]++)").fullmatch
_TOO_LARGE = 10**MAX_DIGITS
_RADIX = {b"b": 2, b"o": 8, b"d": 10, b"x": 16, b"": 10}


class NotAnInteger(ValueError):
    """The word is a number that no message may hold."""


def integer(word: bytes) -> int | None:
    """The exact integer that `word` spells: `5`, `+5`, `005`, `4/2`, `#x1F`, `#e5`; None for what is not a number.

    Raises `NotAnInteger` for other numbers and for more than 100 digits.
    """
    if word[:1] == b"#":
        return _prefixed(word.lower())
    match = _DECIMAL(word)
    if match is None:
        if _IS_NUMBER(word.lower()):
            raise NotAnInteger("only exact integers are allowed")
        return None
    digits, divisor = match.groups(b"1")
    if max(len(digits), len(divisor)) > MAX_DIGITS:
        raise NotAnInteger(f"an integer has at most {MAX_DIGITS} digits")
    quotient, rest = divmod(int(digits), int(divisor) or 1)
    if rest or not int(divisor):
        raise NotAnInteger("only exact integers are allowed")
    return -quotient if word[:1] == b"-" else quotient


def _prefixed(word: bytes) -> int | None:
    match = _PREFIXED(word)
    if match is None:
        return None
    after, before, sign, digits = match.groups(b"")
    if len(digits) > MAX_DIGITS:
        raise NotAnInteger(f"an integer has at most {MAX_DIGITS} digits")
    try:
        magnitude = int(digits, _RADIX[after or before])
    except ValueError:
        return None
    if magnitude >= _TOO_LARGE:
        raise NotAnInteger(f"an integer has at most {MAX_DIGITS} digits")
    return -magnitude if sign == b"-" else magnitude
