"""A lookup that moves: `lookup.animate()` replays one that has ended, `cluster.lookup_stepper(key)` makes one, an event at a time.

Both show the picture of `pictures.lookup`. The replay needs no kernel: the browser uncovers the picture from left to right. The
stepper asks the network: its state machine (`dht.lookup`) says whom to ask, and is told what came of it, only when somebody
presses *step*; beside the picture stands its shortlist, which `shortlist` reads off the events by the lookup's own table of
transitions. Steps that were made are kept, so one may go back and look again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from p2pnb.dht.candidate import DROPPED, FAILED, IN_FLIGHT, MOOT, REFUTED, TRANSITIONS, UNNAMED, UNTRIED
from p2pnb.uid import Key, common_prefix_length, short
from p2pnb.views import pictures, svg
from p2pnb.views.pictures.lookup import timeline
from p2pnb.views.widgets.base import News, Stage
from p2pnb.views.widgets.sight import Row, Sight
from p2pnb.words import counted

MOST_LISTED = 16  # candidates in the table
HEAD = ["node", "uid", "bits shared", "hop", "state", "told by"]
SAID = {"asked": "is asked", "replied": "replied", "slow": "is slow: its slot goes to the next", "failed": "gave no good answer",
        "refuted": "could not be reached", "outdone": "answered at another address", "found": "has the record"}  # fmt: skip


def words_of(row: Row, target: int) -> str:
    """One event of a lookup in words."""
    who = svg.name_of(row["peer"], row["uid"])
    bits = None if row["uid"] is None else common_prefix_length(row["uid"], target)
    shared = "" if bits is None else f" ({counted(bits, 'bit')} shared)"
    return f"{who}{shared} {SAID.get(row['event'], row['event'])}"


# --- replayed ---------------------------------------------------------------------------------------------------------


def run_state(rows: Sequence[Row], target: int, own: int, summary: str) -> dict[str, Any]:
    """The lookup as a run of the player; `rows` are those of `frames.lookup`, `summary` is said at its end."""
    drawn = timeline(rows, target, own=own)
    times = [row["time"] for row in rows] or [0.0]
    start, took = min(times), 1000 * (max(times) - min(times))  # the picture ends with the last event that it shows
    moments: dict[float, list[str]] = {}
    for row in rows:
        if row["event"] in SAID:
            moments.setdefault(1000 * (row["time"] - start), []).append(words_of(row, target))
    events = [[ms, f"{ms:.2f} ms: {'; '.join(said)}"] for ms, said in sorted(moments.items())]
    return {
        "svg": drawn.svg,
        "status": f"{took:.1f} ms, slowed down",
        "run": {"events": events, "summary": summary} | {name: getattr(drawn, name) for name in ("left", "right", "top", "bottom", "end")},
    }


class Replay(Sight):
    """`lookup.animate()`: a lookup that has ended, uncovered as time passes."""

    def __init__(self, rows: Sequence[Row], target: Key, own: int, summary: str) -> None:
        self._rows, self._target, self._own, self._summary = rows, target, own, summary
        super().__init__(f"A lookup of {short(target)}")

    def look(self) -> dict[str, Any]:
        return run_state(self._rows, self._target.int, self._own, self._summary)


# --- stepped ----------------------------------------------------------------------------------------------------------


class Listed(NamedTuple):
    """A candidate of a lookup, as its events tell it."""

    peer: int | None
    uid: int | None
    hop: int
    state: str
    told_by: int | None


def shortlist(rows: Sequence[Row], target: int) -> list[Listed]:
    """All candidates that these events speak of, nearest to the target first; those without a uid last."""
    found: dict[Any, Listed] = {}
    for row in rows:
        name = row["uid"], row.get("address")
        before = found[name].state if name in found else UNNAMED
        state = TRANSITIONS.get((before, row["event"]), before)
        found[name] = Listed(row["peer"], row["uid"], row["hop"], state, row["told_by"])
    return sorted(found.values(), key=lambda each: (each.uid is None, (each.uid or 0) ^ target))


class Step(NamedTuple):
    """How many events there had been after a step, and what it was."""

    events: int
    words: str


class Walk(Protocol):
    """A lookup that goes on when it is told to: what the cluster layer lends."""

    target: Key
    own: int
    steps: list[Step]

    @property
    def finished(self) -> bool: ...

    def rows(self) -> list[dict[str, Any]]:
        """Those of `frames.lookup`, with `address`."""


def stepper_state(
    rows: Sequence[Row],
    target: int,
    own: int,
    steps: Sequence[Step],
    at: int,
    *,
    finished: bool,
    serial: int,
    position: Callable[[int], int | None],
) -> dict[str, Any]:
    """The lookup after step `at`; `position` gives that of the node with a uid."""
    past = rows[: steps[at].events]
    listed = shortlist(past, target)
    over = {FAILED, REFUTED, DROPPED, MOOT}
    candidates = [each for each in listed if each.state != UNNAMED]
    cells, kinds = [], []
    for each in candidates[:MOST_LISTED]:
        bits = "?" if each.uid is None else common_prefix_length(each.uid, target)
        told = "own table" if each.told_by is None else svg.name_of(position(each.told_by), each.told_by)
        cells.append([svg.name_of(each.peer, each.uid), "?" if each.uid is None else short(each.uid), bits, each.hop, each.state, told])
        kinds.append("next" if each.state == IN_FLIGHT else "over" if each.state in over else "")
    untried = sum(each.state == UNTRIED for each in candidates)
    more = not finished
    status = "finished" if finished and at == len(steps) - 1 else f"step {at} of {len(steps) - 1}{' so far' * more}"
    return {
        "svg": pictures.lookup(past, target, own=own, width=620.0 if svg.look().scale == 1 else None, height=340.0),
        "status": f"{status} · {untried} untried",
        "table": {"head": HEAD, "rows": cells, "kinds": kinds},
        "steps": {"at": at, "of": len(steps) - 1, "more": more, "words": steps[at].words, "serial": serial},
    }


class Stepper(Sight):
    """`cluster.lookup_stepper(key)`: a lookup against the live network, one event at a time."""

    def __init__(self, walk: Walk, go_on: Callable[[], Awaitable[object]], position: Callable[[int], int | None], stage: Stage) -> None:
        """`go_on` makes the next step of `walk`."""
        self._walk, self._go_on, self._position = walk, go_on, position
        self._at, self._serial = 0, 0
        super().__init__(f"Stepping a lookup of {short(walk.target)}", stage)

    def look(self) -> dict[str, Any]:
        walk = self._walk
        return stepper_state(
            walk.rows(), walk.target.int, walk.own, walk.steps, self._at,
            finished=walk.finished, serial=self._serial, position=self._position,
        )  # fmt: skip

    def version(self) -> tuple[int, int]:
        return self._at, self._serial

    def heard(self, news: News) -> Awaitable[object] | None:
        at = news.get("at")
        if not isinstance(at, int):
            return super().heard(news)
        if at >= len(self._walk.steps) and not self._walk.finished:
            return self.step()
        self._at = max(0, min(at, len(self._walk.steps) - 1))
        self._serial += 1
        return None

    async def step(self) -> None:
        """Makes the next step: `await stepper.step()` does in a cell what the button does."""
        try:
            await self._go_on()
        finally:
            self._at = len(self._walk.steps) - 1
            self._serial += 1
            self.want()
