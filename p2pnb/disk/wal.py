"""How long a write-ahead log ought to be: SQLite ends it at the first frame whose checksum is wrong, without a word.

That is right for the torn end that a crash leaves, in which nothing was acknowledged. But when a bit flips further up,
transactions behind it are gone that had been acknowledged, and their owner should hear of it. The format is fixed
(sqlite.org/fileformat2.html, section 4): a header of 32 bytes, then frames of 24 bytes and a page each. A frame that ends
a transaction has the size of the database in its bytes 4 to 8. All frames of one log carry the two salts of its header;
those of an older log, which may still lie behind them, carry others.
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
            salts = file.read(_HEADER)[16:24]
            heads = []
            for _ in range((log.stat().st_size - _HEADER) // (_FRAME + page)):
                head = file.read(_FRAME)
                heads.append((head[8:16], struct.unpack(">I", head[4:8])[0]))
                file.seek(page, 1)
    except OSError:
        return 0
    if heads and all(each != salts for each, _ in heads):
        salts = heads[0][0]  # it is the header that is damaged
    return max((number for number, (each, commit) in enumerate(heads, 1) if commit and each == salts), default=0)
