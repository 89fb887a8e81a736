"""Messages on their way to a link that is not there yet, and the dials that they wait for.

No task and no future stands behind one: a dial that succeeds writes everything that waited for it, in order, in the very step in
which its handshake ends. Whoever wants to know is called (`then`), or awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Union

from p2pnb import spec
from p2pnb.errors import PeerUnreachable

if TYPE_CHECKING:
    from p2pnb.net.link import Link

Outcome = Union["Link", PeerUnreachable, asyncio.CancelledError]


class Sending:
    """One message that waits for a dial, or for room on its link. `uid` is whom it is for; None: whoever answers.

    An empty `text` is no message: then a link is all that is wanted.

    `outcome` is the link on which it was written, or why it never will be; None before.
    """

    __slots__ = ("_heard", "outcome", "request", "text", "uid")

    def __init__(self, text: bytes, request: bool, uid: int | None) -> None:
        self.text = text
        self.request = request
        self.uid = uid
        self.outcome: Outcome | None = None
        self._heard: Callable[[Any], None] | None = None

    def then(self, heard: Callable[[Any], None]) -> None:
        """Has `heard(outcome)` called once: in the step in which it is written, before anything else is; or soon after it failed."""
        if self.outcome is None:
            self._heard = heard
        else:
            asyncio.get_running_loop().call_soon(heard, self.outcome)

    def done(self) -> bool:
        """Whether it was written, has failed or was cancelled."""
        return self.outcome is not None

    def cancel(self) -> None:
        """It is not to be written any more."""
        self._end(asyncio.CancelledError())

    def serve(self, link: Link) -> None:
        """There is a link, or room on it: writes, or goes on waiting for room."""
        if self.outcome is not None:
            return
        if self.request and not link.closed and not link.has_room(len(self.text) + spec.SIZE_PREFIX):
            link.wait_for_room(self)
            return
        try:
            if self.text:
                link.send(self.text, self.request)
        except PeerUnreachable as error:
            self.fail(error)
            return
        self.outcome = link
        heard, self._heard = self._heard, None  # who hears often knows this sending: a cycle, if it was kept
        if heard is not None:
            heard(link)

    def fail(self, error: PeerUnreachable) -> None:
        """It will never be written."""
        self._end(error)

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            heard, self._heard = self._heard, None
            if heard is not None:  # in a step of its own: whoever hears of it may begin something new
                asyncio.get_running_loop().call_soon(heard, outcome)

    def __await__(self) -> Generator[Any, None, Link]:
        if self.outcome is None:
            future = asyncio.get_running_loop().create_future()
            self._heard = lambda _: None if future.done() else future.set_result(None)
            try:
                yield from future
            finally:
                self.cancel()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome


class Dial:
    """An attempt to reach an address, and what waits for it."""

    __slots__ = ("waiting",)

    def __init__(self, first: Sending) -> None:
        self.waiting = [first]

    def expects(self, uid: int | None) -> bool:
        """Whether anything that waits, or waited, is for `uid`."""
        return self.waiting[0].uid == uid or any(sending.uid is None or sending.uid == uid for sending in self.waiting)
