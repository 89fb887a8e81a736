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

from collections.abc import Sequence
from typing import NamedTuple

from p2pnb import address, spec
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

MAX_SILENT = 2  # hints of one referrer that are silent, or refuted, until its others are passed over
_INDULGENCE = 3.0  # a referrer is believed as long as its hints are a third as often true as those of our own table

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


class Referrer:
    """Whoever named candidates, and what became of those: a peer that answered, or our own routing table (`uid` None)."""

    __slots__ = ("charges", "late", "open", "proven", "uid")

    def __init__(self, uid: int | None, doubted: bool = False) -> None:
        self.uid = uid
        self.proven = 0  # hints that answered
        self.charges = 0  # hints that were refuted
        self.open = 0  # hints in flight or slow
        self.late = MAX_SILENT if doubted else 0  # hints that are slow; a few more where its last ones were

    def refer(self, hint: Candidate) -> None:
        """Notes that this one named `hint`, with what has come of it so far."""
        if hint.last_referrer is self:
            return  # named twice in one reply
        hint.last_referrer = self
        state = hint.state
        if state == ANSWERED:
            self.proven += 1
        elif state == REFUTED:
            self.charges += 1
        else:
            hint.referrers += (self,)
            if state in {IN_FLIGHT, SLOW}:
                self.open += 1
                self.late += state == SLOW

    def holds_up(self, table: Referrer) -> bool:
        """Whether its hints cost more time than they are worth: several were refuted or are silent, far more than of our own table's."""
        return self.charges + self.late >= MAX_SILENT and self.trust < table.trust / _INDULGENCE

    @property
    def trust(self) -> float:
        """How likely its next hint is true, judged by those tried: Laplace's (proven + 1) / (tried + 2)."""
        return (self.proven + 1) / (self.proven + self.charges + self.late + 2)

    def is_believed(self, table: Referrer) -> bool:
        """Whether its hints are worth a dial: fewer than `spec.MAX_CHARGES` were refuted, or no more than is usual.

        What is usual, our own `table` shows: after half of a network has died, honest peers name the dead in good faith, but
        then half of our own contacts are dead as well.
        """
        return self.charges < spec.MAX_CHARGES or self.trust >= table.trust / _INDULGENCE


class Candidate:
    """One contact that a lookup may ask, and who named it."""

    __slots__ = ("asked_at", "contact", "hop", "last_referrer", "rank", "referrers", "rivals", "state", "was_silent")

    def __init__(self, contact: Contact, rank: int, hop: int, was_silent: bool = False) -> None:
        self.contact = contact
        self.was_silent = was_silent  # lately
        self.rank = rank  # twice the distance to the target, and 1 more where the uid is not known: the order of asking
        self.rivals: Sequence[Candidate] = ()  # where its uid is said to have several addresses: all candidates of that uid
        self.hop = hop
        self.state = UNNAMED
        self.asked_at = 0.0
        self.referrers: tuple[Referrer, ...] = ()
        self.last_referrer: Referrer | None = None

    def after(self, event: str) -> str:
        """The state to which `event` leads. Raises `LocalProtocolError` if it may not happen now."""
        try:
            return TRANSITIONS[self.state, event]
        except KeyError:
            raise LocalProtocolError(f"{self.contact} is {self.state}: it cannot be {event}") from None

    @property
    def all_of_its_uid(self) -> Sequence[Candidate]:
        """This one, and whoever is said to be the same peer at another address."""
        return self.rivals or (self,)

    @property
    def waits(self) -> bool:
        """Whether another address of the same uid is being tried."""
        return bool(self.rivals) and any(rival.state == IN_FLIGHT for rival in self.rivals)

    @property
    def load(self) -> int:
        """How many hints are refuted, or open beyond those that proved true, of that one of its referrers with the fewest."""
        least = spec.MAX_DIALS
        for referrer in self.referrers:
            load = referrer.charges + referrer.open
            if not referrer.charges and not referrer.late:
                load = max(load - referrer.proven, 0)
            if not load:
                return 0
            least = min(least, load)
        return least

    @property
    def doubtful(self) -> bool:
        """Whether each of its referrers has named somebody who was refuted, or is slow."""
        return all(referrer.charges or referrer.late for referrer in self.referrers)

    @property
    def trust(self) -> float:
        """The trust in the best of its referrers."""
        return max([referrer.trust for referrer in self.referrers])


def at_address(rivals: Sequence[Candidate], contact: Contact) -> Candidate | None:
    """The one of `rivals` that has the address of `contact`."""
    for candidate in rivals:
        if candidate.contact is contact or candidate.contact.address == contact.address:
            return candidate
    return None


def is_acceptable(hint: Contact, told_by: str | None, own: int, own_address: tuple[str, int] | None) -> bool:
    """Whether the peer `own` may dial `hint`, of which the end at the ip `told_by` has told it (None: its own table)."""
    if hint.uid == own or (own_address is not None and hint.port == own_address[1] and address.is_same_host(hint.ip, own_address[0])):
        return False
    return told_by is None or (address.is_dialable(hint.ip, hint.port) and address.may_tell(hint.ip, told_by))
