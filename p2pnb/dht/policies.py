"""Somebody's own decisions in place of p2pnb's: routing, lookup and merge, each a small interface, checked before it is used.

A *policy* is code that a student or an experimenter writes to replace one decision of a peer, while everything around it (the
network, the store, upkeep) stays as it is. There are three:

- `nearest(contacts, target, n)`: which of the contacts of a routing table a node asks first, and names to those who ask it;
- `lookup`, a class like `LookupPolicy` below: whom to ask next, and when a lookup has ended;
- `merge(answers)`: the order of a bag's values, out of what several replicas say is popular.

What a policy gives back is held against its interface, and a breach raises `PolicyError`; what it raises itself reaches whoever
awaits the call, with the policy's own line in the traceback. A loop without end is stopped: a policy has `STEPS` steps a call,
counted in instructions, so that it is stopped at the same place on every machine. (A loop in C, such as
`list(itertools.count())`, is one instruction, and is not stopped.)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from p2pnb.brief import brief
from p2pnb.dht import merge
from p2pnb.dht.merge import MergedEntry
from p2pnb.dht.table import RoutingTable
from p2pnb.errors import PolicyError
from p2pnb.wire.contact import Contact
from p2pnb.wire.messages import Bag, BagEntry

P = ParamSpec("P")
T = TypeVar("T")

STEPS = 1_000_000  # instructions of Python that one call of a policy may take: some 0.3 s

Nearest = Callable[[list[Contact], int, int], Sequence[Contact]]
Merge = Callable[[list[list[BagEntry]]], Sequence[bytes]]


class LookupPolicy(Protocol):
    """What a lookup of one's own must have. It never sends and never waits: it names whom to ask, and is told what came of it.

    Uids and targets are numbers, so that `contact.uid ^ target` is a distance. One object is made for each lookup:

        class MyLookup:
            def __init__(self, target, own, seeds, *, want, alpha, now):
                ...                       # seeds: the contacts known from the start, in no order; own: the uid of who looks
            def next(self, now):          # the contact to ask now, or None: nobody at present, or all `alpha` slots are taken
                ...
            def replied(self, contact, hints, now):    # contact answered, and named these contacts (in no order, at most 20)
                ...
            def failed(self, contact, now):            # contact gave no answer, and will not
                ...
            finished = False              # an attribute or property: True when there is nothing left to ask or to wait for
            nearest = []                  # an attribute or property: the `want` nearest that answered, nearest first

    `next` is called until it gives None, at the start and after every reply and failure. `now` is in seconds.
    `p2pnb.dht.lookup.Lookup` is one such class.
    """

    finished: bool
    nearest: list[Contact]

    def next(self, now: float) -> Contact | None: ...

    def replied(self, contact: Contact, hints: list[Contact], now: float) -> None: ...

    def failed(self, contact: Contact, now: float) -> None: ...


class Policies:
    """The policies of one cluster, and the first error of one that nobody was awaiting. None stands for p2pnb's own decision."""

    def __init__(self, nearest: Nearest | None = None, lookup: Callable[..., Any] | None = None, merge: Merge | None = None) -> None:
        self.nearest, self.lookup, self.merge = nearest, lookup, merge
        self.active = True
        self._failure: Exception | None = None

    @classmethod
    def checked(cls, policies: Any) -> Policies:
        """`policies` as a launch takes them: a dict with any of "nearest", "lookup" and "merge".

        Raises `TypeError` and `ValueError` that say what a policy lacks, and whatever a lookup's constructor raises.
        """
        if not isinstance(policies, Mapping):
            raise brief(TypeError(f'policies are a dict, such as policies={{"nearest": my_nearest}}, not {policies!r}'))
        for name, policy in policies.items():
            if name not in CHECKS:
                raise brief(ValueError(f'there is no policy {name!r}: the policies are "nearest", "lookup" and "merge"'))
            CHECKS[name](policy)
        return cls(**policies)

    def failed(self, error: Exception) -> None:
        """Notes what a policy raised where nobody awaits it: in an answer to another node."""
        self._failure = self._failure or error

    def check(self) -> None:
        """Raises what was noted, once."""
        __tracebackhide__ = True
        error, self._failure = self._failure, None
        if error is not None:
            raise error

    def popular(self, answers: Sequence[Bag]) -> list[MergedEntry]:
        """The values of a bag, most popular first, as `merge` has them. Raises `PolicyError` for what is no such list."""
        entries = {entry.value: entry for entry in merge.popular(answers)}
        if self.merge is None or not self.active:
            return list(entries.values())
        return [entries[value] for value in merged(self.merge, answers)]


class PolicyTable(RoutingTable):
    """A routing table whose order of contacts is a policy's. Where that fails, p2pnb's own stands in, and the error is noted."""

    __slots__ = ("_policies",)

    def __init__(self, own: int, k: int, policies: Policies) -> None:
        super().__init__(own, k)
        self._policies = policies

    def nearest(self, target: int, n: int, *, live_only: bool = True) -> list[Contact]:
        __tracebackhide__ = True
        policies = self._policies
        if policies.nearest is None or not policies.active:
            return super().nearest(target, n, live_only=live_only)
        good = [contact for contact, failures in zip(self._live.contacts, self._live.failures, strict=True) if not failures]
        try:
            return chosen(policies.nearest, good if live_only and len(good) >= n else list(self), target, n)
        except Exception as error:  # of a stranger's code: this node goes on answering
            policies.failed(error)
            return super().nearest(target, n, live_only=live_only)


# --- calling a policy -------------------------------------------------------------------------------------------------


class _Stop(BaseException):
    """Stops a policy that does not end; not an `Exception`, which the policy may catch."""


def bounded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args)`, stopped after `STEPS` steps with a `PolicyError` whose traceback shows the line where it was.

    Under a debugger, which traces by itself, nothing is counted.
    """
    if sys.gettrace() is not None:
        return function(*args, **kwargs)
    __tracebackhide__ = True  # here and below: a traceback shows the policy's own lines, and not the way to them
    left = STEPS

    def count(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if event == "call":
            frame.f_trace_lines, frame.f_trace_opcodes = False, True  # `while True: pass` never comes to another line
        elif event == "opcode":
            left -= 1
            if left < 0:
                raise _Stop
        return count

    sys.settrace(count)
    try:
        return function(*args, **kwargs)
    except _Stop as stop:
        error = PolicyError(f"{name_of(function)} did not end within {STEPS:,} steps: is there a loop that never ends?")
        raise error.with_traceback(stop.__traceback__) from None
    finally:
        sys.settrace(None)


def chosen(nearest: Nearest, contacts: list[Contact], target: int, n: int) -> list[Contact]:
    """What the policy `nearest` makes of these. Raises `PolicyError` for anything but at most `n` different ones of them."""
    __tracebackhide__ = True
    found = bounded(nearest, list(contacts), target, n)
    result = _different(nearest, found, Contact, set(contacts), "contact", "some of the contacts that it was given")
    if len(result) > n:
        raise PolicyError(f"{name_of(nearest)} returned {len(result)} contacts, and n={n} is the most it may")
    return result


def merged(policy: Merge, answers: Iterable[Bag]) -> list[bytes]:
    """What the policy `merge` makes of these. Raises `PolicyError` for anything but different values that somebody listed."""
    listed = [list(answer.entries) for answer in answers]
    known = {entry.value for entries in listed for entry in entries}
    __tracebackhide__ = True
    return _different(policy, bounded(policy, listed), bytes, known, "value", "values that the replicas listed, 32 bytes each")


def _different(policy: Any, found: Any, kind: type[T], known: set[T], what: str, which: str) -> list[T]:
    """What a policy returned, as a list. Raises `PolicyError` unless it is an iterable of `known`, none of them twice."""
    __tracebackhide__ = True
    if not isinstance(found, Iterable):
        raise PolicyError(f"{name_of(policy)} is to return a list of {what}s, not {_brief(found)}")
    result = list(found)
    strange = [each for each in result if not isinstance(each, kind) or each not in known]
    if strange:
        raise PolicyError(f"{name_of(policy)} is to return {which}, not {_brief(strange[0])}")
    if len(set(result)) < len(result):
        raise PolicyError(f"{name_of(policy)} returned the same {what} twice")
    return result


def name_of(policy: Any) -> str:
    """What a message calls a policy: the name that it was defined by, and a pair of brackets."""
    name = policy.__qualname__.rpartition("<locals>.")[2] if hasattr(policy, "__qualname__") else ""
    return f"{name}()" if name and "<" not in name else "the policy"


def bare_name_of(policy: Any) -> str:
    """The same without the brackets."""
    return name_of(policy).removesuffix("()")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


# --- what a launch checks ---------------------------------------------------------------------------------------------


def check_nearest(policy: Any) -> None:
    """Raises `TypeError` unless it can be called as `nearest(contacts, target, n)`."""
    _check_call(policy, "nearest(contacts, target, n)", [], 0, 1)


def check_merge(policy: Any) -> None:
    """Raises `TypeError` unless it can be called as `merge(answers)`."""
    _check_call(policy, "merge(answers)", [])


def check_lookup(policy: Any) -> None:
    """Makes one, for nobody's uid, and raises `TypeError` for what it lacks."""
    _check_call(policy, "MyLookup(target, own, seeds, *, want, alpha, now)", 0, 1, [], want=1, alpha=1, now=0.0)
    made = bounded(policy, 0, 1, [], want=1, alpha=1, now=0.0)
    missing = [name for name in ("next", "replied", "failed", "finished", "nearest") if not hasattr(made, name)]
    if missing:
        lacks = " and no ".join(map(repr, missing))
        raise brief(TypeError(f"{bare_name_of(policy)} has no {lacks}: a lookup needs what {__name__}.LookupPolicy has"))
    contact = Contact("127.0.0.1", 1, 2)
    _check_call(made.next, "next(now)", 0.0)
    _check_call(made.replied, "replied(contact, hints, now)", contact, [], 0.0)
    _check_call(made.failed, "failed(contact, now)", contact, 0.0, **dialled_of(made, False))
    if callable(made.finished) or callable(made.nearest):
        method = f"{bare_name_of(policy)}.{'finished' if callable(made.finished) else 'nearest'}"
        raise brief(TypeError(f"{method} is a method, and is to be an attribute or a property: write @property above it"))


def dialled_of(lookup: Any, dialled: bool) -> dict[str, bool]:
    """`failed` is told whether it was the dial that failed only where it takes that, as p2pnb's own does."""
    return {"dialled": dialled} if "dialled" in inspect.signature(lookup.failed).parameters else {}


CHECKS: dict[str, Callable[[Any], None]] = {"nearest": check_nearest, "lookup": check_lookup, "merge": check_merge}


def _check_call(policy: Any, how: str, *args: Any, **kwargs: Any) -> None:
    if not callable(policy):
        raise brief(TypeError(f"a policy is called as {how}, and {_brief(policy)} cannot be called"))
    try:
        signature = inspect.signature(policy)
    except ValueError:  # of a builtin that does not say
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise brief(TypeError(f"{bare_name_of(policy)}{signature} cannot be called as {how}: {error}")) from None
