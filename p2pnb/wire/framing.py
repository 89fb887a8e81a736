"""Frames: how messages follow one another on a stream of bytes.

The draft: a serialized expression is "prefixed with the size of the serialized expression in network byte order". Four
bytes, unsigned, big-endian; then so many bytes of text. A size of 0 or above 1,000,000 is refused the moment its four
bytes are there, before anything is kept for it, and nothing is ever set aside for bytes that have not arrived.

A `Deframer` is fed whatever a stream brings, in pieces of any size, and gives back the texts that are complete. It never
looks into a text: that is for the reader of s-expressions.
"""

from __future__ import annotations

from p2pnb.errors import LocalProtocolError, ProtocolError
from p2pnb.spec import MAX_MESSAGE, SIZE_PREFIX


def frame(text: bytes) -> bytes:
    """`text` with its size before it. Raises `LocalProtocolError` unless 1 <= len(text) <= 1,000,000."""
    size = len(text)
    if not 1 <= size <= MAX_MESSAGE:
        raise LocalProtocolError(f"a message is 1 to {MAX_MESSAGE:,} bytes, not {size:,}")
    return size.to_bytes(SIZE_PREFIX, "big") + text


class Deframer:
    """Cuts a stream of bytes into the texts of its frames.

    After `ProtocolError` the stream has no meaning any more: every later `feed` raises again.
    """

    __slots__ = ("_buffer", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._size = 0  # of the text that the buffer begins with; 0 while its prefix is not complete

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete: a stream that ends here was cut off."""
        return self._size > 0 or len(self._buffer) > 0

    @property
    def held(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The texts that `data` completes, in order. Raises `ProtocolError` for a size of 0 or above 1,000,000."""
        buffer = self._buffer
        buffer += data
        texts: list[bytes] = []
        start, size = 0, self._size
        while True:
            if not size:
                if len(buffer) - start < SIZE_PREFIX:
                    break
                size = int.from_bytes(buffer[start : start + SIZE_PREFIX], "big")
                if not 1 <= size <= MAX_MESSAGE:
                    del buffer[:start]
                    self._size = 0
                    raise ProtocolError(f"a frame of {size:,} bytes: 1 to {MAX_MESSAGE:,} are allowed")
                start += SIZE_PREFIX
            if len(buffer) - start < size:
                break
            texts.append(bytes(memoryview(buffer)[start : start + size]))
            start += size
            size = 0
        del buffer[:start]
        self._size = size
        return texts


def unframed(deframer: Deframer | None, data: bytes) -> tuple[list[bytes], Deframer | None]:
    """The texts that `data` completes, and the deframer to go on with: none, as long as no frame is cut, which most are not.

    Raises `ProtocolError` as `Deframer.feed` does.
    """
    if deframer is None:
        texts: list[bytes] = []
        start, end = 0, len(data)
        while start < end:
            text = start + SIZE_PREFIX
            start = text + int.from_bytes(data[start:text], "big")
            if not text < start <= end or start - text > MAX_MESSAGE:
                break  # no frame, or not all of one
            texts.append(data[text:start])
        else:
            return texts, None
        deframer = Deframer()
    texts = deframer.feed(data)
    return texts, deframer if deframer.partial else None
