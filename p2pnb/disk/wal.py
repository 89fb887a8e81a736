"""How long a write-ahead log ought to be: SQLite ends it at the first frame whose checksum is wrong, without a word.

That is right for the torn end that a crash leaves, in which nothing was acknowledged. But when a bit flips further up,
transactions behind it are gone that had been acknowledged, and their owner should hear of it. The format is fixed
(sqlite.org/fileformat2.html, section 4): a header of 32 bytes, then frames of 24 bytes and a page each. A frame that ends
a transaction has the size of the database in its bytes 4 to 8. All frames of one log carry the two salts of its header;
those of an older log, which may still lie behind them, carry two others; so one that is right is enough to tell, should a bit of the other
be wrong. The header ends with a checksum of itself: where that is right and no frame has its salts, a new log has just been begun, and
all that the old one held is in the database.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER, _FRAME = 32, 24


def committed_frames(log: Path, page: int) -> int:
    """The number of frames up to the last one in the file `log` that says it ends a transaction; `page` bytes a page.

    A frame's head and its page are written one after the other: a last one without its page was never a whole one.
    """
    try:
        with log.open("rb") as file:
            header = file.read(_HEADER)
            salts = header[16:24]
            heads = []
            for _ in range((log.stat().st_size - _HEADER) // (_FRAME + page)):
                head = file.read(_FRAME)
                heads.append((head[8:16], struct.unpack(">I", head[4:8])[0]))
                file.seek(page, 1)
    except OSError:
        return 0
    if heads and not _is_whole(header):
        salts = heads[0][0]
    ours = (commit and (each[:4] == salts[:4] or each[4:] == salts[4:]) for each, commit in heads)
    return max((number for number, ends in enumerate(ours, 1) if ends), default=0)


def _is_whole(header: bytes) -> bool:
    """Whether a log's header has the checksum that it says; its magic number says in which order the bytes of a word are summed up."""
    order = {0x377F0682: "<", 0x377F0683: ">"}.get(int.from_bytes(header[:4], "big"))
    if order is None or len(header) < _HEADER:
        return False
    first = second = 0
    for even, odd in struct.iter_unpack(f"{order}2I", header[:24]):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return header[24:] == struct.pack(">2I", first, second)
