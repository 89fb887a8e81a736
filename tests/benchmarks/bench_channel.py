"""What encryption costs, against the arithmetic that it cannot do without, measured in the same run.

A handshake needs eight multiplications on the curve: two that make the ephemeral keys, which are cheaper, and three
exchanges at each end. A small record needs one call of PyNaCl's.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from time import perf_counter
from typing import Any

from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as aead_encrypt
from nacl.bindings import crypto_scalarmult

from p2pnb.wire.channel import NoiseChannel
from p2pnb.wire.noise import StaticKey

DIALLER, LISTENER = StaticKey.from_seed(b"d" * 32), StaticKey.from_seed(b"l" * 32)
TEXT = b"x" * 100


def meet() -> tuple[NoiseChannel, NoiseChannel]:
    dialler, listener = NoiseChannel(True, DIALLER, 9000, ""), NoiseChannel(False, LISTENER, 9001, "")
    listener.receive(dialler.receive(listener.receive(dialler.start())[0])[0])
    return dialler, listener


def ratio(call: Callable[[], Any], base: Callable[[], Any], number: int, base_number: int, rounds: int = 100) -> float:
    """How long `call` takes, as a multiple of `base`.

    Both run in turn, in batches of about a millisecond, and the best batch of each counts: whatever else the machine does
    only adds to the others.
    """
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for which, (function, times) in enumerate(((call, number), (base, base_number))):
            start = perf_counter()
            for _ in range(times):
                function()
            best[which] = min(best[which], (perf_counter() - start) / times)
    return best[0] / best[1]


def pynacl_seals() -> bytes:
    return aead_encrypt(TEXT + b"size", None, bytes(12), b"k" * 32)


def test_a_handshake_both_ends_together(benchmark: Any) -> None:
    benchmark(meet)
    multiplications = ratio(meet, lambda: crypto_scalarmult(b"s" * 32, LISTENER.public), 2, 20)
    benchmark.extra_info["to eight multiplications"] = round(multiplications / 8, 2)
    assert multiplications < 8 * 1.7


def test_sealing_100_bytes(benchmark: Any) -> None:
    dialler, _ = meet()
    benchmark(dialler.seal, TEXT)
    calls = ratio(lambda: dialler.seal(TEXT), pynacl_seals, 200, 200)
    benchmark.extra_info["to PyNaCl's call"] = round(calls, 2)
    assert calls < 1.6


def test_opening_100_bytes(benchmark: Any) -> None:
    dialler, listener = meet()
    records = [dialler.seal(TEXT) for _ in range(60_000)]
    texts = iter(records)
    calls = ratio(lambda: listener.receive(next(texts)), pynacl_seals, 200, 200)
    benchmark.pedantic(lambda: listener.receive(next(texts)), rounds=150, iterations=200)
    benchmark.extra_info["to PyNaCl's call"] = round(calls, 2)
    assert calls < 2


def test_a_large_message_in_pieces(benchmark: Any) -> None:
    """Linear: four times the bytes take nowhere near sixteen times the time."""
    dialler, listener = meet()

    def transfer(size: int) -> None:
        sealed = dialler.seal(b"x" * size)
        texts = [text for start in range(0, len(sealed), 65_536) for text in listener.receive(sealed[start : start + 65_536])[1]]
        assert len(texts) == 1

    benchmark(transfer, 1_000_000)
    times = ratio(lambda: transfer(1_000_000), lambda: transfer(250_000), 1, 2)
    benchmark.extra_info["1 MB to 250 kB"] = round(times, 2)
    assert times < 8


def test_bytes_kept_for_a_connection(benchmark: Any) -> None:
    """Both ends together, once they have exchanged a message: at most 5 KB."""

    def kept(number: int = 200) -> float:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            pairs = [meet() for _ in range(number)]
            for dialler, listener in pairs:
                dialler.receive(listener.seal(listener.receive(dialler.seal(TEXT))[1][0]))
            return (tracemalloc.get_traced_memory()[0] - before) / number
        finally:
            tracemalloc.stop()

    used = benchmark.pedantic(kept, rounds=1)
    benchmark.extra_info["bytes a pair"] = round(used)
    assert used < 5_000
