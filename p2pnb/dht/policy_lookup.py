"""Drives a lookup that is somebody's own (`dht.policies.LookupPolicy`) wherever p2pnb drives its `dht.lookup.Lookup`.

It stands between the two: it has the methods and attributes that the drivers and pictures want, hands on to the policy what
concerns it, and keeps by itself what every lookup has alike: what happened when, who was named by whom, how many were asked.
It lets a policy be wrong, for that is what is to be seen, but not so wrong that a lookup would never end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from p2pnb import address, spec
from p2pnb.dht.candidate import Event
from p2pnb.dht.policies import bounded, dialled_of, name_of
from p2pnb.errors import PolicyError
from p2pnb.wire.contact import Contact

MOST_ASKED = 512  # in one lookup: somebody who asks everybody is slow and not wrong, who asks for ever is


class PolicyLookup:
    """A lookup of `target` by the peer `own`, decided by an object that `policy` makes. Attributes are those of `Lookup`.

    `asked` lists whom the policy asked, in order; `most_flying` is how many were being asked at the same time.
    """

    def __init__(
        self,
        policy: Callable[..., Any],
        target: int,
        own: int,
        seeds: Iterable[Contact],
        *,
        want: int,
        alpha: int,
        now: float,
        is_linked: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.target, self.own, self.want, self.alpha = target, own, want, alpha
        self.dials = self.failures = 0
        self.asked: list[Contact] = []
        self.flying: list[Contact] = []
        self.most_flying = 0
        self.events: list[Event] = []
        self._hops: dict[Contact, tuple[int, int | None]] = {}  # how many steps away, and who named it first
        self._is_linked = is_linked
        self._found: Contact | None = None
        self._answered: list[Contact] = []
        self._name = name_of(policy).removesuffix("()")
        known = list(seeds)
        self._note(known, None, now)
        self._policy = bounded(policy, target, own, known, want=want, alpha=alpha, now=now)

    # --- what to do -----------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return self._found is not None or bool(bounded(lambda: self._policy.finished))

    def next(self, now: float) -> Contact | None:
        """Whom the policy asks now. Raises `PolicyError` when it names nobody whom it can know, or waits for nothing."""
        __tracebackhide__ = True
        if self.finished:
            return None
        contact = bounded(self._policy.next, now)
        if contact is None:
            if not self.flying and not self.finished:
                raise PolicyError(f"{self._name} would wait for ever: next() names nobody, nobody is being asked, and finished is not True")
            return None
        if not isinstance(contact, Contact) or contact not in self._hops:
            raise PolicyError(f"{self._name}.next() is to give a contact from the seeds or hints, or None, not {contact!r}")
        if len(self.asked) >= MOST_ASKED:
            raise PolicyError(f"{self._name}.next() asked {MOST_ASKED} times in one lookup: does it note whom it has asked?")
        self.asked.append(contact)
        self.flying.append(contact)
        self.most_flying = max(self.most_flying, len(self.flying))
        self.dials += contact.uid is not None and not self._is_linked(contact.uid)
        self._log(now, "asked", contact)
        return contact

    def wake(self, now: float) -> float | None:
        """When to call `next` again: a policy may have a `wake` of its own, else it waits for replies and failures only."""
        when: float | None = bounded(self._policy.wake, now) if hasattr(self._policy, "wake") else None
        return when

    # --- what happened --------------------------------------------------------------------------------------------------

    def replied(self, contact: Contact, hints: Iterable[Contact], now: float) -> None:
        __tracebackhide__ = True
        if not self.finished and self._land(contact, "replied", now):
            named = [
                hint for hint in islice(hints, spec.MAX_CONTACTS)
                if hint.uid is not None and address.is_dialable(hint.ip, hint.port) and address.may_tell(hint.ip, contact.ip)
            ]  # fmt: skip
            self._note(named, contact, now)
            self._answered.append(contact)
            bounded(self._policy.replied, contact, named, now)

    def found(self, contact: Contact, now: float) -> None:
        if not self.finished and self._land(contact, "found", now):
            self._found = contact
            self._answered.append(contact)

    def failed(self, contact: Contact, now: float, *, dialled: bool) -> None:
        __tracebackhide__ = True
        if not self.finished and self._land(contact, "refuted" if dialled else "failed", now):
            self.failures += 1
            bounded(self._policy.failed, contact, now, **dialled_of(self._policy, dialled))

    def connected(self, contact: Contact, uid: int, now: float) -> bool:
        """Contacts without a uid are never handed to a policy, so this one cannot have been asked."""
        raise PolicyError(f"{contact} was named without a uid, and {uid:064x} says to be it at {now}")

    # --- the result -----------------------------------------------------------------------------------------------------

    @property
    def nearest(self) -> list[Contact]:
        """What the policy found. Raises `PolicyError` where that is not a list of contacts that somebody named."""
        __tracebackhide__ = True
        found = bounded(lambda: self._policy.nearest)
        result = list(found) if isinstance(found, Iterable) else [found]
        strange = [each for each in result if not isinstance(each, Contact) or each not in self._hops]
        if strange:
            raise PolicyError(f"{self._name}.nearest is to be a list of contacts that somebody named, and has {strange[0]!r}")
        return result

    def answered(self, n: int) -> list[Contact]:
        """The policy's nearest, then the others that answered, nearest first: `n` at most."""
        first = self.nearest
        others = {each for each in self._answered if each not in first}
        return (first + sorted(others, key=lambda each: (each.uid or 0) ^ self.target))[:n]

    @property
    def rpcs(self) -> int:
        return len(self.asked)

    @property
    def hops(self) -> int:
        """As `Lookup.hops`: how many steps led to what was found, or to the first of the nearest; 0 where there is none."""
        first = self._found or next(iter(self.nearest), None)
        return 0 if first is None else self._hops[first][0]

    def _note(self, contacts: list[Contact], referrer: Contact | None, now: float) -> None:
        hop = 1 if referrer is None else self._hops[referrer][0] + 1
        for contact in contacts:
            if contact not in self._hops:
                self._hops[contact] = hop, None if referrer is None else referrer.uid
                self._log(now, "named", contact)

    def _land(self, contact: Contact, event: str, now: float) -> bool:
        """Notes what came of asking `contact`; False for whom nobody is waiting for any more."""
        if contact not in self.flying:
            return False
        self.flying.remove(contact)
        self._log(now, event, contact)
        return True

    def _log(self, now: float, event: str, contact: Contact) -> None:
        hop, referrer = self._hops[contact]
        self.events.append(Event(now, event, contact, referrer, hop))
