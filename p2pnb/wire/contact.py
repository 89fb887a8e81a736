"""A contact: where a peer listens and which uid it is said to have, and how that is written on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from p2pnb.uid import BYTES, short, siphashed
from p2pnb.wire.sexp import Written


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer's address and uid (as a number; None when whoever named the address did not say).

    Make it with `contact()`, which keeps one object for each triple: the tables of a thousand peers in one process then
    share their contacts, and `datum`, the contact as it stands in a `peer` reply, is written out only once.
    """

    ip: str
    port: int
    uid: int | None = None
    datum: Written = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)  # once: a contact is looked up again and again

    def __post_init__(self) -> None:
        fields = [self.ip, self.port] if self.uid is None else [self.ip, self.port, self.uid]
        object.__setattr__(self, "datum", Written(fields))
        object.__setattr__(self, "_hash", hash((self.ip, self.port, None if self.uid is None else siphashed(self.uid))))

    def __hash__(self) -> int:
        return self._hash

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.port

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}" + ("" if self.uid is None else f" ({short(self.uid)})")


def contact(ip: str, port: int, uid: int | None = None) -> Contact:
    """The one `Contact` for these three."""
    return _contact(ip, port, None if uid is None else uid.to_bytes(BYTES, "big"))  # `siphashed`: strangers choose their uids


@lru_cache(maxsize=65_536)
def _contact(ip: str, port: int, uid: bytes | None) -> Contact:
    return Contact(ip, port, None if uid is None else int.from_bytes(uid, "big"))
