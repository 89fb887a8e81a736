"""Places: which links may keep their descriptors when there are not enough for all.

A process has so many descriptors, and a thousand nodes share them. Links are kept in the order of their last use; where there
are too many, the one that was idle for longest ends in order, and whoever wants it dials anew. A link on which somebody owes
an answer is never closed for want of room.

Strangers, who have connected and not yet said who they are, stand in a queue of their own and hold a quarter of the places at
most: when one more comes, the oldest of them is reset. So a flood of silent connections displaces nobody who is known.
"""

from __future__ import annotations

from itertools import islice
from typing import Protocol

STRANGERS = 4  # one place in so many is theirs
LOOKED_AT = 64  # links that are considered for closing at a time


class Holder(Protocol):
    """A link, as far as places go."""

    @property
    def idle(self) -> bool: ...
    def finish(self, reason: str) -> None: ...
    def fail(self, reason: str) -> None: ...


class Places:
    """Who holds a place. `capacity` is how many ends of links there may be."""

    __slots__ = ("_known", "_strangers", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._known: dict[Holder, None] = {}  # in the order of their last use; an OrderedDict is twice as large
        self._strangers: dict[Holder, None] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._known) + len(self._strangers)

    def enter(self, link: Holder, stranger: bool) -> None:
        """A new link: one that we dial, or a stranger's."""
        if stranger:
            self._strangers[link] = None
        else:
            self._known[link] = None
        if len(self._strangers) > max(self.capacity // STRANGERS, 1):
            self._reset_stranger()
        elif len(self) > self.capacity:
            self.make_room()

    def introduce(self, link: Holder) -> None:
        """A stranger has said who he is."""
        if link in self._strangers:
            del self._strangers[link]
            self._known[link] = None

    def use(self, link: Holder) -> None:
        """A message came or went."""
        if link in self._known:
            del self._known[link]
            self._known[link] = None

    def leave(self, link: Holder) -> None:
        """The link's connection is gone."""
        self._known.pop(link, None)
        self._strangers.pop(link, None)

    def make_room(self) -> bool:
        """Ends the link that was idle for longest; if none is, resets a stranger's. Whether there was one."""
        oldest = list(islice(self._known, LOOKED_AT))
        for link in oldest:
            if link.idle:
                del self._known[link]
                link.finish("evicted")
                return True
        for link in oldest:  # they are all at work: others are looked at next time
            self.use(link)
        return self._reset_stranger()

    def _reset_stranger(self) -> bool:
        link = next(iter(self._strangers), None)
        if link is None:
            return False
        del self._strangers[link]
        link.fail("evicted")
        return True
