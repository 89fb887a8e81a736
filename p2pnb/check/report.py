"""What a check returns: a row a case, the points, and a picture of the first case that was lost.

A case is a function that tries the policy once. It returns what came of it in words, and whether that is what was expected; whatever
the policy raises is what came of it, too, with the line of the policy in which it was raised.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from p2pnb.brief import brief
from p2pnb.dht.policies import bare_name_of
from p2pnb.views import cards
from p2pnb.views.frames import Frame

T = TypeVar("T")

_OWN = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a case: whether it was right, in words, and what draws it, as SVG text, if it was not."""

    right: bool
    got: str
    picture: Callable[[], str] | None = None


@dataclass(frozen=True, slots=True)
class Case(Generic[T]):
    """One thing that a policy is to do: its points, what is expected, and a function of the policy and of chance that tries it."""

    name: str
    points: int
    expected: str
    run: Callable[[T, random.Random], Tried]


class Report(Frame):
    """One row a case: `case`, `expected`, `got`, `points` and `of`, the most that there are.

    `.score` and `.most` are the sums; `.picture` is the first lost case as SVG text, "" where none was lost, and is shown by a
    cell that ends with the report; `.assert_all()` is for graders.
    """

    _metadata: ClassVar[list[str]] = ["policy", "picture"]
    policy: str
    picture: str

    @property
    def _constructor(self) -> type[Frame]:
        return Frame  # a part of a report is a table, and no report

    @property
    def score(self) -> int:
        """The points of all cases together."""
        return int(self["points"].sum())

    @property
    def most(self) -> int:
        """The points that there are."""
        return int(self["of"].sum())

    def assert_all(self) -> None:
        """Raises `AssertionError` unless every case has all of its points; the text lists those that have not, by what came of them."""
        if self._lost():
            raise brief(AssertionError(repr(self)))

    def __repr__(self) -> str:
        alike: dict[str, list[str]] = {}  # one mistake may lose many cases: what came of them is said once
        for row in self._lost():
            alike.setdefault(row["got"], []).append(f"{row['case']}: expected {row['expected']}")
        lines = [f"{self.policy}: {self.score} of {self.most} points"]
        for got, cases in alike.items():
            if len(cases) == 1:
                lines.append(f"- {cases[0]}; got {got}")
            else:
                lines += [f"- {len(cases)} cases got {got}", *(f"  - {each}" for each in cases)]
        return "\n".join(lines)

    def _lost(self) -> list[dict[Any, Any]]:
        return [row for row in self.to_dict("records") if row["points"] < row["of"]]

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        lost = next((row["case"] for row in self._lost()), None)
        summary = {"policy": self.policy, "score": self.score, "most": self.most, "lost": lost}
        card = cards.check_card(summary, picture=self.picture)
        table = self.to_html(border=0, classes="dataframe p2p-check", justify="left")
        style = "<style>.p2p-check td,.p2p-check th{text-align:left!important;white-space:normal;max-width:32em}</style>"
        return cards.mimebundle(f"{style}{card.html}{table}", repr(self))


def report(policy: T, cases: Sequence[Case[T]], seed: int) -> Report:
    """Tries every case, each with randomness of its own, so that one more case changes no other."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise brief(TypeError(f"seed is an integer, not {seed!r}"))
    tried = [_try(case, policy, random.Random(f"{seed} {case.name}")) for case in cases]
    rows = [
        {
            "case": case.name,
            "expected": case.expected,
            "got": outcome.got,
            "points": case.points * outcome.right,
            "of": case.points,
        }
        for case, outcome in zip(cases, tried, strict=True)
    ]
    lost = next((outcome.picture for outcome in tried if not outcome.right and outcome.picture is not None), None)
    made = Report(rows).astype({"points": "int64", "of": "int64"})
    full = Report(made)
    full.policy, full.picture = bare_name_of(policy), "" if lost is None else lost()
    return full


def _try(case: Case[T], policy: T, rng: random.Random) -> Tried:
    try:
        return case.run(policy, rng)
    except Exception as error:  # whatever a student's code may raise is what came of it
        return Tried(False, raised(error), getattr(error, "picture", None))


def raised(error: BaseException) -> str:
    """An error as a student needs it: what it says, and the last line of his own that led to it."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OWN)]
    where = f", in line {own[-1].lineno} of {own[-1].name}" + (f": {own[-1].line}" if own[-1].line else "") if own else ""
    return f"{type(error).__name__}: {error}{where}"


def listed(values: Sequence[Any]) -> str:
    """Several things in words."""
    return ", ".join(map(str, values)) if values else "nobody"
