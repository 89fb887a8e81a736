"""What a peer asks of a network: `recv` and `send`, as the draft's constructor has them.

A peer reads no socket. `await recv()` gives it the next thing that happened, `send(…)` takes one datum away; TCP, memory
and carrier pigeons are told apart by nobody above this line.

- `recv()` is awaited for `Received`, `Opened` or `Lost`, or for a bare `(ip, port, payload)`: a datum from an unauthenticated end.
  It raises `PeerUnreachable` once the carrier is closed.
- `send(ip, port, payload, *, uid=None, link=None)` sends one datum: on `link` where one is given; else on any live link to
  `uid`; else by dialling `(ip, port)`, and then it fails with `PeerUnreachable` when the other end is not `uid`. It returns
  the link it used (None where a carrier has none); or, while it dials, or while 16 requests or 2 MB of them are unanswered on
  the link, something to await that gives the link: a coroutine, or a `sending.Sending`, which takes a callback instead. A
  coroutine writes the datum and returns in one step, a callback is called in the step of the writing; so "sent, and in this
  order" is noted before anything else happens. Cancelled before, nothing was sent.
- Everything sent on one link arrives in order or not at all. A link that ended is announced once, by `Lost(link)`.
- A carrier may announce each link that opens, too, by `Opened(link)`, at both ends, before anything that came on it and before whoever
  waits for it is served. Then `send` takes None for a payload: nothing is sent, and all that is wanted is a link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol


class Link(Protocol):
    """One connection, as a peer sees it. It belongs to the uid proven on it, never to an address."""

    uid: int | None
    ip: str
    port: int
    listens: bool  # whether (ip, port) can be dialled: False for a client
    outbound: bool  # whether we dialled it
    last_sent: int  # bytes of the last message written on it
    clean: bool  # after Lost: whether it closed in order, so that unanswered requests may be asked again elsewhere

    @property
    def closed(self) -> bool: ...

    def close(self, reason: str = "") -> None:
        """Ends the link at once; `Lost` follows. `reason` is for the log."""


class Received(NamedTuple):
    """One datum that arrived. `ip` and `port` say where its sender listens (for a client: whence it came).

    `size` is the bytes of the message it came in, 0 where a carrier does not know.
    """

    ip: str
    port: int
    payload: Any
    uid: int | None = None
    link: Any = None
    size: int = 0


class Opened(NamedTuple):
    """A link that opened: either end has proven its uid to the other. Nothing was asked on it yet."""

    link: Any


class Lost(NamedTuple):
    """A link that ended; requests on it will not be answered."""

    link: Any


Recv = Callable[[], Awaitable[Received | Opened | Lost | tuple[str, int, Any]]]
Send = Callable[..., Any]
