"""Random and mutated texts, endless and repeatable from a seed: what a parser meets on an open network."""

from __future__ import annotations

import random
from collections.abc import Iterator

from targets import texts

SYNTAX = b"()#u8 \"'1a.|\\;\x00\xff\xc3\n-+x/@`,t"


def cases(seed: int) -> Iterator[bytes]:
    """Of ten cases six are good texts with a few bytes changed, two are syntax in any order, two are noise."""
    rng = random.Random(seed)
    whole = texts()
    while True:
        kind = rng.randrange(10)
        if kind < 6:
            yield mutated(rng, whole)
        elif kind < 8:
            yield bytes(rng.choices(SYNTAX, k=rng.randrange(60)))
        else:
            yield rng.randbytes(rng.randrange(60))


def mutated(rng: random.Random, whole: list[bytes]) -> bytes:
    text = bytearray(rng.choice(whole))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        match rng.randrange(6):
            case 0 if at < len(text):
                text[at] = rng.choice(SYNTAX)
            case 1:
                text.insert(at, rng.randrange(256))
            case 2:
                del text[at : at + rng.randint(1, 5)]
            case 3:
                text[at:at] = rng.choice(whole)[: rng.randint(1, 40)]
            case 4:
                text[at:at] = text[at : at + rng.randint(1, 30)] * rng.randint(1, 4)
            case _:
                text[at:at] = b"1234567890" * rng.randint(1, 12)
    return bytes(text)
