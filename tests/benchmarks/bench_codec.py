"""What reading and writing messages costs, beside a plain Python codec that does the same work in the same run.

The plain codec is what one would write first: one regular expression for the words, a recursive reader, `map(int, …)` and
`map(str, …)` for bytevectors. It accepts far more than it should, and is neither bounded nor safe.

    pytest tests/benchmarks/bench_codec.py
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest

from p2pnb.spec import MAX_MESSAGE, MAX_VALUE
from p2pnb.wire import bytevector, sexp_read
from p2pnb.wire.sexp import Symbol, Written, dumps, loads, written

WORD = re.compile(rb'\s*(?:([()])|(#\()|#u8\(([^)]*)\)|"((?:[^"\\]|\\.)*)"|([^\s()"]+))')
RNG = random.Random(20)
UID = 2**255 + RNG.getrandbits(255)
FIELDS = [["127.0.0.1", 9000 + position, 2**255 + RNG.getrandbits(255)] for position in range(20)]
RECORD, PUBLIC_KEY, SIGNATURE = RNG.randbytes(32), RNG.randbytes(32), RNG.randbytes(64)
SMALL = {
    "ref": (Symbol("ref"), UID),
    "#t": True,
    "set, 100 bytes": (Symbol("set"), RNG.randbytes(100)),
    "welcome": (Symbol("welcome"), "127.0.0.1", 9000, UID),
    "bag-add": (Symbol("bag-add"), UID, RECORD),
    "namespace-set": (Symbol("namespace-set"), PUBLIC_KEY, UID, RECORD, SIGNATURE, 5),
    "peer, 20 contacts": (Symbol("peer"), *FIELDS),
}
LARGE = {"random": RNG.randbytes(MAX_VALUE), "all 255": b"\xff" * MAX_VALUE, "all 0": bytes(499_990)}


def plain_write(datum: Any) -> str:
    if isinstance(datum, (tuple, list)):
        return ("#(" if isinstance(datum, tuple) else "(") + " ".join([plain_write(each) for each in datum]) + ")"
    if isinstance(datum, bytes):
        return "#u8(" + " ".join(map(str, datum)) + ")"
    if isinstance(datum, bool):
        return "#t" if datum else "#f"
    if isinstance(datum, str) and not isinstance(datum, Symbol):
        return '"' + datum.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(datum)


def plain_dumps(datum: Any) -> bytes:
    return plain_write(datum).encode()


def plain_read(data: bytes, position: int) -> tuple[Any, int]:
    match = WORD.match(data, position)
    assert match is not None
    bracket, vector, octets, text, word = match.groups()
    position = match.end()
    if vector or bracket == b"(":
        items = []
        while True:
            item, position = plain_read(data, position)
            if item is WORD:
                return (tuple(items) if vector else items), position
            items.append(item)
    if bracket:
        return WORD, position
    if octets is not None:
        return bytes(map(int, octets.split())), position
    if text is not None:
        return text.decode().replace('\\"', '"').replace("\\\\", "\\"), position
    if word in (b"#t", b"#f"):
        return word == b"#t", position
    try:
        return int(word), position
    except ValueError:
        return Symbol(word.decode()), position


def plain_loads(data: bytes) -> Any:
    return plain_read(data, 0)[0]


def forget() -> None:
    """As if no contact and no record had ever been read."""
    sexp_read._fields.cache_clear()
    bytevector._short.cache_clear()


def seconds(*calls: Callable[[], Any], number: int, rounds: int = 100) -> list[float]:
    """The best time of each call, all taken in turn so that a busy machine is busy for all of them."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for which, call in enumerate(calls):
            start = perf_counter()
            for _ in range(number):
                call()
            best[which] = min(best[which], (perf_counter() - start) / number)
    return best


@pytest.mark.parametrize("name", SMALL)
def test_write(benchmark: Any, name: str) -> None:
    datum = SMALL[name]
    assert dumps(datum) == plain_dumps(datum)
    benchmark(dumps, datum)
    ours, plain = seconds(lambda: dumps(datum), lambda: plain_dumps(datum), number=50)
    benchmark.extra_info["to plain Python"] = round(ours / plain, 2)
    assert ours < plain * 1.5


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "new"])
def test_read(benchmark: Any, name: str, seen: bool) -> None:
    text = dumps(SMALL[name])
    assert loads(text) == plain_loads(text) == SMALL[name]
    prepare = (lambda: None) if seen else forget
    call = (lambda: loads(text)) if seen else (lambda: (forget(), loads(text)))
    benchmark(call)
    ours, forgetting, plain = seconds(call, prepare, lambda: plain_loads(text), number=50)
    benchmark.extra_info["to plain Python"] = round((ours - forgetting) / plain, 2)
    assert ours - forgetting < plain * (1 if seen or "peer" in name else 2)


def test_contacts_that_remember_their_text(benchmark: Any) -> None:
    plain = (Symbol("peer"), *FIELDS)
    datum = (Symbol("peer"), *[Written(fields) for fields in FIELDS])
    assert dumps(datum) == dumps(plain)
    benchmark(dumps, datum)
    remembered, anew = seconds(lambda: dumps(datum), lambda: dumps(plain), number=50)
    assert remembered < anew / 4


def test_one_message_to_many(benchmark: Any) -> None:
    datum = (Symbol("set"), LARGE["random"])
    once = written(datum)
    benchmark(dumps, once)
    assert dumps(once) == dumps(datum)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("work", ["read", "write"])
def test_a_value_that_fills_the_message(benchmark: Any, name: str, work: str) -> None:
    """At least 40 MB/s to read and 60 MB/s to write; several times that on any machine, for the loop stands still meanwhile."""
    datum = (Symbol("value"), LARGE[name])
    text = dumps(datum)
    assert 0.85 * MAX_MESSAGE < len(text) <= MAX_MESSAGE
    calls = {"read": (lambda: loads(text), lambda: plain_loads(text)), "write": (lambda: dumps(datum), lambda: plain_dumps(datum))}[work]
    assert calls[0]() == calls[1]()
    benchmark(calls[0])
    ours, plain = seconds(*calls, number=1, rounds=10)
    rate = len(text) / 1e6 / ours
    benchmark.extra_info["MB/s"] = round(rate)
    benchmark.extra_info["to plain Python"] = round(ours / plain, 3)
    assert rate > {"read": 40, "write": 60}[work]
    assert ours < plain / {"read": 6, "write": 4}[work]


@pytest.mark.parametrize("spelling", ["#x%02X ", "#x%x ", "%d\n"])
def test_a_large_value_in_another_spelling(benchmark: Any, spelling: str) -> None:
    octets = LARGE["random"][: 990_000 // len(spelling % 255)]
    text = b"#(value #u8(" + "".join([spelling % octet for octet in octets]).encode() + b"))"
    assert loads(text) == (Symbol("value"), octets)
    benchmark(loads, text)
    ours, plain = seconds(lambda: loads(text), lambda: plain_loads(dumps((Symbol("value"), octets))), number=1, rounds=10)
    benchmark.extra_info["to plain Python"] = round(ours / plain, 2)
    assert ours < plain * 2
