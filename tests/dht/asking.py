"""What tests of single lookups share: contacts by small numbers, and asking until somebody is to be waited for."""

from __future__ import annotations

from p2pnb.dht.lookup import Lookup
from p2pnb.wire.contact import Contact, contact

OWN = 1 << 255  # far from everybody; the target is 0, so a uid is its own distance


def at(uid: int, ip: str = "127.0.0.1") -> Contact:
    return contact(ip, 1_000 + uid % 60_000, uid)


def lookup(*seeds: int, want: int = 3, alpha: int = 2, patience: float = 1.0, linked: bool = False) -> Lookup:
    return Lookup(
        0, OWN, [at(uid) for uid in seeds], want=want, alpha=alpha, now=0.0, patience=patience,
        is_linked=lambda _: linked, own_address=("127.0.0.1", 999),
    )  # fmt: skip


def ask(it: Lookup, now: float = 0.0) -> list[int | None]:
    """All that are to be asked now."""
    asked = []
    while (chosen := it.next(now)) is not None:
        asked.append(chosen.uid)
    return asked


def answers(it: Lookup) -> list[int | None]:
    return [each.uid for each in it.nearest]
