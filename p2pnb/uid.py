"""Identifiers: 256 bits, compared by XOR (Maymounkov and Mazières 2002, section 2.1).

People and stores hold a `Key`: 32 bytes. The protocol's own code holds the same number as an `int`, which makes a
distance one XOR and a comparison one instruction; `Key.int` and `Key.from_int` go between the two.
"""

from __future__ import annotations

import builtins
import hashlib
import operator
from typing import Any, SupportsIndex

from p2pnb.brief import brief, unawaited

BITS = 256
BYTES = BITS // 8


class Key(bytes):
    """A 32-byte key or uid. `str()` is its full hex, `repr()` a short form, `a ^ b` the distance as an int.

    `Key(x)` takes 32 bytes or 64 hex digits and raises `TypeError` or `ValueError` that says what to write instead.

    Example: `Key("ab" * 32) ^ key_of(b"cats")`.
    """

    __slots__ = ()

    def __new__(cls, value: bytes | str) -> Key:
        return bytes.__new__(cls, _octets(value, "a key"))

    @classmethod
    def from_int(cls, number: SupportsIndex) -> Key:
        """The key whose big-endian number is `number`, 0 <= number < 2^256.

        Example: `Key.from_int(7)`.
        """
        return bytes.__new__(cls, operator.index(number).to_bytes(BYTES, "big"))

    @property
    def int(self) -> builtins.int:
        """The key as a number, most significant byte first."""
        return int.from_bytes(self, "big")

    def __xor__(self, other: bytes | str) -> builtins.int:
        return self.int ^ as_key(other).int

    __rxor__ = __xor__

    def __repr__(self) -> str:
        return f"Key({short(self)})"

    def __str__(self) -> str:
        return self.hex()

    def __reduce__(self) -> tuple[Any, ...]:
        return Key, (bytes(self),)


def key_of(data: Any) -> Key:
    """The key under which `data` is stored: its SHA-256 (the draft, `peer-set`).

    Raises `TypeError` for what is not bytes. Example: `topic = key_of(b"cats")`.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        hint = f": write key_of({data!r}.encode())" if isinstance(data, str) else ""
        raise brief(TypeError(f"key_of takes bytes, not {type(data).__name__}{hint}"))
    return bytes.__new__(Key, hashlib.sha256(data).digest())


def as_key(value: Any, what: str = "a key") -> Key:
    """`value` as a `Key`: 32 bytes or 64 hex digits; any other thing raises an error that names the fix."""
    if type(value) is Key:
        return value
    return bytes.__new__(Key, _octets(value, what))


def short(value: bytes | int) -> str:
    """The first eight hex digits and an ellipsis: how a key or uid is shown where space is short."""
    octets = value.to_bytes(BYTES, "big") if isinstance(value, int) else bytes(value)
    return octets[:4].hex() + "…"


def siphashed(number: int) -> bytes:
    """`number` as 32 bytes: how it is looked up in a dict or set whose numbers strangers choose.

    Python's hash of an int is its rest modulo 2^61 - 1. So anybody can name ten thousand keys that all have one hash, and then
    each look into a dict compares with all of them. Bytes are hashed with a secret of this process (SipHash).
    """
    return number.to_bytes(BYTES, "big")


def common_prefix_length(a: int, b: int) -> int:
    """How many leading bits `a` and `b` share, 0 to 256."""
    return BITS - (a ^ b).bit_length()


def _octets(value: Any, what: str) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        octets = bytes(value)
        if len(octets) != BYTES:
            raise brief(ValueError(f"{what} is {BYTES} bytes, not {len(octets)}: hash a name with key_of(b'...')"))
        return octets
    if isinstance(value, str):
        try:
            octets = bytes.fromhex(value)
        except ValueError:
            octets = b""
        if len(value) != 2 * BYTES or len(octets) != BYTES:
            raise brief(ValueError(f"{what} as text is {2 * BYTES} hex digits; hash a name with key_of({value[:20]!r}.encode())"))
        return octets
    if unawaited(value):
        raise brief(TypeError(f"{what} is wanted, and this call has not been awaited yet: write `await` before it"))
    if isinstance(value, int):
        raise brief(TypeError(f"{what} is {BYTES} bytes, not an int: write Key.from_int({value if value < 1000 else '…'})"))
    hint = ""
    if isinstance(getattr(value, "uid", None), Key):  # a node, which this layer does not know
        hint = f": write cluster[{getattr(value, 'position', 2)}].uid"
    raise brief(TypeError(f"{what} is {BYTES} bytes or {2 * BYTES} hex digits, not {type(value).__name__}{hint}"))
