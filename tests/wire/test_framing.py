"""Frames: the texts that come out are those that went in, whatever the pieces; a wrong size ends the stream at once."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pnb import spec
from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.wire.framing import Deframer, frame

LARGEST = spec.MAX_MESSAGE


def test_a_frame_is_a_big_endian_size_and_the_text() -> None:
    assert frame(b"#t") == b"\x00\x00\x00\x02#t"
    assert frame(b"a" * 300)[:4] == b"\x00\x00\x01\x2c"
    assert frame(b"a" * LARGEST)[:4] == b"\x00\x0f\x42\x40"


@pytest.mark.parametrize("size", [0, LARGEST + 1])
def test_texts_of_no_allowed_size_are_not_framed(size: int) -> None:
    with pytest.raises(LocalProtocolError, match="1 to 1,000,000"):
        frame(b"a" * size)


def test_a_message_of_exactly_the_limit_is_accepted() -> None:
    text = random.Random(1).randbytes(LARGEST)
    assert Deframer().feed(frame(text)) == [text]


@pytest.mark.parametrize("size", [0, LARGEST + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("whole", [True, False])
def test_any_other_size_is_refused_and_nothing_allocated_for_it(size: int, whole: bool) -> None:
    deframer = Deframer()
    prefix = size.to_bytes(4, "big")
    tracemalloc.start()
    try:
        begun = 0 if whole else 3
        for octet in prefix[:begun]:
            assert deframer.feed(bytes([octet])) == []
        with pytest.raises(ProtocolError, match="1 to 1,000,000"):
            deframer.feed(prefix[begun:])
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()
    with pytest.raises(ProtocolError):  # and the stream has no meaning any more
        deframer.feed(frame(b"#t"))


def test_nothing_is_set_aside_for_what_has_not_come() -> None:
    deframer = Deframer()
    tracemalloc.start()
    try:
        assert deframer.feed((LARGEST).to_bytes(4, "big") + b"abc") == []
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()
    assert deframer.partial


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(0, 500), max_size=10))
def test_any_cut_of_the_stream_gives_the_same_texts(texts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, texts))
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    deframer = Deframer()
    assert [text for start, end in pairwise(places) for text in deframer.feed(stream[start:end])] == texts
    assert not deframer.partial


def test_one_byte_at_a_time() -> None:
    texts = [b"#t", b"#(ref 5)", b"x" * 300]
    stream = b"".join(map(frame, texts))
    deframer, got = Deframer(), []
    whole = {len(b"".join(map(frame, texts[:count]))) for count in range(4)}
    for at in range(len(stream)):
        assert deframer.partial == (at not in whole)
        got += deframer.feed(stream[at : at + 1])
    assert got == texts
    assert not deframer.partial


def test_texts_before_a_wrong_size_do_not_hide_it() -> None:
    deframer = Deframer()
    with pytest.raises(ProtocolError):
        deframer.feed(frame(b"#t") + b"\xff\xff\xff\xff")


def test_large_frames_in_pieces_are_not_copied_again_and_again() -> None:
    """Memory stays at what one frame takes, and the bytes already there are not moved by each further piece."""
    text = b"v" * LARGEST
    stream = frame(text) * 4
    deframer, got = Deframer(), 0
    tracemalloc.start()
    try:
        for at in range(0, len(stream), 65_536):
            for each in deframer.feed(stream[at : at + 65_536]):
                assert each == text
                got += 1
        assert tracemalloc.get_traced_memory()[1] < 3_500_000
    finally:
        tracemalloc.stop()
    assert got == 4
