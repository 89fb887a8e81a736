"""What can become of one candidate of a lookup: every state, every event, one table.

Theory of operation
-------------------
A candidate is a contact that might be among the nearest to the target: an address, and the uid that is said to listen
there. It comes from our own routing table (a seed) or from a reply (a hint), and a hint is only a rumour: it decides whom
to ask next, and nothing else. Each candidate is asked at most once, so its life is short:

    untried ──asked──> in flight ──replied──> answered
                           │  └──failed───> failed       it is who it was said to be, but gave no good answer
                           │  └──refuted──> refuted      the dial failed, or proved another uid: whoever named it is charged
                           └───slow──> slow              silent for longer than the lookup's patience

- *In flight* means that it holds one of the alpha slots and holds up the end. A *slow* candidate does neither any more, but
  its reply is still welcome: the same events lead out of *slow* as out of *in flight*.
- *Dropped*: an untried candidate that is not worth a dial (any more): only peers name it whose other hints turned out false,
  or there have been dials enough, or its uid has answered at another address. If somebody better names it, it is untried again.
- *Moot*: asked, and no longer of interest because the same uid answered elsewhere. What it still says is ignored.

Whatever the table does not list is a mistake of the caller and raises `LocalProtocolError`: a reply from somebody
who was never asked, a second reply, asking again.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pnb import spec
from p2pnb.errors import LocalProtocolError
from p2pnb.wire.contact import Contact

# --- states -----------------------------------------------------------------------------------------------------------
UNTRIED = "untried"
IN_FLIGHT = "in flight"
SLOW = "slow"
ANSWERED = "answered"
FAILED = "failed"
REFUTED = "refuted"
DROPPED = "dropped"
MOOT = "moot"
UNNAMED = "unnamed"  # before anybody named it

TRANSITIONS: dict[tuple[str, str], str] = {
    # a state, an event: the next state
    (UNNAMED, "named"): UNTRIED,
    (UNTRIED, "asked"): IN_FLIGHT,
    (UNTRIED, "dropped"): DROPPED,
    (DROPPED, "named"): UNTRIED,
    (IN_FLIGHT, "slow"): SLOW,
    (IN_FLIGHT, "replied"): ANSWERED,
    (IN_FLIGHT, "found"): ANSWERED,
    (IN_FLIGHT, "failed"): FAILED,
    (IN_FLIGHT, "refuted"): REFUTED,
    (IN_FLIGHT, "outdone"): MOOT,
    (SLOW, "replied"): ANSWERED,
    (SLOW, "found"): ANSWERED,
    (SLOW, "failed"): FAILED,
    (SLOW, "refuted"): REFUTED,
    (SLOW, "outdone"): MOOT,
    (MOOT, "replied"): MOOT,
    (MOOT, "found"): MOOT,
    (MOOT, "failed"): MOOT,
    (MOOT, "refuted"): MOOT,
}


class Event(NamedTuple):
    """One transition, for tables and pictures: `time` in seconds, the event's name in `TRANSITIONS`, whom it befell,
    the uid of who named it first (None: a seed), and its hop (1: a seed, else one more than who named it)."""

    time: float
    event: str
    contact: Contact
    referrer: int | None
    hop: int


class Candidate:
    """One candidate, and, once it has answered, its record as a referrer of others."""

    __slots__ = (
        "asked_at", "charges", "contact", "hints", "hop", "late", "open", "proven", "rank", "referrers", "rivals", "seed", "state",
    )  # fmt: skip

    def __init__(self, contact: Contact, rank: int, rivals: list[Candidate], *, seed: bool, hop: int) -> None:
        self.contact = contact
        self.rank = rank  # twice the distance to the target, and 1 more where the uid is not known: the order of asking
        self.rivals = rivals  # all candidates of the same uid, this one too: one for each address it is said to have
        self.seed = seed
        self.hop = hop
        self.state = UNNAMED
        self.asked_at = 0.0
        self.referrers: list[Candidate] = []
        # as a referrer:
        self.hints: list[Candidate] = []
        self.proven = 0  # of its hints answered
        self.charges = 0  # of its hints were refuted
        self.open = 0  # of its hints are in flight or slow
        self.late = 0  # of its hints are slow

    def after(self, event: str) -> str:
        """The state to which `event` leads. Raises `LocalProtocolError` if it may not happen now."""
        try:
            return TRANSITIONS[self.state, event]
        except KeyError:
            raise LocalProtocolError(f"{self.contact} is {self.state}: it cannot be {event}") from None

    @property
    def origin(self) -> int | None:
        """The uid of who named it first; None for a seed."""
        return None if self.seed else self.referrers[0].contact.uid

    @property
    def waits(self) -> bool:
        """Whether another address of the same uid is being tried."""
        return len(self.rivals) > 1 and any(rival.state == IN_FLIGHT for rival in self.rivals)

    @property
    def doubt(self) -> int:
        """The doubt in the best of those who named it."""
        return 0 if self.seed else min([referrer.doubted for referrer in self.referrers])

    @property
    def rivalry(self) -> int:
        """How many hints are open or refuted of the one, of those who named it, of whom the fewest are."""
        return 0 if self.seed else min([referrer.open + referrer.charges for referrer in self.referrers])

    @property
    def believed(self) -> bool:
        """As a referrer: whether its untried hints are still worth a dial.

        `spec.MAX_CHARGES` refuted hints are too many, and as many more are forgiven for each hint that was proven: honest
        peers name the dead in good faith, and where half of a network has died, half of what they say is false.
        """
        return self.charges < spec.MAX_CHARGES * (1 + self.proven)

    @property
    def doubted(self) -> int:
        """As a referrer: refuted and overdue hints, less the proven ones, of which a few count."""
        return max(self.charges + self.late - min(self.proven, spec.MAX_CHARGES), 0)
