"""Lookups and other policies as students write them: one that is right, and one for each mistake that is often made."""

from __future__ import annotations

from statistics import median


class Right:
    """A whole lookup in some thirty lines, in the plainest way: the shortlist is sorted anew at each step."""

    def __init__(self, target, own, seeds, *, want, alpha, now):
        self.target, self.own, self.want, self.alpha = target, own, want, alpha
        self.known = {}
        self.state = {}
        self.hear(seeds)

    def hear(self, contacts):
        for contact in contacts:
            if contact.uid != self.own:
                self.known.setdefault(contact.uid, contact)

    @property
    def shortlist(self):
        alive = [uid for uid in self.known if self.state.get(uid) != "failed"]
        return sorted(alive, key=lambda uid: uid ^ self.target)[: self.want]

    @property
    def asking(self):
        return sum(state == "asked" for state in self.state.values())

    def next(self, now):
        if self.asking < self.alpha:
            for uid in self.shortlist:
                if uid not in self.state:
                    self.state[uid] = "asked"
                    return self.known[uid]
        return None

    def replied(self, contact, hints, now):
        self.state[contact.uid] = "replied"
        self.hear(hints)

    def failed(self, contact, now):
        self.state[contact.uid] = "failed"

    @property
    def finished(self):
        return all(self.state.get(uid) == "replied" for uid in self.shortlist)

    @property
    def nearest(self):
        return [self.known[uid] for uid in self.shortlist if self.state.get(uid) == "replied"]


class AsksNobody(Right):
    """Is finished before it begins."""

    finished = True

    def next(self, now):
        return None


class TableOrder(Right):
    """Asks in the order in which it heard of them."""

    def next(self, now):
        if self.asking < self.alpha and not self.finished:
            for uid in self.known:
                if uid not in self.state:
                    self.state[uid] = "asked"
                    return self.known[uid]
        return None


class FirstReply(Right):
    """Stops at the first reply."""

    @property
    def finished(self):
        return not self.known or "replied" in self.state.values() or super().finished


class NeverFails(Right):
    """Does not note failures: waits for the dead."""

    def failed(self, contact, now):
        pass


class FailedAnswered(Right):
    """Takes a failure for an answer, so that the dead are among the found."""

    def failed(self, contact, now):
        self.state[contact.uid] = "replied"


class Rounds(Right):
    """Asks alpha, and waits for all of them before it asks on."""

    def __init__(self, *args, **kwargs):
        self.round = None
        super().__init__(*args, **kwargs)

    def next(self, now):
        if self.round is None:
            if self.asking:
                return None
            self.round = [uid for uid in self.shortlist if uid not in self.state][: self.alpha]
        if not self.round:
            self.round = None
            return None
        uid = self.round.pop(0)
        self.state[uid] = "asked"
        return self.known[uid]


class Unsorted(Right):
    """Returns what it found in the order in which it heard of them."""

    @property
    def nearest(self):
        found = super().nearest
        return [contact for contact in self.known.values() if contact in found]


class ForgetsItself(Right):
    """Asks itself when others name it."""

    def hear(self, contacts):
        for contact in contacts:
            self.known.setdefault(contact.uid, contact)


class AsksAgain(Right):
    """Whoever is named again is asked again, once."""

    def hear(self, contacts):
        super().hear(contacts)
        again = self.__dict__.setdefault("again", set())
        for contact in contacts:
            if self.state.get(contact.uid) == "replied" and contact.uid not in again:
                again.add(contact.uid)
                del self.state[contact.uid]


class OneByOne(Right):
    """Asks one at a time, whatever alpha is."""

    def next(self, now):
        return None if self.asking else super().next(now)


class Floods(Right):
    """Asks everybody of whom it hears, at once."""

    def next(self, now):
        for uid in self.known:
            if uid not in self.state:
                self.state[uid] = "asked"
                return self.known[uid]
        return None

    @property
    def finished(self):
        return all(self.state.get(uid) in {"replied", "failed"} for uid in self.known)


class Endless(Right):
    """Never comes back."""

    def next(self, now):
        while True:
            pass


class Stuck(Right):
    """Names the same contact for ever."""

    def next(self, now):
        return next(iter(self.known.values()), None)


class Raises(Right):
    """Has a typing mistake."""

    def replied(self, contact, hints, now):
        hints.nearest()


def nearest(contacts, target, n):
    return sorted(contacts, key=lambda contact: contact.uid ^ target)[:n]


def by_difference(contacts, target, n):
    return sorted(contacts, key=lambda contact: abs(contact.uid - target))[:n]


def by_prefix(contacts, target, n):
    return sorted(contacts, key=lambda contact: (contact.uid ^ target).bit_length())[:n]


def farthest(contacts, target, n):
    return sorted(contacts, key=lambda contact: contact.uid ^ target)[-n:]


def everybody(contacts, target, n):
    return sorted(contacts, key=lambda contact: contact.uid ^ target)


def table_order(contacts, target, n):
    return contacts[:n]


def merge(answers):
    counts = {}
    for entries in answers:
        for value, publishers in {entry.value: entry.publishers for entry in entries}.items():
            counts.setdefault(value, []).append(publishers)
    quorum = min(3, len(answers))
    medians = {value: median(said + [0] * (len(answers) - len(said))) for value, said in counts.items()}
    return sorted(counts, key=lambda value: (len(counts[value]) < quorum, -medians[value]))


def by_sum(answers):
    counts = {}
    for entries in answers:
        for entry in entries:
            counts[entry.value] = counts.get(entry.value, 0) + entry.publishers
    return sorted(counts, key=lambda value: -counts[value])


def by_most(answers):
    counts = {}
    for entries in answers:
        for entry in entries:
            counts[entry.value] = max(counts.get(entry.value, 0), entry.publishers)
    return sorted(counts, key=lambda value: -counts[value])


def first_answer(answers):
    return list(dict.fromkeys(entry.value for entry in answers[0]))
