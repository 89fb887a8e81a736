"""Flights: small messages that one event brings forth for one link leave together: in one record, one write, and for one reading.

Two requests that came together are answered together, and what rides along with a question (a record to be stored there, if the one
asked is among the nearest) costs its bytes and no packet; after a dial, both go with the last message of the handshake.

A carrier opens its flights when bytes arrive, and they depart when these have been dealt with. At other times messages go at once.
"""

from __future__ import annotations

from typing import Protocol

from p2pnb.spec import SIZE_PREFIX
from p2pnb.wire.channel import MAX_PLAINTEXT


class Boarding(Protocol):
    """A link, as flights see it."""

    def write_together(self, texts: list[bytes]) -> None: ...


class Flights:
    """Those of one carrier. `open`: what is sent now waits for the end of the event."""

    __slots__ = ("_texts", "open")

    def __init__(self) -> None:
        self.open = False
        self._texts: dict[Boarding, list[bytes]] = {}

    def board(self, link: Boarding, text: bytes) -> None:
        """Keeps `text` for the end of this event; what was kept before it goes now if one record cannot hold both."""
        texts = self._texts.get(link)
        if texts is None:
            self._texts[link] = [text]
            return
        if sum([SIZE_PREFIX + len(each) for each in texts]) + SIZE_PREFIX + len(text) > MAX_PLAINTEXT:
            link.write_together(texts)
            texts.clear()
        texts.append(text)

    def boarded(self, link: Boarding) -> bool:
        """Whether anything is kept for `link`."""
        return link in self._texts

    def depart(self, link: Boarding) -> None:
        """What is kept for `link` goes now."""
        texts = self._texts.pop(link, None)
        if texts is not None:
            link.write_together(texts)

    def close(self) -> None:
        """The event has been dealt with: everything goes."""
        self.open = False
        if self._texts:
            departing, self._texts = self._texts, {}
            for link, texts in departing.items():
                link.write_together(texts)
