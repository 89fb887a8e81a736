"""Bytevectors: the decimal text between `#u8(` and `)`, to and from bytes.

Nearly all bytes of large messages are these, so both ways are tables and whole-array operations of numpy, with no work
in Python for a byte. Writing: four-character cells from a table, then the padding is deleted. Reading: the canonical
text (decimal, no leading zeros, one space between) is cut into pieces of 64 KB, which keeps every intermediate array in
the processor's cache and memory bounded; each byte ends at a space, and the four characters before a space, as one
number in base 11, index a table that holds the byte, or says that no canonical text ends so. A piece in any other
spelling (`#x1F`, `+1`, `007`, tabs and newlines), and any short text, goes word by word through a dictionary. A byte spelled
neither in plain decimal nor in hexadecimal takes longer: it counts as a datum, of which a message holds at most 20,000.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from p2pnb.wire.sexp_data import SexpError
from p2pnb.wire.sexp_number import NotAnInteger, integer

_SHORT = 512  # characters: below, the dictionary is faster than numpy's calls
_PIECE = 65_536  # characters
_SPACE = 10  # the digit that stands for a space
_BLANKS = (b" ", b"\n", b"\t", b"\r", b"\f")
_TOO_MANY = "too many bytes in an unusual spelling"
_WORD = re.compile(rb"[^ \t\n\r\f]++")

_CELLS = np.frombuffer(b"".join([(b"%d " % byte).ljust(4, b"\0") for byte in range(256)]), dtype="<u4")
_DIGITS = bytes([b"0123456789 ".find(character) & 0xFF for character in range(256)])


def _endings() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """For each four digits in base 11 (10: a space) the byte that ends so in canonical text, or -1."""
    table = np.full((11, 11, 11, 11), -1, dtype=np.int16)
    for byte in range(256):
        ending: tuple[Any, ...] = (..., _SPACE, *map(int, str(byte)))
        table[ending] = byte
    return table.reshape(-1)


_ENDINGS = _endings()


def _common() -> dict[bytes, int]:
    spellings = ("%d", "#x%x", "#x%X", "#x%02x", "#x%02X")
    return {(spelling % byte).encode(): byte for spelling in spellings for byte in range(256)}


_COMMON = _common()  # the byte that each usual spelling means


def _byte(word: bytes) -> int:
    """The byte that `word` spells, in whatever way."""
    byte = integer(word)
    if byte is None or not 0 <= byte <= 255:
        raise NotAnInteger("a byte is an integer of 0 to 255")
    return byte


def write_bytevector(octets: bytes | bytearray) -> bytes:
    """`#u8(…)`, canonical."""
    return b"#u8(" + _CELLS.take(np.frombuffer(octets, dtype=np.uint8)).tobytes().translate(None, b"\0")[:-1] + b")"


def read_bytevector(data: bytes, start: int, end: int, allowed: int) -> tuple[bytes, int]:
    """The bytes that `data[start:end]`, the text between the parentheses, spells, and how many of them in an unusual way.

    Raises `SexpError`, also for more than `allowed` of those.
    """
    if end - start <= _SHORT:
        try:
            octets, unusual = _short(data[start:end])
        except NotAnInteger as problem:
            raise _error(data, start, end, problem) from None
        if unusual > allowed:
            raise SexpError(_TOO_MANY, start)
        return octets, unusual
    pieces = []
    left = allowed
    while start < end:
        stop = _cut(data, start, end)
        canonical = _canonical(data[start:stop])
        if canonical is None:
            try:
                canonical, unusual = _words(data[start:stop], left)
            except NotAnInteger as problem:
                raise _error(data, start, stop, problem) from None
            left -= unusual
        pieces.append(canonical)
        start = stop + 1
    return b"".join(pieces), allowed - left


def _cut(data: bytes, start: int, end: int) -> int:
    """Where the piece that begins at `start` ends: at the last blank in reach."""
    if end - start <= _PIECE:
        return end
    limit = start + _PIECE
    stop = max([data.rfind(blank, start, limit) for blank in _BLANKS])
    return limit if stop < 0 else stop  # a word of 64 KB is no byte, wherever it is cut


def _canonical(text: bytes) -> bytes | None:
    """The bytes of a canonical text; None for any other."""
    digits = np.frombuffer((b"    " + text + b" ").translate(_DIGITS), dtype=np.uint8)
    if digits.max() > _SPACE:
        return None
    twos = digits[:-1] * np.uint8(11)
    twos += digits[1:]
    fours = twos[:-2] * np.uint16(121)
    fours += twos[2:]
    octets = _ENDINGS.take(fours.take(np.flatnonzero(digits[4:] == _SPACE)))
    return None if octets.min() < 0 else octets.astype(np.uint8).tobytes()


def _words(text: bytes, allowed: int = _SHORT) -> tuple[bytes, int]:
    """The bytes, and how many were spelled in an unusual way. Stops at the first too many, before it looks at any."""
    if b"\v" in text:
        raise NotAnInteger("a byte is an integer of 0 to 255")
    words = text.split()
    try:
        return bytes([_COMMON[word] for word in words]), 0
    except KeyError:
        pass
    usual = list(map(_COMMON.get, words))
    unusual = usual.count(None)
    if unusual > allowed:
        raise NotAnInteger(_TOO_MANY)
    return bytes([_byte(word) if byte is None else byte for word, byte in zip(words, usual, strict=True)]), unusual


# records, public keys and small values are read again and again, from each of their replicas
_short = lru_cache(maxsize=4_096)(_words)


def _error(data: bytes, start: int, end: int, problem: NotAnInteger) -> SexpError:
    """The error for the first word of a text that spells no byte."""
    if str(problem) != _TOO_MANY:
        for word in _WORD.finditer(data, start, end):
            try:
                _COMMON.get(word[0]) or _byte(word[0])
            except NotAnInteger:
                return SexpError(str(problem), word.start())
    return SexpError(str(problem), start)
